"""The hash table that pretokens are counted in: 8 ns a pretoken, from memory that is not in the processor's cache.

A slot is 32 bytes: a key of 16 bytes, a mark (entry, group, length) and the count. Strings of at most 16 bytes, which
nearly all pretokens are, are their own keys, so comparing keys compares strings and a probe never leaves the table; of
longer ones the bytes are compared, too. What makes it fast: keys come from two whole loads and two masks, without a
branch on the length, and slots are prefetched some sixty pretokens before they are looked at.

Keys here (`keys.masked_key`) are never stored: unlike `keys.key_of` they may change between versions.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.kernels.loads import load64
from corpusmill.tokenizer.keys import SHORT, hash_of, masked_key, prefetch, same_bytes

AHEAD = 64
"""Keys computed before the first of them is looked up."""

MOST_GROUPS = 1 << 16
"""A mark has 16 bits for the group."""

ENTRY_SHIFT, GROUP_SHIFT = 24, 8
GROUP_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@kernel
def count_spans(
    data: np.ndarray,
    start: int,
    ends: np.ndarray,
    weight: int,
    group: int,
    masks: np.ndarray,
    slots: np.ndarray,
    offsets: np.ndarray,
    spellings: np.ndarray,
    entries: np.ndarray,
) -> int:
    """Adds `weight` to the counts of strings; returns how many spans were done, fewer than all when a table is full.

    Args:
        data: uint8; span k is `data[ends[k - 1] : ends[k]]`, the first from `start` on.
        weight: 1 to count, -1 to take back.
        group: of all these spans; the same string in another group is another entry.
        masks: `KEY_MASKS`.
        slots: uint64 (2^n, 4): key (two words), (entry + 1) << 24 | group << 8 | min(length, 255), count. 0 in the
            third: free. There are more than `offsets` has room for entries.
        offsets: int64 (most entries + 1,), where an entry's bytes start in `spellings`.
        entries: int64 (1,), how many there are; moved on.
    """
    mask = np.int64(slots.shape[0] - 1)
    spread = np.uint64(group) * GROUP_SPREAD
    kind = np.uint64(group) << np.uint64(GROUP_SHIFT)
    ahead = np.empty((AHEAD, 2), np.uint64)
    places = np.empty(AHEAD, np.int64)
    spans = ends.shape[0]
    safe = data.shape[0] - SHORT
    for first in range(0, spans, AHEAD):
        last = min(first + AHEAD, spans)
        begin = start
        for span in range(first, last):
            length = ends[span] - begin
            if length <= SHORT and begin <= safe:  # written out: a call here costs a quarter of all counting
                low = load64(data, begin) & masks[length, 0]
                high = load64(data, begin + 8) & masks[length, 1]
            else:
                low, high = masked_key(data, begin, length, masks)
            slot = np.int64((hash_of(low, high, length) + spread) & np.uint64(mask))
            prefetch(slots, slot)
            ahead[span - first, 0] = low
            ahead[span - first, 1] = high
            places[span - first] = slot
            begin = ends[span]
        for span in range(first, last):
            low = ahead[span - first, 0]
            high = ahead[span - first, 1]
            slot = places[span - first]
            length = ends[span] - start
            wanted = kind | np.uint64(min(length, 255))
            while True:
                mark = slots[slot, 2]
                if slots[slot, 0] == low and slots[slot, 1] == high and mark & np.uint64(0xFFFFFF) == wanted:
                    same = length <= SHORT
                    if not same:
                        entry = np.int64(mark >> np.uint64(ENTRY_SHIFT)) - 1
                        at = offsets[entry]
                        same = offsets[entry + 1] - at == length and same_bytes(data, start, spellings, at, length)
                    if same:
                        slots[slot, 3] += np.uint64(weight)
                        break
                elif mark == 0:
                    entry = entries[0]
                    write = offsets[entry]
                    if entry + 1 >= offsets.shape[0] or write + length > spellings.shape[0]:
                        return span
                    slots[slot, 0] = low
                    slots[slot, 1] = high
                    slots[slot, 2] = (np.uint64(entry + 1) << np.uint64(ENTRY_SHIFT)) | wanted
                    slots[slot, 3] = np.uint64(weight)
                    for place in range(length):
                        spellings[write + place] = data[start + place]
                    entries[0] = entry + 1
                    offsets[entry + 1] = write + length
                    break
                slot = (slot + 1) & mask
            start = ends[span]
    return spans


@kernel
def move_slots(old: np.ndarray, new: np.ndarray) -> None:
    """Puts the used slots of a table into a larger, empty one."""
    mask = np.int64(new.shape[0] - 1)
    for used in range(old.shape[0]):
        mark = old[used, 2]
        if mark != 0:
            spread = ((mark >> np.uint64(GROUP_SHIFT)) & np.uint64(MOST_GROUPS - 1)) * GROUP_SPREAD
            hashed = hash_of(old[used, 0], old[used, 1], np.int64(mark & np.uint64(255))) + spread
            slot = np.int64(hashed & np.uint64(mask))
            while new[slot, 2] != 0:
                slot = (slot + 1) & mask
            for column in range(4):
                new[slot, column] = old[used, column]
