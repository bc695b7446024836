"""What a score means: a calibrated score of 0.8 says that of such documents 80 % are positive.

Two ways from score to probability, both rising, so that calibration never changes which of two documents is better:

    platt      a sigmoid of the score's logit (Platt 1999), fitted by Newton's method to his smoothed targets
    isotonic   the best rising step function (pool adjacent violators), straight between its steps

Platt's has two numbers and keeps distinct scores distinct; isotonic follows any shape and wants a thousand documents
or more, and its flat stretches make ties. Both are fitted on held-back documents that nothing else is measured on, and
both describe the mixture of these: where positives are rarer than they were there, so are they at each score.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel

BINS = 10
LOGIT_BOUND = 1e-6
"""Scores are taken to be so far from 0 and 1: fastText's are rounded, and a logit must be finite."""

_STEPS, _RIDGE = 100, 1e-12


def fit(method: str, scores: np.ndarray, is_positive: np.ndarray) -> dict[str, Any]:
    """The calibration of N scores (float64 in [0, 1]) by what the documents are (bool), as plain numbers for JSON.

    `method` is `platt` or `isotonic`; both kinds of documents must be there.
    """
    if is_positive.all() or not is_positive.any():
        raise ValueError("calibration needs positive and negative documents")
    return {"method": method} | (_fit_platt if method == "platt" else _fit_isotonic)(scores, is_positive)


LARGEST_POWER = 700.0
"""Of e in float64, about."""


def apply(calibration: Mapping[str, Any], scores: np.ndarray) -> np.ndarray:
    """Calibrated scores, float64 in [0, 1], never falling where the scores rise."""
    if calibration["method"] == "platt":
        power = calibration["slope"] * _logits(scores) + calibration["shift"]
        return 1.0 / (1.0 + np.exp(np.minimum(-power, LARGEST_POWER)))
    return np.interp(scores, calibration["scores"], calibration["values"])


def reliability(scores: np.ndarray, is_positive: np.ndarray, bins: int = BINS) -> list[dict[str, Any]]:
    """Bins of equal width with documents in them: how many, their mean score, and the share of positives."""
    place = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, weights=scores, minlength=bins)
    positive = np.bincount(place, weights=is_positive, minlength=bins)
    return [
        {
            "from": number / bins,
            "to": (number + 1) / bins,
            "documents": int(counts[number]),
            "mean_score": float(sums[number] / counts[number]),
            "positive_share": float(positive[number] / counts[number]),
        }
        for number in range(bins)
        if counts[number]
    ]


def expected_error(table: list[dict[str, Any]]) -> float:
    """The expected calibration error: the distance of score and share in a bin, weighed by its documents."""
    whole = sum(row["documents"] for row in table)
    return sum(row["documents"] * abs(row["mean_score"] - row["positive_share"]) for row in table) / max(1, whole)


def _logits(scores: np.ndarray) -> np.ndarray:
    bounded = np.clip(scores, LOGIT_BOUND, 1 - LOGIT_BOUND)
    return np.log(bounded) - np.log1p(-bounded)


def _fit_platt(scores: np.ndarray, is_positive: np.ndarray) -> dict[str, Any]:
    """Newton's method with halved steps (Lin, Lin and Weng 2007); the loss is convex, so the fit is the only one.

    The slope is kept at 0 or above: a classifier that is worse than chance is not turned round.
    """
    logits = _logits(scores)
    positive = int(is_positive.sum())
    negative = len(scores) - positive
    targets = np.where(is_positive, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(slope: float, shift: float) -> float:
        power = slope * logits + shift
        return float(np.sum(np.logaddexp(0.0, power) - targets * power))

    slope, shift = 0.0, float(np.log((positive + 1) / (negative + 1)))
    now = loss(slope, shift)
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-(slope * logits + shift)))
        off, spread = chance - targets, chance * (1 - chance)
        gradient = np.array([np.sum(off * logits), np.sum(off)])
        curve = np.array(
            [[np.sum(spread * logits * logits), np.sum(spread * logits)], [np.sum(spread * logits), np.sum(spread)]]
        )
        step = np.linalg.solve(curve + _RIDGE * np.eye(2), gradient)
        size = 1.0
        while size > 1e-10 and (then := loss(slope - size * step[0], shift - size * step[1])) > now:
            size /= 2
        slope, shift = slope - size * step[0], shift - size * step[1]
        if size <= 1e-10 or now - then <= 1e-12 * max(1.0, now):
            break
        now = then
    if slope < 0:
        slope, shift = 0.0, float(np.log((positive + 1) / (negative + 1)))
    return {"slope": float(slope), "shift": float(shift)}


def _fit_isotonic(scores: np.ndarray, is_positive: np.ndarray) -> dict[str, Any]:
    distinct, place = np.unique(scores, return_inverse=True)
    weights = np.bincount(place).astype(np.float64)
    means = np.bincount(place, weights=is_positive) / weights
    starts = _pool(means, weights)
    ends = np.append(starts[1:], len(distinct))
    middles, values = [], []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        share = float(np.average(means[start:end], weights=weights[start:end]))
        for score in sorted({float(distinct[start]), float(distinct[end - 1])}):
            middles.append(score)
            values.append(share)
    return {"scores": middles, "values": values}


@kernel
def _pool(means, weights):
    """Pool adjacent violators: where the steps of the best rising function begin."""
    starts = np.empty(len(means), np.int64)
    level, weight = np.empty(len(means), np.float64), np.empty(len(means), np.float64)
    count = 0
    for i in range(len(means)):
        starts[count], level[count], weight[count] = i, means[i], weights[i]
        count += 1
        while count > 1 and level[count - 2] >= level[count - 1]:
            both = weight[count - 2] + weight[count - 1]
            level[count - 2] = (level[count - 2] * weight[count - 2] + level[count - 1] * weight[count - 1]) / both
            weight[count - 2] = both
            count -= 1
    return starts[:count].copy()
