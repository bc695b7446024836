"""The next token out of logits: the likeliest one, or a draw by temperature and top-p.

A draw is a pure function of logits, seed, the text's name and the token's position: the uniform number comes from
`dataproc.randomness`, not from a generator that batches would share. So a text does not depend on what is generated
beside it, nor on whether tokens were drafted: a draft is right where it equals what would have been drawn anyway, and
speculative decoding gives the same text at any temperature.

Cost: one pass over the logits; with top-p below 1 they are sorted.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_key, uniforms


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. Raises UserError for what makes no sense."""

    temperature: float = 0.0
    """Logits are divided by it; 0: the likeliest token, always."""
    top_p: float = 1.0
    """Only the likeliest tokens that together have this probability are drawn from (nucleus sampling)."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature is {self.temperature}", hint="give 0 (the likeliest token) or more")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p is {self.top_p}", hint="give a share above 0 and at most 1")


GREEDY = Sampling()
"""Always the likeliest token."""


def text_key(sampling: Sampling, name: str) -> int:
    """The key of one text's draws."""
    return random_key(sampling.seed, "generate", name)


def choose(logits: Tensor, keys: np.ndarray, positions: np.ndarray, sampling: Sampling) -> Tensor:
    """One token for each row of logits [N, V] FP32: int64 [N].

    Args:
        logits: ids that must not be chosen have minus infinity.
        keys: uint64 [N], of `text_key`.
        positions: int64 [N], of the tokens that are chosen.
        sampling: how.
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    probabilities = (logits.double() / sampling.temperature).softmax(-1)
    drawn = torch.from_numpy(_uniform(keys, positions)).to(logits.device)[:, None]
    if sampling.top_p == 1:
        sums = probabilities.cumsum(-1)
        return _first_above(sums, drawn * sums[:, -1:])
    ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    sums = ordered.cumsum(-1)
    # The smallest set that has the probability: those before which less than that has come.
    kept = (sums - ordered < sampling.top_p).sum(-1, keepdim=True)
    within = sums.gather(1, kept - 1)
    place = _first_above(sums, drawn * within)
    return ids.gather(1, place[:, None]).squeeze(1)


def _first_above(sums: Tensor, wanted: Tensor) -> Tensor:
    """For each row the first place whose running sum is above what is wanted [N, 1]."""
    return (sums <= wanted).sum(-1).clamp(max=sums.shape[-1] - 1)


def _uniform(keys: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """float64 [N] in [0, 1): draw number `position` of each key."""
    with np.errstate(over="ignore"):
        streams = keys.astype(np.uint64) + positions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return uniforms(streams)
