"""What export says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Rates, Rows, StageDescription


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rows = [
        ("items", f"{counts['items']:,}"),
        ("tokens", f"{counts['tokens']:,}"),
        ("file bytes per token", f"{facts['bytes_per_token']:.2f}"),
        ("padding, marked", f"{counts['padding']:,}"),
        ("held-back items", f"{counts['validation_items']:,}"),
    ]
    if counts["incomplete_documents"]:
        rows.append(("documents with missing pieces", f"{counts['incomplete_documents']:,}"))
    return rows


EXPORT = StageDescription(
    name="export",
    plan="corpusmill.pipelines.stages.export.plan:ExportStage",
    command=("export",),
    line="Export token shards as Megatron, Mosaic MDS, Hugging Face or flat files.",
    help="Export token shards as Megatron, Mosaic MDS, Hugging Face or flat files.",
    example="corpusmill export shards --to megatron --output for-megatron --unit document",
    positional=("shards",),
    output="FOLDER",
    makes="export",
    holds="tokens in another format",
    reads=("shards",),
    reads_tokens=True,
    rates=Rates(200.0, 1.0, 1.0, 610),
    rows=_rows,
)
