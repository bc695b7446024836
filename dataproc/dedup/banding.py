"""Which documents are worth comparing, and how many true pairs that overlooks: how signatures are cut into bands.

A signature is cut into b bands of r rows. Two documents are candidates when one whole band is equal, which for
Jaccard similarity s has the probability 1 - (1 - s^r)^b, an S-curve. Candidates are verified afterwards, so a false one
costs time and an overlooked one is lost: the choice is the steepest curve (most rows, hence fewest strangers
compared, whose number grows with the square of the corpus) that still has the wanted recall at the threshold, with no
more bands than that needs, since a band is 16 bytes a document in the shuffle. That is unlike datasketch's
optimiser, which weighs both errors alike and gives (9, 13) with a recall of 0.40 at 0.8 for 128 permutations.

Arithmetic alone: a driver that plans a run has no use for compiled kernels, which take half a second to import.
"""

import math
from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.errors import UserError


class Banding(NamedTuple):
    """How signatures are cut: the first bands * rows slots are used."""

    bands: int
    rows: int


def s_curve(bands: int, rows: int, jaccards: np.ndarray) -> np.ndarray:
    """Probability that a pair with each of these Jaccard similarities becomes a candidate: float64, same shape."""
    return 1.0 - (1.0 - np.asarray(jaccards, np.float64) ** rows) ** bands


CURVE_POINTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)


def describe_curve(banding: Banding, permutations: int) -> list[tuple[float, float]]:
    """(Jaccard similarity, probability to become a candidate) at the points that show the curve, rising.

    Args:
        banding: bands and rows.
        permutations: slots of a signature, to check that they are enough.
    """
    if banding.bands * banding.rows > permutations:
        raise ValueError(f"{banding.bands} bands of {banding.rows} rows need more than {permutations} slots")
    points = np.array(CURVE_POINTS)
    return list(zip(CURVE_POINTS, s_curve(*banding, points).tolist(), strict=True))


def false_candidate_rate(banding: Banding, threshold: float) -> float:
    """Share of pairs below the threshold that become candidates, if their similarities were spread evenly below it.

    Of a real corpus nearly all pairs lie near 0, where the curve is flat: its own share is far lower. It is a measure
    of the curve, to compare bandings by.
    """
    middles = (np.arange(1000) + 0.5) * (threshold / 1000)
    return float(s_curve(*banding, middles).mean())


def curve_in_words(banding: Banding, permutations: int, threshold: float) -> str:
    """The S-curve as one paragraph of text, for people: recall at the threshold and above it, and false candidates."""
    curve = describe_curve(banding, permutations)
    recall = s_curve(*banding, np.array([threshold]))[0]
    points = ", ".join(f"{jaccard:g}: {_percent(probability)}" for jaccard, probability in curve if jaccard < 1.0)
    return (
        f"{banding.bands} bands of {banding.rows} rows ({banding.bands * banding.rows} of {permutations} slots): "
        f"a pair with Jaccard similarity {threshold:g} becomes a candidate with probability {_percent(recall)}, "
        f"of pairs spread evenly below it {_percent(false_candidate_rate(banding, threshold))} do, "
        f"which are compared and left alone. By similarity: {points}."
    )


def _percent(share: float) -> str:
    """A share as a percentage, with as many places as keep it apart from 0 and from 100 %, but no more than two."""
    percent = 100 * share
    if 0.0 < percent < 0.01:
        return "under 0.01 %"
    if 99.99 < percent < 100.0:
        return "over 99.99 %"
    return f"{percent:.{1 if 0.1 <= percent <= 99.9 else 2}f} %"


def choose_bands(threshold: float, permutations: int, recall: float = 0.995) -> Banding:
    """The most rows, and for them the fewest bands, with at least this recall of pairs at the threshold.

    Args:
        threshold: Jaccard similarity from which on pairs are wanted, above 0 and below 1.
        permutations: slots of a signature.
        recall: share of the pairs exactly at the threshold to become candidates; above it the share is higher.
    """
    if not 0.0 < threshold < 1.0 or not 0.0 < recall < 1.0:
        raise UserError(
            f"threshold {threshold} and recall {recall} must be between 0 and 1",
            hint="to remove identical documents, use exact de-duplication",
        )
    for rows in range(permutations, 0, -1):
        bands = int(np.ceil(np.log1p(-recall) / np.log1p(-(threshold**rows))))
        if bands * rows <= permutations:
            return Banding(bands, rows)
    raise UserError(
        f"{permutations} permutations cannot give recall {recall} at threshold {threshold}",
        hint="use more permutations or a lower recall",
    )


def estimate_floor(threshold: float, permutations: int, recall: float = 0.9) -> float:
    """The lowest estimated similarity to accept, so that a pair exactly at the threshold passes with this probability.

    Equal slots of such a pair follow the binomial distribution of (permutations, threshold); accepting at the threshold
    itself would lose half of them. For 128 slots, 0.8 and a recall of 0.9 the floor is 0.758. It is for verification by
    signatures alone; `jaccard.true_similarity` needs none.
    """
    log_p, log_q = math.log(threshold), math.log1p(-threshold)
    below = 0.0
    for equal in range(permutations + 1):
        ways = math.lgamma(permutations + 1) - math.lgamma(equal + 1) - math.lgamma(permutations - equal + 1)
        below += math.exp(ways + equal * log_p + (permutations - equal) * log_q)
        if below > 1.0 - recall:
            return equal / permutations
    return 1.0
