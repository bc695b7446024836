"""Windows of N bytes and their keys: what brings equal stretches of text together without sorting suffixes.

`substring` says what this is for. A window's key is the smallest hash among its substrings of N / 2 bytes, found by one
rolling hash a byte and a look back only where the smallest one leaves the window (once in N / 2 bytes). The rolling
hash is a polynomial modulo 2^64, whose collisions (Thue-Morse words are some) join windows that are not equal, which
costs time and not truth: whatever shares a key is compared byte by byte later.

Cost: 330 MB/s a core for keys. Memory: 28 bytes a run, of which text without repeats has one in 51 bytes at N = 200.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.spans import gather_bytes
from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.kernels.hashing import mix

LEAST_LENGTH = 16
"""Bytes of the shortest substring that can be asked for: below, chance repeats are all there is."""

CONTEXTS = pa.schema(
    [
        pa.field("start", pa.int64(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("bytes", pa.large_binary(), nullable=False),
    ]
)
"""Neighbouring windows: the first one's byte in the block, how many, its byte in the document, its id; their bytes."""

BASE = np.uint64(0x9E3779B97F4A7C15)


@kernel
def power_of_base(exponent):
    """BASE ** exponent, modulo 2^64."""
    value = np.uint64(1)
    for _ in range(exponent):
        value *= BASE
    return value


@kernel_part
def _runs_of_document(data, start, stop, length, short, power, ring, keys, starts, counts, row):
    """Writes the runs of one document from `row` on; returns the row after them, or -1 when there is no room."""
    mask = ring.shape[0] - 1
    hashes_of_window = length - short + 1
    value = np.uint64(0)
    smallest, at = np.uint64(0xFFFFFFFFFFFFFFFF), 0
    begun, current = False, smallest
    for byte in range(short):
        value = value * BASE + np.uint64(data[start + byte])
    for place in range(stop - start - short + 1):
        if place:
            new, old = np.uint64(data[start + place + short - 1]), np.uint64(data[start + place - 1])
            value = value * BASE + new - power * old
        hashed = mix(value)
        ring[place & mask] = hashed
        window = place - hashes_of_window + 1
        if hashed <= smallest:  # of equals the last one, so that a run of one character never looks back
            smallest, at = hashed, place
        elif at < window:
            smallest, at = hashed, place
            for earlier in range(place - 1, window - 1, -1):
                if ring[earlier & mask] < smallest:
                    smallest, at = ring[earlier & mask], earlier
        if window >= 0:
            if begun and smallest == current:
                counts[row] += 1
                continue
            current = smallest
            row += begun
            if row == keys.shape[0]:
                return -1
            # The smallest of many hashes is small, and partitions are ranges: hashed again, keys are even.
            keys[row], starts[row], counts[row] = mix(smallest), start + window, 1
            begun = True
    return row + begun


@kernel
def _window_runs(offsets, data, first, length, ring, keys, starts, counts, documents):
    """Runs of the documents from `first` on; returns (rows, the first document that there was no room for)."""
    short = length // 2
    power = power_of_base(short)
    row = 0
    for document in range(first, offsets.shape[0] - 1):
        start, stop = offsets[document], offsets[document + 1]
        if stop - start < length:
            continue
        after = _runs_of_document(data, start, stop, length, short, power, ring, keys, starts, counts, row)
        if after < 0:
            return row, document
        documents[row:after] = document
        row = after
    return row, offsets.shape[0] - 1


class WindowRuns(NamedTuple):
    """Runs of neighbouring windows that have one key, in the order of the text.

    Attributes:
        keys: uint64 of shape (R,).
        starts: int64, where the first window begins in the byte array of the texts.
        counts: int64, windows in the run.
        documents: int64, the row of the text.
    """

    keys: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    documents: np.ndarray


