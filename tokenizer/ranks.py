"""Merging the symbols of one pretoken, lowest rank first: by scanning when it is short, by a heap when it is long.

Both do what Hugging Face's encoder does: of all neighbouring pairs that are merges, the earliest learned is merged, the
leftmost of equals; then again. Scanning is quadratic, but has no set-up and wins up to some fifty bytes.
"""

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.tokenizer.keys import Integer

SCANNED = 48
"""Longest pretoken, in bytes, that is merged by scanning."""


class Merges(NamedTuple):
    """The merges as kernels look them up.

    Attributes:
        pairs: uint64 (2^n, 2), a hash table: 1 + left * 2^32 + right, then rank * 2^32 + new id.
        byte_ids: int32 (256,), the id of each byte.
        byte_pairs: uint64 (65,536,), for each two bytes what `rank_and_id` says of them: where every merging begins.
    """

    pairs: np.ndarray
    byte_ids: np.ndarray
    byte_pairs: np.ndarray


class Room(NamedTuple):
    """Memory to merge a pretoken in.

    Attributes:
        ids: int32 (longest,).
        ranks: uint64 (SCANNED,), for scanning.
        links: int32 (2, longest + 1), and `heap`, uint64 (3 * longest,), for what is not scanned.
    """

    ids: np.ndarray
    ranks: np.ndarray
    links: np.ndarray
    heap: np.ndarray


def room_for(longest: int) -> Room:
    """Room for pretokens of up to so many bytes."""
    linked = longest if longest > SCANNED else 0
    return Room(
        np.empty(longest, np.int32),
        np.empty(SCANNED, np.uint64),
        np.empty((2, linked + 1), np.int32),
        np.empty(3 * linked, np.uint64),
    )


@kernel_step
def find_merge(pairs: np.ndarray, key: np.uint64) -> Integer:
    """The row of a pair (1 + left * 2^32 + right), or the free one where it belongs."""
    mask = np.int64(pairs.shape[0] - 1)
    mixed = key * np.uint64(0x9E3779B97F4A7C15)
    row = np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(mask))
    while pairs[row, 0] != 0 and pairs[row, 0] != key:
        row = (row + 1) & mask
    return row


@kernel_step
def rank_and_id(pairs: np.ndarray, left: int, right: int) -> np.uint64:
    """rank * 2^32 + new id of a merge, all ones if there is none; lower ranks apply first."""
    row = find_merge(pairs, ((np.uint64(left) << np.uint64(32)) | np.uint64(right)) + np.uint64(1))
    return pairs[row, 1] if pairs[row, 0] != 0 else ~np.uint64(0)


@kernel
def enter_merges(merges: np.ndarray, tables: Merges) -> None:
    """Fills `pairs` (zeros before) and `byte_pairs`; of two merges of one pair the later holds, as in the original."""
    pairs, byte_ids, byte_pairs = tables
    for row in range(merges.shape[0]):
        key = ((np.uint64(merges[row, 0]) << np.uint64(32)) | np.uint64(merges[row, 1])) + np.uint64(1)
        place = find_merge(pairs, key)
        pairs[place, 0] = key
        pairs[place, 1] = (np.uint64(row) << np.uint64(32)) | np.uint64(merges[row, 2])
    for left in range(256):
        for right in range(256):
            byte_pairs[256 * left + right] = rank_and_id(pairs, np.int64(byte_ids[left]), np.int64(byte_ids[right]))


def merge_tables(merges: np.ndarray, byte_ids: np.ndarray) -> Merges:
    """The tables of a vocabulary's merges, (M, 3): left, right, new id; earlier ones apply first."""
    pairs = np.zeros((1 << (2 * len(merges)).bit_length(), 2), np.uint64)
    tables = Merges(pairs, read_only(byte_ids), np.empty(1 << 16, np.uint64))
    enter_merges(read_only(merges.astype(np.int32)), tables)
    return tables


@kernel_step
def merge_scanning(count: int, ids: np.ndarray, ranks: np.ndarray, pairs: np.ndarray) -> int:
    """Merges the first `count` ids in place; returns how many are left. Quadratic in `count`.

    `ranks` has, of each pair of neighbours, what `rank_and_id` says of it.
    """
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


@kernel_step
def push(heap: np.ndarray, size: int, entry: np.uint64) -> None:
    """Adds an entry to a binary heap, least first."""
    place = size
    while place > 0 and heap[(place - 1) >> 1] > entry:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = entry


@kernel_step
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


@kernel_step
def merge_with_heap(count: int, ids: np.ndarray, links: np.ndarray, heap: np.ndarray, pairs: np.ndarray) -> int:
    """As `merge_scanning`, in time n log n. Heap entries are rank * 2^32 + place, so ties go to the left, as there."""
    after = links[0]  # the next symbol; an erased one points to itself
    ahead = links[1]  # the one before
    size = 0
    high = ~np.uint64(0xFFFFFFFF)
    for place in range(count):
        after[place] = place + 1
        ahead[place] = place - 1
        if place + 1 < count:
            packed = rank_and_id(pairs, np.int64(ids[place]), np.int64(ids[place + 1]))
            if packed != ~np.uint64(0):
                push(heap, size, (packed & high) | np.uint64(place))
                size += 1
    while size > 0:
        entry = heap[0]
        drop_least(heap, size)
        size -= 1
        left = np.int64(entry & np.uint64(0xFFFFFFFF))
        right = np.int64(after[left])
        if right == left or right == count:  # noqa: SIM109 - compiles to less
            continue
        packed = rank_and_id(pairs, np.int64(ids[left]), np.int64(ids[right]))
        if packed & high != entry & high or packed == ~np.uint64(0):
            continue
        ids[left] = np.int32(packed & np.uint64(0xFFFFFFFF))
        following = np.int64(after[right])
        after[left] = following
        after[right] = right
        if following < count:
            ahead[following] = left
        for first in (np.int64(ahead[left]), left):
            second = np.int64(after[first]) if first >= 0 else count
            if second < count:
                packed = rank_and_id(pairs, np.int64(ids[first]), np.int64(ids[second]))
                if packed != ~np.uint64(0):
                    push(heap, size, (packed & high) | np.uint64(first))
                    size += 1
    kept = 0
    symbol = np.int64(0)
    while symbol < count:
        ids[kept] = ids[symbol]
        kept += 1
        symbol = np.int64(after[symbol])
    return kept


@kernel_step
def encode_pretoken(data: np.ndarray, start: int, length: int, merges: Merges, room: Room) -> int:
    """Writes the ids of one pretoken to the front of `room.ids`; returns how many."""
    pairs, byte_ids, byte_pairs = merges
    ids, ranks, links, heap = room
    for place in range(length):
        ids[place] = byte_ids[data[start + place]]
    if length > SCANNED:
        return merge_with_heap(length, ids, links, heap, pairs)
    for place in range(length - 1):
        ranks[place] = byte_pairs[256 * np.int64(data[start + place]) + np.int64(data[start + place + 1])]
    return merge_scanning(length, ids, ranks, pairs)
