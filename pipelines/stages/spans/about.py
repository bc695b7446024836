"""What spans says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rates, Rows, StageDescription, document_rows


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    whole = max(facts["bytes_in"], 1)
    return [
        *document_rows(counts),
        ("bytes repeated", f"{facts['bytes_repeated']:,} ({facts['bytes_repeated'] / whole:.2%})"),
        ("bytes cut out", f"{facts['bytes_cut']:,}"),
        ("spans", f"{facts['spans']:,}"),
        ("documents with repeats", f"{facts['documents_with_repeats']:,}"),
    ]


def _losses(manifest: Manifest) -> list[tuple[str, int]]:
    return [("too little left, or too much repeated", manifest["counts"]["rejected"])]


SPANS = StageDescription(
    name="spans",
    plan="corpusmill.pipelines.stages.spans.plan:SpansStage",
    command=("spans",),
    line="Find repeated substrings, paragraphs or lines; report, cut or remove.",
    help="Find repeated substrings, paragraphs or lines; report them, cut them out, or remove documents full of them.",
    example="corpusmill spans unique --output trimmed --unit substring --length 200 --action cut",
    side_folders=("rejected", "ledger", "spans"),
    keeps_ids=True,
    rates=Rates(21.0, 1.0, 1.1, 700),
    sampled=True,
    rows=_rows,
    losses=_losses,
    inspection="corpusmill.pipelines.inspect.inspection:REJECTING",
)
