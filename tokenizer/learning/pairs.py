"""Counting pairs of neighbouring symbols: the hash table and the heap that BPE training lives on. Kernels.

A pair of symbols is a key, 1 + left * 2^32 + right, in a hash table with open addressing that holds its count. The heap
has four children a node and rows of (count, key, start, length): the commonest pair first, ties by lower key; start
and length say where the words that hold the pair are listed. A listed word may have lost the pair since.
"""

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.tokenizer.keys import Integer
from corpusmill.tokenizer.learning.words import Words


class Pairs(NamedTuple):
    """The pairs whose count reaches a threshold.

    Attributes:
        keys, counts: uint64 and int64 of the same length, a power of two: the hash table, at most half full.
        heap: int64 (P, 4), rows of count, key, and the start and length of the pair's part of `lists`.
        lists: int32, words by pair.
        used: int64 (3,): rows of the heap, keys of the table, and the part of `lists` that are in use.
    """

    keys: np.ndarray
    counts: np.ndarray
    heap: np.ndarray
    lists: np.ndarray
    used: np.ndarray


@kernel_part
def pair_key(left: int, right: int) -> np.uint64:
    return ((np.uint64(left) << np.uint64(32)) | np.uint64(right)) + np.uint64(1)


@kernel_part
def find_pair(keys: np.ndarray, key: np.uint64) -> Integer:
    """The slot of a pair, or the free one where it belongs."""
    mask = np.int64(keys.shape[0] - 1)
    mixed = key * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(mask))
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def move_pairs(keys: np.ndarray, counts: np.ndarray, size: int, least: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The pairs whose count is at least `least`, in a table of at least `size` slots, and how many they are."""
    slots = np.int64(1 << 12)
    while slots < size:
        slots *= 2
    moved_keys = np.zeros(slots, np.uint64)
    moved_counts = np.zeros(slots, np.int64)
    moved = 0
    for slot in range(keys.shape[0]):
        if keys[slot] != 0 and counts[slot] >= least:
            place = find_pair(moved_keys, keys[slot])
            moved_keys[place] = keys[slot]
            moved_counts[place] = counts[slot]
            moved += 1
    return moved_keys, moved_counts, moved


@kernel
def count_pairs(words: Words, lengths: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of neighbouring symbols and their counts, as a table (keys, counts). `lengths`: bytes of each token.

    A pair whose token would have `longest` bytes or more is left out, unless it is of two single bytes.
    """
    table, symbols = words
    keys = np.zeros(1 << 16, np.uint64)
    counts = np.zeros(1 << 16, np.int64)
    used = 0
    for word in range(table.shape[0]):
        start = table[word, 0] + 1
        end = start + symbols[start - 1] - 1
        if 2 * (used + end - start) > keys.shape[0]:
            keys, counts, used = move_pairs(keys, counts, 4 * (used + end - start), np.int64(1))
        for place in range(start, end):
            left = np.int64(symbols[place])
            right = np.int64(symbols[place + 1])
            size = lengths[left] + lengths[right]
            if size >= longest and size > 2:
                continue
            key = pair_key(left, right)
            slot = find_pair(keys, key)
            if keys[slot] == 0:
                keys[slot] = key
                used += 1
            counts[slot] += table[word, 1]
    return keys, counts


@kernel
def list_words(words: Words, keys: np.ndarray, heap: np.ndarray, rows: np.ndarray, lists: np.ndarray) -> None:
    """Writes, for each pair in the table, the words that hold it. Called twice: without room it only measures.

    `rows` gives the heap row of a slot. Column 2 of the heap says where in `lists` a pair's words go, column 3 becomes
    how many there are.
    """
    table, symbols = words
    listed = np.zeros(heap.shape[0], np.int64)  # word + 1
    for word in range(table.shape[0]):
        start = table[word, 0] + 1
        for place in range(start, start + symbols[start - 1] - 1):
            slot = find_pair(keys, pair_key(np.int64(symbols[place]), np.int64(symbols[place + 1])))
            row = rows[slot]
            if keys[slot] != 0 and listed[row] != word + 1:
                listed[row] = word + 1
                if lists.shape[0] > 0:
                    lists[heap[row, 2] + heap[row, 3]] = word
                heap[row, 3] += 1


@kernel_part
def before(heap: np.ndarray, row: int, count: int, key: int) -> bool:
    """Whether a row of the heap comes before such a pair."""
    return heap[row, 0] > count or (heap[row, 0] == count and heap[row, 1] < key)


@kernel_part
def sink(heap: np.ndarray, size: int) -> None:
    """Moves the first row down to its place."""
    count, key, start, length = heap[0, 0], heap[0, 1], heap[0, 2], heap[0, 3]
    row = 0
    while 4 * row + 1 < size:
        best = 4 * row + 1
        for child in range(best + 1, min(best + 4, size)):
            if before(heap, child, heap[best, 0], heap[best, 1]):
                best = child
        if not before(heap, best, count, key):
            break
        for column in range(4):
            heap[row, column] = heap[best, column]
        row = best
    heap[row, 0], heap[row, 1], heap[row, 2], heap[row, 3] = count, key, start, length


@kernel_part
def rise(heap: np.ndarray, row: int) -> None:
    """Moves a row up to its place."""
    count, key, start, length = heap[row, 0], heap[row, 1], heap[row, 2], heap[row, 3]
    while row > 0:
        parent = (row - 1) >> 2
        if before(heap, parent, count, key):
            break
        for column in range(4):
            heap[row, column] = heap[parent, column]
        row = parent
    heap[row, 0], heap[row, 1], heap[row, 2], heap[row, 3] = count, key, start, length


# Copies are loops, since an assignment to a slice costs the compiler two seconds.


@kernel_part
def longer(vector: np.ndarray, used: int, size: int) -> np.ndarray:
    """A vector of `size` that starts with the first `used` elements."""
    larger = np.empty(size, vector.dtype)
    for place in range(used):
        larger[place] = vector[place]
    return larger


@kernel_part
def taller(matrix: np.ndarray, used: int, rows: int) -> np.ndarray:
    """A matrix of so many rows that starts with the first `used` rows."""
    larger = np.empty((rows, matrix.shape[1]), matrix.dtype)
    for row in range(used):
        for column in range(matrix.shape[1]):
            larger[row, column] = matrix[row, column]
    return larger


def pairs_of(words: Words, lengths: np.ndarray, longest: int, threshold: int) -> Pairs:
    """The pairs that reach the threshold now. `lengths` and `longest` are as in `count_pairs`."""
    keys, counts = count_pairs(words, lengths, longest)
    kept = int(np.count_nonzero(counts >= threshold))
    keys, counts, _ = move_pairs(keys, counts, 4 * kept, threshold)
    slots = np.flatnonzero(keys)
    slots = slots[np.lexsort((keys[slots], -counts[slots]))]  # rows in order are a heap
    heap = np.zeros((kept, 4), np.int64)
    heap[:, 0] = counts[slots]
    heap[:, 1] = keys[slots].astype(np.int64)
    rows = np.zeros(len(keys), np.int64)
    rows[slots] = np.arange(kept)
    list_words(words, keys, heap, rows, np.empty(0, np.int32))
    ends = np.cumsum(heap[:, 3])
    lists = np.empty(int(ends[-1]) if kept else 0, np.int32)
    heap[:, 2] = ends - heap[:, 3]
    heap[:, 3] = 0
    list_words(words, keys, heap, rows, lists)
    return Pairs(keys, counts, heap, lists, np.array([kept, kept, len(lists)], np.int64))
