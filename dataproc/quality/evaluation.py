"""What is recorded about a classifier: its calibration, and how well it does on documents held back from training.

Held-back documents are drawn by id. A further draw parts them in two: on one half the calibration is fitted, on the
other everything is measured, so no number here is of a document that the classifier or the calibration has seen.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.quality import calibration, metrics
from corpusmill.dataproc.randomness import random_keys, uniforms

LEAST_FOR_CALIBRATION = 20
"""Fewest documents of each class that a calibration is fitted to; with fewer, none is fitted."""

THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 0.9)
GROUPS = ("language", "source", "kind")
UNKNOWN = "unknown"

SCORED_SCHEMA = pa.schema(
    [
        ("score", pa.float64()),
        ("is_positive", pa.bool_()),
        ("for_calibration", pa.bool_()),
        *[(name, pa.dictionary(pa.int32(), pa.string())) for name in GROUPS],
    ]
)
"""A held-back document once it is scored."""


def is_held_back(ids: pa.Array, share: float, seed: int) -> np.ndarray:
    """Which documents no training sees: bool of shape (N,)."""
    return uniforms(random_keys(seed, "quality/held-back", ids)) < share


def is_for_calibration(ids: pa.Array, seed: int) -> np.ndarray:
    """Which of the held-back documents the calibration is fitted to, one half: bool of shape (N,)."""
    return uniforms(random_keys(seed, "quality/calibration", ids)) < 0.5


def evaluate(scored: pa.Table, method: str) -> dict[str, Any]:
    """`calibration` and `metrics` of held-back documents, for JSON.

    Args:
        scored: columns of `SCORED_SCHEMA`, in any order of rows.
        method: of calibration: platt, isotonic or none.
    """
    scores = scored["score"].to_numpy()
    is_positive = scored["is_positive"].to_numpy(zero_copy_only=False)
    for_calibration = scored["for_calibration"].to_numpy(zero_copy_only=False)
    fitted, why = None, ""
    if method == "none":
        for_calibration = np.zeros(len(scores), np.bool_)
    else:
        good = int((is_positive & for_calibration).sum())
        bad = int(for_calibration.sum()) - good
        if min(good, bad) < LEAST_FOR_CALIBRATION:
            why = f"{good} positive and {bad} negative to calibrate by; {LEAST_FOR_CALIBRATION} of each are needed"
        else:
            fitted = calibration.fit(method, scores[for_calibration], is_positive[for_calibration])
    measured = ~for_calibration
    raw, truth = scores[measured], is_positive[measured]
    final = calibration.apply(fitted, raw) if fitted else raw
    steps = metrics.Steps.of(final, truth)
    best = metrics.best_f1(steps)
    measures: dict[str, Any] = {
        "documents": {"measured": int(measured.sum()), "calibrated_by": int(for_calibration.sum())},
        "overall": metrics.describe(final, truth, 0.5),
        "at": [metrics.at_threshold(final, truth, threshold) for threshold in THRESHOLDS],
        "best_f1": metrics.at_threshold(final, truth, best) if best is not None else None,
        "roc": metrics.roc_curve(steps),
        "reliability": _reliability(final, truth),
        "reliability_raw": _reliability(raw, truth) if fitted else None,
        "not_calibrated": why,
    }
    for name in GROUPS:
        column = (
            scored[name].combine_chunks() if scored.num_rows else pa.array([], pa.dictionary(pa.int32(), pa.string()))
        )
        values = column.cast(pa.string()).fill_null(UNKNOWN).dictionary_encode()
        places = values.indices.to_numpy(zero_copy_only=False).astype(np.int64)[measured]
        names = [str(word) for word in values.dictionary.to_pylist()]
        measures[f"by_{name}"] = metrics.describe_groups(final, truth, places, names, 0.5)
    return {"calibration": fitted, "metrics": measures}


def _reliability(scores: np.ndarray, is_positive: np.ndarray) -> dict[str, Any]:
    table = calibration.reliability(scores, is_positive)
    return {"bins": table, "expected_error": calibration.expected_error(table)}
