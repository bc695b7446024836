"""Sorting strings by their bytes: 0.1 s for a million pretokens, where Arrow's sort takes 0.5 s.

The first eight bytes of a string, read as a number with the first byte on top, order nearly all pairs of pretokens. So
those numbers are sorted, which numpy does with vector instructions, and only strings that share them are compared byte
by byte. Memory: 24 bytes a string beside the strings.
"""

import numpy as np

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.tokenizer.keys import load_partial


@kernel_step
def big_endian(word: np.uint64) -> np.uint64:
    """The word with its bytes in the other order."""
    word = ((word >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)) | (
        (word & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8)
    )
    word = ((word >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)) | (
        (word & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16)
    )
    return (word >> np.uint64(32)) | (word << np.uint64(32))


@kernel_step
def prefix_of(data: np.ndarray, start: int, end: int) -> np.uint64:
    """The first eight bytes as a number that orders as they do; what is missing counts as 0."""
    if end == start:
        return np.uint64(0)
    return big_endian(load_partial(data, start, min(end - start, 8)))


@kernel_step
def compare_beyond(left: np.ndarray, start: int, end: int, right: np.ndarray, at: int, stop: int) -> int:
    """Below 0, 0 or above 0 as `left[start : end]` orders before, equal to or after `right[at : stop]`.

    Their prefixes must be equal. So if one has no more than eight bytes, the other begins with it.
    """
    shorter = min(end - start, stop - at)
    for place in range(8, shorter):
        if left[start + place] != right[at + place]:
            return int(np.int64(left[start + place]) - np.int64(right[at + place]))
    return (end - start) - (stop - at)


@kernel
def take_prefixes(data: np.ndarray, offsets: np.ndarray, prefixes: np.ndarray) -> None:
    """`prefixes[k]` becomes the prefix of string k."""
    for item in range(prefixes.shape[0]):
        prefixes[item] = prefix_of(data, offsets[item], offsets[item + 1])


@kernel_step
def before(data: np.ndarray, offsets: np.ndarray, groups: np.ndarray, left: int, right: int) -> bool:
    """Whether string `left` comes before string `right`, which has the same prefix: by bytes, then by group."""
    order = compare_beyond(data, offsets[left], offsets[left + 1], data, offsets[right], offsets[right + 1])
    return order < 0 or (order == 0 and groups[left] < groups[right])


@kernel_step
def sink(
    order: np.ndarray, first: int, place: int, size: int, data: np.ndarray, offsets: np.ndarray, groups: np.ndarray
) -> None:
    """Moves an item down the heap `order[first : first + size]`, whose top is the last."""
    item = order[first + place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and before(data, offsets, groups, order[first + child], order[first + child + 1]):
            child += 1
        if not before(data, offsets, groups, item, order[first + child]):
            break
        order[first + place] = order[first + child]
        place = child
    order[first + place] = item


@kernel
def settle_ties(
    order: np.ndarray, prefixes: np.ndarray, data: np.ndarray, offsets: np.ndarray, groups: np.ndarray
) -> None:
    """Sorts what shares a prefix, in place: by heap, so that no input is slow and no memory is needed."""
    first = 0
    while first < order.shape[0]:
        last = first + 1
        while last < order.shape[0] and prefixes[order[last]] == prefixes[order[first]]:
            last += 1
        size = last - first
        for place in range(size // 2 - 1, -1, -1):
            sink(order, first, place, size, data, offsets, groups)
        for left in range(size - 1, 0, -1):
            top = order[first]
            order[first] = order[first + left]
            order[first + left] = top
            sink(order, first, 0, left, data, offsets, groups)
        first = last


def byte_order(offsets: np.ndarray, data: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """int64 (N,): the strings' numbers in the order of their bytes, equal strings in that of their groups.

    Args:
        offsets: int64 (N + 1,), read-only, where each string starts in `data`.
        data: uint8, read-only.
        groups: int32 (N,).
    """
    prefixes = np.empty(len(groups), np.uint64)
    take_prefixes(data, offsets, prefixes)
    order = np.argsort(prefixes)
    settle_ties(order, prefixes, data, offsets, read_only(groups))
    return order
