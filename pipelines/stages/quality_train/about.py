"""What the training of a quality classifier says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Rates, Rows, StageDescription, decimal


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        *((key.replace("_", " "), f"{value:,}") for key, value in counts.items() if not key.endswith("_documents")),
        ("words", f"{facts['training']['words']:,}"),
        ("area under ROC", decimal(facts["auc"])),
        ("average precision", decimal(facts["average_precision"])),
        ("precision, recall, F1 at 0.5", ", ".join(decimal(facts[name]) for name in ("precision", "recall", "f1"))),
        ("calibration error", decimal(facts["expected_calibration_error"])),
        ("  before calibration", decimal(facts["expected_calibration_error_raw"])),
    ]


QUALITY_TRAIN = StageDescription(
    name="quality-train",
    plan="corpusmill.pipelines.stages.quality_train.plan:QualityTrainStage",
    command=("quality", "train"),
    help="Train a fastText classifier on positive and negative documents; measure it on held-back ones.",
    example="corpusmill quality train --positive textbooks --negative crawl --negative-cap 200000 --output classifier",
    positional=(),
    output="CLASSIFIER",
    makes="classifier",
    holds="a classifier",
    reads=("positive", "negative"),
    rates=Rates(14.0, 0.0, 5.0, 1500),
    rows=_rows,
)
