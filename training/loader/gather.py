"""Rows out of memory maps into a batch, in one pass over their tokens.

A batch of a shuffled order has each sequence in another shard and record batch. Finding them row by row in Python costs
1.5 microseconds each, as much as copying 4,096 tokens takes; so the tables that lead from a row to its place in memory
are arrays, and one kernel follows them and widens the ids to the int64 that torch wants. It runs without the GIL.

A place in memory is an address, and the tables hold it only as long as the map is open: who calls the kernel holds a
lock under which no shard is closed.
"""

from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from corpusmill.dataproc.kernels.compiling import kernel

CACHE_LINE = 64
OUTSIDE = -1
"""What `gather` returns for a row that the set does not have."""


@intrinsic
def _pointer(_typing: Any, _address: Any) -> Any:
    """An address (uint64) as a pointer, for `numba.carray`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.uint64), code


@kernel
def gather(
    rows: np.ndarray,
    first: int,
    starts: np.ndarray,
    slots: np.ndarray,
    batch_rows: np.ndarray,
    addresses: np.ndarray,
    used: np.ndarray,
    turn: int,
    token_bytes: int,
    out: np.ndarray,
) -> int:
    """Copies rows from number `first` on until one is not in the tables; returns its number, len(rows) after the last.

    Args:
        rows: int64 [B], row numbers of the set.
        starts: int64 [S + 1], first row of each shard.
        slots: int32 [S], the slot of each open shard, -1 for the others.
        batch_rows: int64 [O], rows of a record batch of the shard in a slot.
        addresses: uint64 [O, P], where the tokens of a record batch begin, 0 where it was not touched yet.
        used: int64 [O], set to `turn` for the slots that are used.
        token_bytes: 4 for int32, 3 for the storage `packed`.
        out: int64 [B, L].
    """
    length = out.shape[1]
    for place in range(first, len(rows)):
        row = rows[place]
        if row < 0 or row >= starts[-1]:
            return OUTSIDE
        shard = np.searchsorted(starts, row, side="right") - 1
        slot = slots[shard]
        if slot < 0:
            return place
        batch, within = divmod(row - starts[shard], batch_rows[slot])
        address = addresses[slot, batch]
        if address == 0:
            return place
        used[slot] = turn
        begin = _pointer(np.uint64(address + np.uint64(within * length * token_bytes)))
        # One read a cache line first: the processor then waits for many lines at once, which it does not while it also
        # writes: 10.4 microseconds a batch of 8 x 4,096, not 14.0. The sum is stored, or the compiler drops the reads.
        lines = numba.carray(begin, (length * token_bytes,), np.uint8)
        touched = np.int64(0)
        for line in range(0, length * token_bytes, CACHE_LINE):
            touched += lines[line]
        out[place, 0] = touched
        if token_bytes == 4:
            plain = numba.carray(begin, (length,), np.int32)
            for token in range(length):
                out[place, token] = plain[token]
        else:
            packed = numba.carray(begin, (3 * length,), np.uint8)
            for token in range(length):
                low, middle, high = packed[3 * token], packed[3 * token + 1], packed[3 * token + 2]
                out[place, token] = np.int64(low) | np.int64(middle) << 8 | np.int64(high) << 16
    return len(rows)
