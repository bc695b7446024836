"""Hashes and sets of 64-bit keys, for kernels.

A set is an open hash table: 8 bytes a place, 1.5 to 3 places a key, and 0 in empty places.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from collections.abc import Sequence

import numpy as np

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

MIX = 0xD6E8FEB86659FD93
"""A factor that spreads bits."""


@kernel
def mix(value):
    """Spreads 64 bits over 64 bits: a bijection (xor-shift and multiply, twice)."""
    value ^= value >> np.uint64(32)
    value *= np.uint64(MIX)
    value ^= value >> np.uint64(32)
    value *= np.uint64(MIX)
    return value ^ (value >> np.uint64(32))


def make_set(keys: Sequence[np.ndarray]) -> np.ndarray:
    """The set of all keys (uint64 arrays), as a table uint64[S] with 0 in empty places; S is a power of two.

    Memory: 12 to 24 bytes a key, beside the keys.
    """
    total = sum(len(key) for key in keys)
    places = 1
    while places < 1.5 * total:
        places *= 2
    table = np.zeros(places, np.uint64)
    for key in keys:
        _insert(read_only(key, np.uint64), table)
    return read_only(table, np.uint64)


@kernel_step
def holds(table, key):
    """Whether a set holds a key."""
    mask = np.uint64(table.size - 1)
    place = key & mask
    while table[place] != 0:
        if table[place] == key:
            return True
        place = (place + np.uint64(1)) & mask
    return False


@kernel
def _insert(keys, table):
    mask = np.uint64(table.size - 1)
    for key in keys:
        place = key & mask
        while table[place] != 0 and table[place] != key:
            place = (place + np.uint64(1)) & mask
        table[place] = key
