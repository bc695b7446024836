"""Which documents of a group a mixture holds: drawn by their ids, to within one document of an amount.

A document's key is a function of (seed, "mixture", id) alone. A draw of so many bytes takes the documents of a group in
the order of their keys until the next would pass the amount; so it does not depend on parts or workers, and what a
smaller amount takes, a larger one takes, too. All that writers need to know is the key of the first document that is
not taken.

That key is found without sorting the group's documents together: sizes are added up in 4,096 ranges of the keys, and
only the range in which the amount is passed is sorted. Memory: a 4,096th of the documents, 32 bytes each. Cost: two
searches of 4,096 places in each part.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.mixture.settings import UNKNOWN, Key

EVERYTHING = 1 << 64
"""A threshold that lies above every key."""


def group_rows(batch: pa.RecordBatch, by: Sequence[str]) -> tuple[list[Key], np.ndarray]:
    """(keys of the groups of a batch, sorted; int64 [N], which of them each document is of)."""
    code = np.zeros(batch.num_rows, np.int64)
    names: list[list[str]] = []
    for level in by:
        encoded = pc.fill_null(batch.column(level), UNKNOWN).dictionary_encode()
        names.append(encoded.dictionary.to_pylist())
        code = code * len(names[-1]) + encoded.indices.to_numpy(zero_copy_only=False)
    codes, row = np.unique(code, return_inverse=True)
    keys = []
    for rest in codes.tolist():
        key: Key = ()
        for level_names in reversed(names):
            rest, place = divmod(rest, len(level_names))
            key = (level_names[place], *key)
        keys.append(key)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    return [keys[place] for place in order], position[row] if len(row) else np.zeros(0, np.int64)


Drawn = tuple[int, int, int]
"""(threshold, documents, size): documents with a key below the threshold are drawn; how many, and what they hold."""

EDGES = np.arange(1 << 12, dtype=np.uint64) << np.uint64(52)


def draw_threshold(runs: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]], target: int) -> Drawn:
    """The threshold of keys below which documents hold `target` bytes or tokens at most, and as many as they can.

    The keys are gone over twice, in 4,096 ranges and then within one of them, so memory is a 4,096th of the documents.

    Args:
        runs: gives the documents of a group, in any number of runs: keys uint64, rising, and the sizes of the run's
            documents up to and with each, int64. (Memory maps will do.)
        target: 0 or more.
    """
    below = np.zeros(len(EDGES) + 1, np.int64)
    counts = np.zeros(len(EDGES) + 1, np.int64)
    for keys, reached in runs():
        at = np.append(np.searchsorted(keys, EDGES), len(keys))
        below += np.where(at > 0, reached[np.maximum(at, 1) - 1], 0) if len(keys) else 0
        counts += at
    if below[-1] <= target:
        return EVERYTHING, int(counts[-1]), int(below[-1])
    place = int(np.searchsorted(below, target, side="right")) - 1  # the range in which the target is passed
    near_keys, near_sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for keys, reached in runs():
        stop = EDGES[place + 1] if place + 1 < len(EDGES) else None
        a = int(np.searchsorted(keys, EDGES[place]))
        b = int(np.searchsorted(keys, stop)) if stop is not None else len(keys)
        near_keys.append(keys[a:b])
        near_sizes.append(np.diff(reached[a:b], prepend=reached[a - 1] if a else 0))
    keys, sizes = np.concatenate(near_keys), np.concatenate(near_sizes)
    order = np.argsort(keys, kind="stable")
    keys, reached = keys[order], below[place] + np.cumsum(sizes[order])
    threshold = keys[int(np.searchsorted(reached, target, side="right"))]
    taken = int(np.searchsorted(keys, threshold))  # of equal keys all or none
    size = int(reached[taken - 1]) if taken else int(below[place])
    return int(threshold), int(counts[place]) + taken, size


def copies_of(group: np.ndarray, keys: np.ndarray, copies: np.ndarray, thresholds: Sequence[int]) -> np.ndarray:
    """How often each document is in the result: int64 [N].

    Args:
        group: int64 [N], the document's group.
        keys: uint64 [N], its key (`randomness.random_keys`).
        copies: int64 [G], of every document of a group.
        thresholds: [G], documents with keys below get one more copy (0: none, `EVERYTHING`: all).
    """
    everything = np.array([threshold >= EVERYTHING for threshold in thresholds], bool)
    below = np.array([0 if threshold >= EVERYTHING else threshold for threshold in thresholds], np.uint64)
    return copies[group] + (everything[group] | (keys < below[group]))
