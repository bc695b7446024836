"""What a search index says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Rates, Rows, StageDescription, document_rows


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        *document_rows(counts),
        ("text", f"{facts['text_bytes']:,} bytes"),
        ("index", f"{facts['index_bytes']:,} bytes ({facts['index_bytes'] / max(facts['text_bytes'], 1):.1%})"),
        ("segments", f"{facts['segments']:,}"),
    ]


SEARCH = StageDescription(
    name="search",
    plan="corpusmill.pipelines.stages.search.plan:SearchStage",
    command=("search", "build"),
    help="Index the text of datasets, so that any string in it is found at once. An interrupted build resumes when it"
    " is run again.",
    example="corpusmill search build unique --output seen-text",
    output="INDEX",
    makes="search index",
    holds="a search index",
    rates=Rates(6.2, 0.0, 0.51, 2100),
    sampled=True,
    rows=_rows,
)
"""The command stands beside those that ask an index, in `pipelines/cli/search.py`."""