def window_runs(texts: pa.Array, length: int) -> WindowRuns:
    """All windows of `length` bytes of a batch of texts, as runs of one key; each depends on its own text alone."""
    if length < LEAST_LENGTH:
        raise ValueError(f"windows of {length} bytes: {LEAST_LENGTH} is the least")
    offsets, data = text_buffers(texts)
    ring = np.empty(1 << (length - length // 2).bit_length(), np.uint64)
    room = 1024 + 8 * int(offsets[-1] - offsets[0]) // length
    pieces: list[tuple[np.ndarray, ...]] = []
    document = 0
    while document < len(texts):
        rows = np.empty(room, np.uint64), np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
        used, reached = _window_runs(offsets, data, np.int64(document), np.int64(length), ring, *rows)
        pieces.append(tuple(column[:used] for column in rows))
        if reached == document:
            room *= 2  # a document of its own is larger than the room
        document = reached
    if not pieces:
        none = np.zeros(0, np.int64)
        return WindowRuns(none.astype(np.uint64), none, none, none)
    return WindowRuns(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def keys_to_tell(runs: WindowRuns, length: int) -> np.ndarray:
    """The keys of runs, uint64; twice those of runs so long that two windows in one of them do not overlap."""
    return np.concatenate([runs.keys, runs.keys[runs.counts > length]])


def twice_at_most(keys: np.ndarray) -> np.ndarray:
    """Keys sorted, those that occur more often only twice: all that others need to know of a block."""
    ordered = np.sort(keys)
    wanted = np.ones(len(ordered), bool)
    wanted[2:] = ordered[2:] != ordered[:-2]
    return ordered[wanted]


def shared_keys(blocks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each block, rising, those of its keys that occur twice among all: uint64 arrays.

    Args:
        blocks: the keys of each block in one partition, as from `twice_at_most`.
    """
    ordered = np.sort(np.concatenate([np.zeros(0, np.uint64), *blocks]))
    shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return [np.unique(keys[is_member(shared, keys)]) for keys in blocks]


def is_member(members: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which keys are among the members (rising, uint64): bool of shape (R,)."""
    if not len(members):
        return np.zeros(len(keys), bool)
    at = np.searchsorted(members, keys)
    return members[np.minimum(at, len(members) - 1)] == keys


def contexts(
    batch: pa.RecordBatch, positions: np.ndarray, shared: np.ndarray, length: int, partitions: int
) -> list[pa.RecordBatch]:
    """The windows of shared keys, by the partition of their key: `partitions` batches of `CONTEXTS`, in text order.

    Args:
        batch: documents, with `id` and `text`.
        positions: int64 of shape (N,), the byte of the block's text at which each document begins.
        shared: the block's shared keys, rising.
        length: bytes of a window.
    """
    texts = batch.column("text")
    offsets, data = text_buffers(texts)
    runs = window_runs(texts, length)
    wanted = is_member(shared, runs.keys)
    keys, starts, counts, documents = (column[wanted] for column in runs)
    numbers = (((keys >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)).astype(np.int64)
    opens = np.ones(len(keys), bool)
    opens[1:] = (
        (starts[1:] != starts[:-1] + counts[:-1]) | (numbers[1:] != numbers[:-1]) | (documents[1:] != documents[:-1])
    )
    heads = np.flatnonzero(opens)
    counts = np.add.reduceat(counts, heads) if len(heads) else counts
    order = np.argsort(numbers[heads], kind="stable")
    heads, counts = heads[order], counts[order]
    starts, documents, numbers = starts[heads], documents[heads], numbers[heads]
    inside = starts - offsets[documents]
    bounds, gathered = gather_bytes(data, starts, counts + (length - 1))
    stretches = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(starts), [None, pa.py_buffer(bounds), pa.py_buffer(gathered)]
    )
    ids = batch.column("id").take(pa.array(documents))
    columns = [pa.array(positions[documents] + inside), pa.array(counts), pa.array(inside), ids, stretches]
    whole = pa.RecordBatch.from_arrays(columns, schema=CONTEXTS)
    cuts = np.searchsorted(numbers, np.arange(partitions + 1))
    return [whole.slice(cuts[k], cuts[k + 1] - cuts[k]) for k in range(partitions)]
