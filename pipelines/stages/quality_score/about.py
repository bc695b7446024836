"""What scoring by a classifier says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Rates, Rows, StageDescription, document_rows, no_losses


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    tenths = facts["documents_by_tenth"]
    shown = [(f"  {tenth / 10:.1f} to {(tenth + 1) / 10:.1f}", f"{tenths[tenth]:,}") for tenth in range(9, -1, -1)]
    return [*document_rows(counts), (facts["column"], ""), *shown]


QUALITY_SCORE = StageDescription(
    name="quality-score",
    plan="corpusmill.pipelines.stages.quality_score.plan:QualityScoreStage",
    command=("quality", "score"),
    help="Add a classifier's score to every document; any fastText classifier will do.",
    example="corpusmill quality score crawl --model classifier --output scored",
    uses=("model",),
    keeps_ids=True,
    rates=Rates(47.0, 1.0, 0.3, 570),
    sampled=True,
    rows=_rows,
    losses=no_losses,
)
