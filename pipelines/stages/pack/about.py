"""What pack says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rates, Rows, StageDescription, count_and_share


def boundary_splits(counts: Mapping[str, int], facts: Mapping[str, Any]) -> str:
    """How many tokens that join punctuation and line breaks were split: of all tokens, and what share was asked for."""
    split = facts.get("boundary_split")  # an older set has only the count
    return f"{counts['boundary_splits']:,}" + (
        f" ({split['share_of_tokens']:.2%} of tokens, p = {split['probability']:g})" if split else ""
    )


def lint_row(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary's row; none for a set that was packed before there was lint."""
    if "lint" not in facts:
        return []
    lint = facts["lint"]
    counted = [(lint[f"{name}s"], name) for name in ("error", "warning", "note")]
    said = [f"{count:,} {name}{'s' if count != 1 else ''}" for count, name in counted if count]
    worst = [finding["check"] for finding in lint["findings"] if finding["severity"] != "note"]
    named = f": {', '.join(dict.fromkeys(worst))}; see corpusmill inspect lint" if worst else ""
    return [(f"lint of {lint['sequences']:,} sequences", (", ".join(said) or "nothing found") + named)]


def conversations(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    """What is said of conversations; nothing of a set of text."""
    if "learned" not in facts:
        return []
    tokens = sum(facts["tokens_by"].get("kind", {}).values())
    return [
        ("tokens learned", count_and_share(facts["learned"], tokens)),
        ("left out, longer than a sequence", f"{counts['rejected']:,}"),
    ]


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        ("tokens", f"{counts['tokens']:,}"),
        ("bytes per token", f"{facts['bytes_per_token']:.2f}"),
        ("sequences", f"{counts['sequences']:,}"),
        ("fill", f"{facts['fill']:.2%}"),
        ("documents cut", f"{counts['cut']:,}"),
        *([("  if one stream were cut", f"{facts['packing']['concat']['cut']:,}")] if "packing" in facts else []),
        ("documents with FIM", f"{counts['fim_documents']:,}"),
        ("tokens split at boundaries", boundary_splits(counts, facts)),
        ("documents held back", f"{counts['validation_documents']:,}"),
        *conversations(counts, facts),
        *lint_row(facts),
    ]


def _tiles(manifest: Manifest) -> Rows:
    return [("tokens", f"{manifest['counts']['tokens']:,}")]


PACK = StageDescription(
    name="pack",
    plan="corpusmill.pipelines.stages.pack.plan:PackStage",
    command=("pack",),
    line="Tokenise, rearrange for fill-in-the-middle, and pack into Arrow shards.",
    help="Tokenise documents, rearrange some for fill-in-the-middle, and pack them best-fit into Arrow shards.",
    example="corpusmill pack unique --tokenizer tokenizer --output shards --sequence-length 4096 --fim-rate 0.1",
    output="SHARDS",
    makes="shards",
    holds="token shards",
    uses=("tokenizer",),
    side_folders=("validation", "ledger"),
    rates=Rates(92.0, 1.0, 1.03, 740),
    sampled=True,
    inspection="corpusmill.pipelines.inspect.inspection:REJECTING",
    rows=_rows,
    tiles=_tiles,
    report="corpusmill.pipelines.stages.pack.report:REPORT",
)
