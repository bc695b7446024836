"""Blocks that are alike: sums over those with the same key, such as the path of their elements.

Keys are put into a table with open addressing, twice as large as there are blocks, so a look-up is a step or two.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_step

_MIX = np.uint64(0x9E3779B97F4A7C15)


def table_bits(rows: int) -> int:
    """How many bits number the slots of a table for so many keys."""
    return max(4, int(2 * rows - 1).bit_length())


@kernel_step
def find_clusters(blocks, column, bits, slots, numbers):
    """Numbers the values of a column from 0 on into `numbers` int32 (N,), by the order in which they come.

    `slots` int32 (2 ** bits,) is scratch: the first block of each value. Gives how many values there are.
    """
    slots[:] = -1
    shift = np.uint64(64 - bits)
    last = np.uint64(len(slots) - 1)
    found = np.int64(0)
    for row in range(len(blocks)):
        key = blocks[row, column]
        slot = (np.uint64(key) * _MIX) >> shift
        while slots[slot] >= 0 and blocks[slots[slot], column] != key:
            slot = (slot + np.uint64(1)) & last
        if slots[slot] < 0:
            slots[slot] = row
            numbers[row] = found
            found += 1
        else:
            numbers[row] = numbers[slots[slot]]
    return found
