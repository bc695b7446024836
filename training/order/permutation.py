"""A seeded shuffle of 0 … n-1 that is computed, not stored: the order of sequences in an epoch.

A Feistel network over Z_a x Z_b, with a b just above n (Black and Rogaway 2002): each round adds to one half a random
function of the other, which anyone can undo, so the whole is a bijection of 0 … ab-1. A value of n or above is sent
through again until it falls below ("cycle walking"); since ab < n + 2 sqrt(n) that is rare. Any position of any epoch
is computed without memory, by every worker alike: 3.6 billion sequences need no index file.

Cost: 0.2 microseconds a position in the kernel. Each position brings its own size and key, because a batch of a
mixture holds sequences of many groups in different epochs.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.randomness import random_uniform

_ROUNDS = 8


def permute(positions: np.ndarray, size: int, key: int) -> np.ndarray:
    """What stands at these positions of the shuffled order: int64 [N], distinct for distinct positions.

    Args:
        positions: places in the order, int64 [N] in 0 … size-1.
        size: n, at most 2**62.
        key: 64 bits that choose the permutation.
    """
    count = len(positions)
    return permute_each(positions.astype(np.int64), np.full(count, size, np.int64), np.full(count, key, np.uint64))


@kernel
def permute_each(positions: np.ndarray, sizes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """`permute` with a size and a key for each position.

    Args:
        positions: int64 [N], each in 0 … its size - 1.
        sizes: int64 [N], at most 2**62.
        keys: uint64 [N].
    """
    shuffled = np.empty(len(positions), np.int64)
    for number in range(len(positions)):
        size, key = sizes[number], keys[number]
        left_size = np.int64(np.sqrt(np.float64(size)))
        # A square root in float64 may be off by one above 2**52.
        while left_size * left_size < size:
            left_size += 1
        while (left_size - 1) * (left_size - 1) >= size:
            left_size -= 1
        right_size = (size + left_size - 1) // left_size
        value = positions[number]
        while True:
            left, right = value // right_size, value % right_size
            for turn in range(_ROUNDS):
                if turn % 2:
                    mixed = np.uint64(right) ^ key
                    left += np.int64(random_uniform(mixed, np.uint64(turn)) * left_size)
                    if left >= left_size:
                        left -= left_size
                else:
                    mixed = np.uint64(left) ^ key
                    right += np.int64(random_uniform(mixed, np.uint64(turn)) * right_size)
                    if right >= right_size:
                        right -= right_size
            value = left * right_size + right
            if value < size:
                break
        shuffled[number] = value
    return shuffled
