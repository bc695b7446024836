"""What counting pretokens and training a tokenizer say of themselves."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rates, Rows, StageDescription

GROUPS_SHOWN = 8


def _count_rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    table = facts["table"]
    dropped = table["dropped"]
    left_out = f"{dropped['unique']:,}, {dropped['share']:.2%} of the text"
    return [
        ("documents", f"{table['documents']:,}"),
        ("pretokens", f"{counts['pretokens']:,}"),
        ("unique pretokens", f"{counts['unique_pretokens']:,}"),
        *([(f"  left out, fewer than {table['min_count']}", left_out)] if table["min_count"] > 1 else []),
        *([("groups by " + table["group_by"], f"{len(table['groups']):,}")] if table["group_by"] != "none" else []),
    ]


def _tokenizer_rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        ("ids", f"{facts['ids']:,}"),
        ("  merges", f"{facts['merges']:,}"),
        ("  bytes and special tokens", f"{facts['ids'] - facts['merges']:,}"),
        ("unique pretokens", f"{counts['unique_pretokens']:,}"),
        *_balance_rows(facts.get("balance", {})),
    ]


def _balance_rows(balance: Mapping[str, Any]) -> Rows:
    """What groups of documents were scaled by, where they were: the largest ones."""
    scales = balance.get("scales", {})
    if len(set(scales.values())) <= 1:
        return []
    groups = sorted(scales, key=lambda name: (-balance["groups"][name]["bytes"], name))[:GROUPS_SHOWN]
    return [(f"  {name or '(none)'} counts", f"{scales[name] / 2**20:.3g} times") for name in groups]


def _tiles(manifest: Manifest) -> Rows:
    return [("token ids", f"{manifest['facts']['ids']:,}")]


COUNT = StageDescription(
    name="count",
    plan="corpusmill.pipelines.stages.tokenizer.count:CountStage",
    command=("tokenizer", "count"),
    help="Count pretokens into a table that any vocabulary can be learned from, and that more text can be added to.",
    example="corpusmill tokenizer count unique --output counts --group-by language",
    output="COUNTS",
    makes="counts",
    holds="counts of pretokens",
    uses=("extend",),
    rates=Rates(150.0, 0.0, 0.02, 600),
    rows=_count_rows,
)

TOKENIZER = StageDescription(
    name="tokenizer",
    plan="corpusmill.pipelines.stages.tokenizer.plan:TokenizerStage",
    command=("tokenizer", "train"),
    help="Count pretokens and learn a byte-level BPE from the counts.",
    example="corpusmill tokenizer train unique --output tokenizer --vocab-size 128000",
    output="TOKENIZER",
    makes="tokenizer",
    holds="a tokenizer",
    uses=("counts", "continue_from"),
    rates=Rates(34.0, 0.0, 0.35, 760),
    rows=_tokenizer_rows,
    tiles=_tiles,
    preview="corpusmill.pipelines.stages.tokenizer.preview:plan_lines",
    report="corpusmill.pipelines.stages.tokenizer.report:REPORT",
)
