"""Merging the symbols of one pretoken, lowest rank first: by scanning when it is short, by a heap when it is long.

Both do what Hugging Face's encoder does: of all neighbouring pairs that are merges, the earliest learned is merged, the
leftmost of equals; then again. Scanning is quadratic, but has no set-up and wins up to some fifty bytes.
"""

from typing import NamedTuple

import numpy as np

from tokenizer.keys import Integer, kernel, kernel_part

SCANNED = 48
"""Longest pretoken, in bytes, that is merged by scanning."""


class Merges(NamedTuple):
    """The merges as kernels look them up.

    Attributes:
        pairs: uint64 (2^n, 2), a hash table: 1 + left * 2^32 + right, then rank * 2^32 + new id.
        byte_ids: int32 (256,), the id of each byte.
    """

    pairs: np.ndarray
    byte_ids: np.ndarray


@kernel_part
def find_merge(pairs: np.ndarray, key: np.uint64) -> Integer:
    """The row of a pair (1 + left * 2^32 + right), or the free one where it belongs."""
    mask = np.int64(pairs.shape[0] - 1)
    mixed = key * np.uint64(0x9E3779B97F4A7C15)
    row = np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(mask))
    while pairs[row, 0] != 0 and pairs[row, 0] != key:
        row = (row + 1) & mask
    return row


@kernel_part
def rank_and_id(pairs: np.ndarray, left: int, right: int) -> np.uint64:
    """rank * 2^32 + new id of a merge, all ones if there is none; lower ranks apply first."""
    row = find_merge(pairs, ((np.uint64(left) << np.uint64(32)) | np.uint64(right)) + np.uint64(1))
    return pairs[row, 1] if pairs[row, 0] != 0 else ~np.uint64(0)


@kernel
def enter_merges(merges: np.ndarray, pairs: np.ndarray) -> None:
    """Fills the table; of two merges of one pair the later holds, as in the original."""
    for rank in range(merges.shape[0]):
        key = ((np.uint64(merges[rank, 0]) << np.uint64(32)) | np.uint64(merges[rank, 1])) + np.uint64(1)
        row = find_merge(pairs, key)
        pairs[row, 0] = key
        pairs[row, 1] = (np.uint64(rank) << np.uint64(32)) | np.uint64(merges[rank, 2])


@kernel_part
def merge_scanning(count: int, ids: np.ndarray, ranks: np.ndarray, pairs: np.ndarray) -> int:
    """Merges the first `count` ids in place; returns how many are left. Quadratic in `count`."""
    for place in range(count - 1):
        ranks[place] = rank_and_id(pairs, np.int64(ids[place]), np.int64(ids[place + 1]))
    while count > 1:
        best = 0
        for place in range(1, count - 1):
            if ranks[place] < ranks[best]:
                best = place
        if ranks[best] == ~np.uint64(0):
            break
        ids[best] = np.int32(ranks[best] & np.uint64(0xFFFFFFFF))
        count -= 1
        for place in range(best + 1, count):
            ids[place] = ids[place + 1]
            ranks[place - 1] = ranks[place]
        if best > 0:
            ranks[best - 1] = rank_and_id(pairs, np.int64(ids[best - 1]), np.int64(ids[best]))
        if best < count - 1:
            ranks[best] = rank_and_id(pairs, np.int64(ids[best]), np.int64(ids[best + 1]))
    return count


@kernel_part
def push(heap: np.ndarray, size: int, entry: np.uint64) -> None:
    """Adds an entry to a binary heap, least first."""
    place = size
    while place > 0 and heap[(place - 1) >> 1] > entry:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = entry


@kernel_part
def drop_least(heap: np.ndarray, size: int) -> None:
    """Takes the least entry off a binary heap of `size`; the last one is the one out of place."""
    entry = heap[size - 1]
    place = 0
    while 2 * place + 1 < size - 1:
        child = 2 * place + 1
        if child + 1 < size - 1 and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = entry


@kernel_part
def merge_with_heap(count: int, ids: np.ndarray, pairs: np.ndarray) -> int:
    """As `merge_scanning`, in time n log n. Heap entries are rank * 2^32 + place, so ties go to the left, as there."""
    after = np.empty(count + 1, np.int32)  # the next symbol; an erased one points to itself
    ahead = np.empty(count + 1, np.int32)  # the one before
    heap = np.empty(3 * count, np.uint64)
    size = 0
    high = ~np.uint64(0xFFFFFFFF)
    for place in range(count):
        after[place] = place + 1
        ahead[place] = place - 1
        if place + 1 < count:
            found = rank_and_id(pairs, np.int64(ids[place]), np.int64(ids[place + 1]))
            if found != ~np.uint64(0):
                push(heap, size, (found & high) | np.uint64(place))
                size += 1
    while size > 0:
        entry = heap[0]
        drop_least(heap, size)
        size -= 1
        left = np.int64(entry & np.uint64(0xFFFFFFFF))
        right = np.int64(after[left])
        if right == left or right == count:  # noqa: SIM109 - compiles to less
            continue
        found = rank_and_id(pairs, np.int64(ids[left]), np.int64(ids[right]))
        if found & high != entry & high or found == ~np.uint64(0):
            continue
        ids[left] = np.int32(found & np.uint64(0xFFFFFFFF))
        following = np.int64(after[right])
        after[left] = following
        after[right] = right
        if following < count:
            ahead[following] = left
        for first in (np.int64(ahead[left]), left):
            second = np.int64(after[first]) if first >= 0 else count
            if second < count:
                found = rank_and_id(pairs, np.int64(ids[first]), np.int64(ids[second]))
                if found != ~np.uint64(0):
                    push(heap, size, (found & high) | np.uint64(first))
                    size += 1
    kept = 0
    symbol = np.int64(0)
    while symbol < count:
        ids[kept] = ids[symbol]
        kept += 1
        symbol = np.int64(after[symbol])
    return kept


@kernel_part
def encode_pretoken(
    data: np.ndarray,
    start: int,
    length: int,
    byte_ids: np.ndarray,
    pairs: np.ndarray,
    ids: np.ndarray,
    ranks: np.ndarray,
) -> int:
    """Writes the ids of one pretoken to the front of `ids`, which has room for `length`; returns how many."""
    for place in range(length):
        ids[place] = byte_ids[data[start + place]]
    if length <= SCANNED:
        return merge_scanning(length, ids, ranks, pairs)
    return merge_with_heap(length, ids, pairs)
