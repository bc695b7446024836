"""What import says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Rates, Rows, StageDescription
from corpusmill.pipelines.stages.pack.about import lint_row


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        ("documents", f"{counts['kept']:,}"),
        ("tokens", f"{counts['tokens']:,}"),
        ("sequences", f"{counts['sequences']:,}"),
        ("fill", f"{facts['fill']:.2%}"),
        ("padding left out", f"{counts['padding_left_out']:,}"),
        ("end tokens added", f"{counts['ends_added']:,}"),
        ("documents held back", f"{counts['validation_documents']:,}"),
        *lint_row(facts),
    ]


IMPORT = StageDescription(
    name="import",
    plan="corpusmill.pipelines.stages.import_tokens.plan:ImportStage",
    command=("import",),
    line="Import tokenised documents of those formats as token shards.",
    help="Import tokenised documents of Megatron, Mosaic MDS, Hugging Face or flat files as token shards.",
    example="corpusmill import tokens/ --format megatron --tokenizer tokenizer --output shards --sequence-length 4096",
    positional=("paths",),
    output="SHARDS",
    makes="shards",
    holds="token shards",
    reads=(),
    uses=("tokenizer",),
    side_folders=("validation",),
    rates=Rates(90.0, 1.0, 1.05, 800),
    rows=_rows,
)
