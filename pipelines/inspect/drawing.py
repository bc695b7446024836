"""Keeps the best few rows of a stream: those of the lowest distance, and among equals those of the lowest key.

Keys are drawn for ids (`dataproc.randomness`), so which rows are kept depends on the seed and the ids alone, and not on
the order of files, row groups or batches. Keys are only made of rows that may still be kept.

Cost: 0.25 us a row that passes. Memory: a batch, and `count` rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Drawn:
    """A row that was drawn: the number of its file and the row in it, and how far it is from a threshold."""

    file: int
    row: int
    distance: float
    value: float


class Draw:
    """The `count` best of all rows that were offered."""

    def __init__(self, count: int, seed: int, purpose: str) -> None:
        self._count, self._seed, self._purpose = count, seed, purpose
        self._distances, self._values = np.zeros(0), np.zeros(0)
        self._keys = np.zeros(0, np.uint64)
        self._places = np.zeros((0, 2), np.int64)

    def offer(self, file: int, rows: np.ndarray, ids: pa.Array, distances: np.ndarray, values: np.ndarray) -> None:
        """Offers rows of a file.

        Args:
            rows: numbers of the rows in the file, int64 of shape (N,).
            ids: N strings.
            distances, values: float64 of shape (N,).
        """
        from corpusmill.dataproc.randomness import random_keys

        if len(self._distances) == self._count:
            near = np.flatnonzero(distances <= self._distances[-1])
            rows, ids, distances, values = rows[near], ids.take(pa.array(near)), distances[near], values[near]
        if not len(rows):
            return
        keys = np.concatenate([self._keys, random_keys(self._seed, self._purpose, ids)])
        places = np.concatenate([self._places, np.column_stack([np.full(len(rows), file, np.int64), rows])])
        distances = np.concatenate([self._distances, distances])
        values = np.concatenate([self._values, values])
        best = np.lexsort((keys, distances))[: self._count]
        self._keys, self._places, self._distances, self._values = (
            keys[best],
            places[best],
            distances[best],
            values[best],
        )

    def rows(self) -> Sequence[Drawn]:
        """What was kept, the nearest first, then by key."""
        columns = (self._places[:, 0], self._places[:, 1], self._distances, self._values)
        return [Drawn(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
