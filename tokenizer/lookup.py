"""Pretokens and their ids in one hash table: what the encoder's cache and the warm table of a tokenizer folder share.

A slot is 32 bytes, half a line of the processor's cache. It holds the key of 16 bytes, which is the pretoken itself
when that is not longer, and its ids when they are three at most. So nearly every lookup touches one line, compares two
words, and writes three ids, of which it then counts the real ones: no loop, no branch on the result. Longer
pretokens have their bytes, and more ids their place, in an arena beside the slots; of longer ones all bytes are
compared, so a table never mistakes one text for another.

The table is plain arrays with no pointers, so a file of it that is mapped into memory is ready as it lies on the disk.
Slots are `hash_of` and the next ones (linear probing); a table is at most three quarters full.
"""

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.loads import load64
from corpusmill.tokenizer.keys import SHORT, Integer, hash_of, masked_key

INLINE = 3
"""Most ids that a slot holds itself."""

LONGEST = 0xFFFF
"""Longest pretoken, in bytes, that a table can hold."""


class PretokenTable(NamedTuple):
    """Pretokens and their ids.

    Attributes:
        slots: uint64 (2^n, 4): key (two words); length + how many ids * 2^16 + first id * 2^32, 0 when free; the
            second and third id, or the place in `arena` when there are more or the pretoken has more than 16 bytes.
        arena: int32, at a place the ids of a pretoken, then its bytes if there are more than 16.
        arena_bytes: uint8, the same memory.
    """

    slots: np.ndarray
    arena: np.ndarray
    arena_bytes: np.ndarray


def new_table(slots: int, arena: int) -> PretokenTable:
    """An empty table of so many slots (a power of two) and so many words of arena."""
    words = np.zeros(arena, np.int32)
    return PretokenTable(np.zeros((slots, 4), np.uint64), words, words.view(np.uint8))


@kernel_step
def arena_words(length: int, count: int) -> int:
    """Words of arena that a pretoken of so many bytes and ids takes."""
    if length > SHORT:
        return count + (length + 3) // 4
    return count if count > INLINE else 0


@kernel_step
def same_text(left: np.ndarray, left_start: int, right: np.ndarray, right_start: int, length: int) -> bool:
    """Whether two stretches of more than 8 bytes are equal."""
    last = length - 8
    for place in range(0, last, 8):
        if load64(left, left_start + place) != load64(right, right_start + place):
            return False
    return load64(left, left_start + last) == load64(right, right_start + last)


@kernel_step
def find_pretoken(
    slots: np.ndarray,
    arena_bytes: np.ndarray,
    slot: Integer,
    low: np.uint64,
    high: np.uint64,
    data: np.ndarray,
    start: int,
    length: int,
) -> Integer:
    """The slot of a pretoken, looked for from `slot` on; ~(the free slot where it belongs) when it is not there."""
    mask = np.int64(slots.shape[0] - 1)
    while True:
        word = slots[slot, 2]
        if word == 0:
            return ~slot
        if slots[slot, 0] == low and slots[slot, 1] == high and np.int64(word & np.uint64(0xFFFF)) == length:
            if length <= SHORT:
                return slot
            place = np.int64(slots[slot, 3]) + np.int64((word >> np.uint64(16)) & np.uint64(0xFFFF))
            if same_text(arena_bytes, 4 * place, data, start, length):
                return slot
        slot = (slot + 1) & mask


@kernel_step
def copy_ids(slots: np.ndarray, arena: np.ndarray, slot: int, out: np.ndarray, filled: int) -> Integer:
    """Writes the ids in a slot to `out`, which has room for two more than there are; returns how many there are."""
    word = slots[slot, 2]
    more = slots[slot, 3]
    count = np.int64((word >> np.uint64(16)) & np.uint64(0xFFFF))
    if count <= INLINE and np.int64(word & np.uint64(0xFFFF)) <= SHORT:
        out[filled] = np.int32(word >> np.uint64(32))
        out[filled + 1] = np.int32(more & np.uint64(0xFFFFFFFF))
        out[filled + 2] = np.int32(more >> np.uint64(32))
    else:
        for place in range(count):
            out[filled + place] = arena[np.int64(more) + place]
    return count


@kernel_step
def enter_pretoken(
    slots: np.ndarray,
    arena: np.ndarray,
    arena_bytes: np.ndarray,
    slot: int,
    top: int,
    low: np.uint64,
    high: np.uint64,
    data: np.ndarray,
    start: int,
    length: int,
    ids: np.ndarray,
    first: int,
    count: int,
) -> int:
    """Enters a pretoken and its ids, `ids[first : first + count]`, in a free slot; the arena is free from `top` on.

    Returns the new `top`. There has to be room; `length` is at most `LONGEST`.
    """
    slots[slot, 0] = low
    slots[slot, 1] = high
    word = np.uint64(length) | (np.uint64(count) << np.uint64(16))
    slots[slot, 2] = word | (np.uint64(ids[first]) << np.uint64(32))
    if length <= SHORT and count <= INLINE:
        more = np.uint64(ids[first + 1]) if count > 1 else np.uint64(0)
        if count > 2:
            more |= np.uint64(ids[first + 2]) << np.uint64(32)
        slots[slot, 3] = more
        return top
    slots[slot, 3] = np.uint64(top)
    for place in range(count):
        arena[top + place] = ids[first + place]
    if length > SHORT:
        at = 4 * (top + count)
        for place in range(length):
            arena_bytes[at + place] = data[start + place]
    return top + arena_words(length, count)


@kernel
def fill_table(
    table: PretokenTable, masks: np.ndarray, offsets: np.ndarray, data: np.ndarray, lists: np.ndarray, ids: np.ndarray
) -> int:
    """Enters rows of pretokens with rows of ids into an empty table; returns the words of arena that were taken.

    Args:
        table: with room for all.
        masks: `KEY_MASKS`.
        offsets, data: the pretokens, unique, of 1 to `LONGEST` bytes.
        lists, ids: int64 and int32, where each one's ids start, and the ids.
    """
    slots, arena, arena_bytes = table
    top = 0
    mask = np.uint64(slots.shape[0] - 1)
    for row in range(offsets.shape[0] - 1):
        start = offsets[row]
        length = offsets[row + 1] - start
        low, high = masked_key(data, start, length, masks)
        slot = np.int64(hash_of(low, high, length) & mask)
        slot = ~find_pretoken(slots, arena_bytes, slot, low, high, data, start, length)
        count = lists[row + 1] - lists[row]
        top = enter_pretoken(
            slots, arena, arena_bytes, slot, top, low, high, data, start, length, ids, lists[row], count
        )
    return top
