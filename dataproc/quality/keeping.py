"""Which documents a score keeps, and the threshold that each was compared with, for the ledger.

    threshold      score >= threshold
    top            the best share of a group, exactly (`ranking`); the threshold is the last score that was taken
    pareto         score > 1 - draw, the draw from a Pareto (Lomax) distribution: GPT-3's rule (Brown et al. 2020,
                   appendix A, with 9), NeMo Curator's with 3. It lets some documents of low score through, so that the
                   classifier's taste is not all there is

A draw is of (seed, purpose, id), so a document is kept or not wherever and whenever it is looked at. Curator draws
from the process's generator, seeded where the filter object was made: on a cluster each worker has another state.
"""

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.randomness import random_keys, uniforms

RULES = {"threshold": "quality/threshold", "top": "quality/top-share", "pareto": "quality/pareto"}
"""Names of the rules in the ledger."""


def pareto_thresholds(ids: pa.Array, alpha: float, seed: int) -> np.ndarray:
    """The score that each document has to be above: 1 - draw, float64 of shape (N,), at most 1.

    The draw is `(1 - u) ** (-1 / alpha) - 1`, as `numpy.random.pareto` has it.
    """
    drawn = uniforms(random_keys(seed, "quality/pareto", ids))
    return 1.0 - np.expm1(-np.log1p(-drawn) / alpha)


def tie_draws(ids: pa.Array, seed: int) -> np.ndarray:
    """The 64 bits that order documents of one score: uint64 of shape (N,)."""
    return random_keys(seed, "quality/ties", ids)
