"""Exact order statistics over any number of parts: where the best k of all documents end, in bounded memory.

Sorting a trillion tokens' worth of scores is no way to find one threshold. Instead the bits of a document's rank, a
score and then a draw by its id, are looked at from the top, 16 at a time: each part counts its documents by these
bits, the counts are added, and the value that holds the k-th document is looked into further. When no more than `FEW`
documents are left in it, they are looked at themselves. Two or three passes over the column of scores do for a billion
documents.

The rank is total: a score's ties are broken by 64 bits drawn from (seed, purpose, id), which favours no source, and is
the same in any order and on any machine. Two documents of one score that drew the same bits are taken or left together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

DIGIT_BITS = 16
DIGITS = 8
"""Digits of a rank: four of the score, four of the draw."""

FEW = 1 << 16
_TOP = np.uint64(1 << 63)


def score_keys(scores: np.ndarray) -> np.ndarray:
    """uint64 of shape (N,) in the order of the scores (float64, no NaN); 0.0 and -0.0 are one."""
    bits = (scores.astype(np.float64) + 0.0).view(np.uint64)
    return np.where(bits & _TOP, ~bits, bits | _TOP)


def score_of_key(key: int) -> float:
    """The score that `score_keys` turned into a key."""
    bits = np.uint64(key)
    bits = bits & ~_TOP if bits & _TOP else ~bits
    return float(np.array([bits], np.uint64).view(np.float64)[0])


@dataclass
class Search:
    """The search for the rank of the `wanted`-th best of a group.

    Attributes:
        prefix: digits that are settled, from the top.
        above: documents whose rank is above all that begin with the prefix.
        count: documents whose rank begins with the prefix.
        cutoff: the rank, (score key, draw), of the last document taken, once it is known; None if none is.
        is_done: whether it is.
    """

    wanted: int
    prefix: tuple[int, ...] = ()
    above: int = 0
    count: int = 0
    cutoff: tuple[int, int] | None = None
    is_done: bool = False
    _counted: bool = field(default=False, repr=False)

    @property
    def wants_ranks(self) -> bool:
        """Whether the documents that begin with the prefix are few enough to be looked at themselves."""
        return self._counted and not self.is_done and self.count <= FEW

    def narrow(self, counts: Mapping[int, int]) -> None:
        """Takes the next digit: documents by it, of those that begin with the prefix."""
        left = self.wanted - self.above
        if not self._counted:
            self._counted = True
            self.count = sum(counts.values())
            if self.wanted <= 0 or self.count == 0:
                self.is_done = True
                return
            if self.wanted >= self.count:
                self.cutoff, self.is_done = (0, 0), True
                return
        for digit in sorted(counts, reverse=True):
            if counts[digit] >= left:
                self.prefix, self.count = (*self.prefix, digit), counts[digit]
                if len(self.prefix) == DIGITS:
                    self.cutoff, self.is_done = (_joined(self.prefix[:4]), _joined(self.prefix[4:])), True
                return
            left -= counts[digit]
            self.above += counts[digit]
        raise ValueError("fewer documents than were counted before")

    def settle(self, keys: np.ndarray, draws: np.ndarray) -> None:
        """Ends the search by the ranks of all documents that begin with the prefix (uint64, each of shape (count,))."""
        order = np.lexsort((draws, keys))[::-1]
        last = order[self.wanted - self.above - 1]
        self.cutoff, self.is_done = (int(keys[last]), int(draws[last])), True


def _joined(digits: Sequence[int]) -> int:
    whole = 0
    for digit in digits:
        whole = (whole << DIGIT_BITS) | digit
    return whole


def digit(keys: np.ndarray, draws: np.ndarray, number: int) -> np.ndarray:
    """Digit `number` of ranks, from the top: int64 of shape (N,)."""
    source = keys if number < DIGITS // 2 else draws
    shift = np.uint64(64 - DIGIT_BITS * (number % (DIGITS // 2) + 1))
    return ((source >> shift) & np.uint64((1 << DIGIT_BITS) - 1)).astype(np.int64)


def begins(keys: np.ndarray, draws: np.ndarray, prefix: Sequence[int]) -> np.ndarray:
    """Which ranks begin with these digits: bool of shape (N,)."""
    matches = np.ones(len(keys), np.bool_)
    for number, wanted in enumerate(prefix):
        matches &= digit(keys, draws, number) == wanted
    return matches


def reaches(keys: np.ndarray, draws: np.ndarray, cutoff: tuple[int, int] | None) -> np.ndarray:
    """Which ranks are the cutoff or above it: bool of shape (N,)."""
    if cutoff is None:
        return np.zeros(len(keys), np.bool_)
    key, draw = np.uint64(cutoff[0]), np.uint64(cutoff[1])
    return (keys > key) | ((keys == key) & (draws >= draw))
