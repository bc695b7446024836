"""How good a score is on labelled documents: precision, recall, F1, the ROC curve and its area, average precision.

All are exact over the scores given, with ties counted as ties: the area is the probability that a positive document
scores above a negative one, half a tie (Mann and Whitney); average precision is the sum of precision over steps of
recall, one step a distinct score. Nothing is sampled but the points of the curve that are kept for drawing.

Cost: one sort. Memory: some 40 bytes a document.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

CURVE_POINTS = 201
"""Points of a ROC curve that are written down."""


@dataclass(frozen=True)
class Steps:
    """Counts at each of U distinct scores, falling: documents that score so much or more.

    `scores` float64, `positive` and `negative` int64 (cumulative), all of shape (U,).
    """

    scores: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, is_positive: np.ndarray) -> "Steps":
        """From N scores and what each document is (bool of shape (N,))."""
        order = np.argsort(-scores, kind="stable")
        ranked, good = scores[order], is_positive[order]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, np.int64)
        positive = np.cumsum(good, dtype=np.int64)[last]
        return cls(ranked[last], positive, last + 1 - positive)


def area_under_roc(steps: Steps) -> float | None:
    """The probability that a positive document scores above a negative one; None where one of them is missing."""
    if not len(steps.scores) or not steps.positive[-1] or not steps.negative[-1]:
        return None
    positive, negative = np.append(0, steps.positive), np.append(0, steps.negative)
    doubled = int(np.sum(np.diff(negative) * (positive[1:] + positive[:-1])))  # whole numbers: exact
    return doubled / (2 * int(positive[-1]) * int(negative[-1]))


def average_precision(steps: Steps) -> float | None:
    """The mean of precision over the positive documents, by falling score; None where there is no positive document."""
    if not len(steps.scores) or not steps.positive[-1]:
        return None
    precision = steps.positive / (steps.positive + steps.negative)
    return float(np.sum(np.diff(steps.positive, prepend=0) * precision) / steps.positive[-1])


def roc_curve(steps: Steps, points: int = CURVE_POINTS) -> list[list[float]]:
    """[[false positive rate, true positive rate, threshold], …] from (0, 0) to (1, 1), evenly thinned."""
    if area_under_roc(steps) is None:
        return []
    false, true = steps.negative / steps.negative[-1], steps.positive / steps.positive[-1]
    # Evenly along both axes together, so that a steep beginning is as well drawn as a flat end
    chosen = np.unique(np.searchsorted(false + true, np.linspace(0, 2, points)).clip(max=len(false) - 1))
    kept = zip(false[chosen].tolist(), true[chosen].tolist(), steps.scores[chosen].tolist(), strict=True)
    return [[0.0, 0.0, float(steps.scores[0])], *map(list, kept)]


def at_threshold(scores: np.ndarray, is_positive: np.ndarray, threshold: float) -> dict[str, Any]:
    """Precision, recall and F1 when documents that score `threshold` or more are taken; None where undefined."""
    taken = scores >= threshold
    right = int(np.sum(taken & is_positive))
    in_all, positive = int(np.sum(taken)), int(np.sum(is_positive))
    return {
        "threshold": float(threshold),
        "taken": in_all,
        "precision": right / in_all if in_all else None,
        "recall": right / positive if positive else None,
        "f1": 2 * right / (in_all + positive) if in_all + positive else None,
    }


def best_f1(steps: Steps) -> float | None:
    """The distinct score that gives the highest F1 as a threshold, the higher one of equals; None without positives."""
    if not len(steps.scores) or not steps.positive[-1]:
        return None
    f1 = 2 * steps.positive / (steps.positive + steps.negative + steps.positive[-1])
    return float(steps.scores[int(np.argmax(f1))])


def describe(scores: np.ndarray, is_positive: np.ndarray, threshold: float) -> dict[str, Any]:
    """One group of documents: counts, areas, and precision, recall and F1 at a threshold."""
    steps = Steps.of(scores, is_positive)
    positive = int(np.sum(is_positive))
    return {
        "positive": positive,
        "negative": len(scores) - positive,
        "auc": area_under_roc(steps),
        "average_precision": average_precision(steps),
        **at_threshold(scores, is_positive, threshold),
    }


def describe_groups(
    scores: np.ndarray, is_positive: np.ndarray, groups: np.ndarray, names: list[str], threshold: float
) -> dict[str, dict[str, Any]]:
    """`describe` of each group, the largest first: `groups`, int64 of shape (N,), are places in `names`."""
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups, minlength=len(names))
    starts = np.cumsum(counts) - counts
    by_size = sorted(range(len(names)), key=lambda group: (-counts[group], names[group]))
    described = {}
    for group in by_size:
        members = order[starts[group] : starts[group] + counts[group]]
        if len(members):
            described[names[group]] = describe(scores[members], is_positive[members], threshold)
    return described
