"""A seeded shuffle of 0 … n-1 that is computed, not stored: the order of sequences in an epoch.

A Feistel network over Z_a x Z_b, with a b just above n (Black and Rogaway 2002): each round adds to one half a random
function of the other, which anyone can undo, so the whole is a bijection of 0 … ab-1. What falls on n or above is sent
through again until it falls below ("cycle walking"); since ab < n + 2 sqrt(n) that is rare. Any position of any epoch
is found in about a microsecond and no memory, by every worker alike: 3.6 billion sequences need no index file.
"""

from math import isqrt

import numpy as np

from dataproc.randomness import uniforms

_ROUNDS = 8


def permute(positions: np.ndarray, size: int, key: int) -> np.ndarray:
    """What stands at these positions of the shuffled order: int64 [N], distinct for distinct positions.

    Args:
        positions: places in the order, int64 [N] in 0 … size-1.
        size: n, at most 2**62.
        key: 64 bits that choose the permutation.
    """
    left_size = max(1, isqrt(size - 1) + 1) if size else 1
    right_size = max(1, -(-size // left_size))
    found = _rounds(positions.astype(np.int64), left_size, right_size, key)
    while (outside := found >= size).any():
        found[outside] = _rounds(found[outside], left_size, right_size, key)
    return found


def _rounds(values: np.ndarray, left_size: int, right_size: int, key: int) -> np.ndarray:
    left, right = np.divmod(values, right_size)
    for number in range(_ROUNDS):
        if number % 2:
            left = (left + _draw(right, key, number, left_size)) % left_size
        else:
            right = (right + _draw(left, key, number, right_size)) % right_size
    return left * right_size + right


def _draw(half: np.ndarray, key: int, number: int, below: int) -> np.ndarray:
    """A random whole number in 0 … below-1 as a function of half, key and round."""
    mixed = half.astype(np.uint64) ^ np.uint64(key)
    return (uniforms(mixed, number) * below).astype(np.int64)
