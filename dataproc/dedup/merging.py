"""Segments of an index made into one: which, and its rows and keys, without those that were retracted.

A query looks into each segment, so their number must not grow with that of the crawls. By the rule a segment is merged
with all later ones once these together are as large: then each that stays is larger than all after it together, so n
documents lie in log2 n segments at most, and each was rewritten log2 n times at most, since the segment that it is in
doubles each time. Merging takes the newest ones, so the order of the documents stays, and with it which of two equal
matches is named.

Rows are counted anew, by a search in the retracted rows, which are sorted; keys were sorted by their old rows, and stay
so. Blocks of the new segment are as many rows as the caller wants, whatever the old ones were: a thousand small
datasets do not leave 64,000 files.

Memory: the retracted rows, a block's signatures, or a partition's keys (64 MiB) and one of an old segment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup.index_entries import DatasetEntry, SegmentEntry
from corpusmill.dataproc.dedup.index_files import read_tombstone
from corpusmill.dataproc.dedup.index_segment import DIGESTS, KEYS, Segment

PIECE_ROWS = 1 << 13
SHIFT = 32


def first_to_merge(documents: Sequence[int]) -> int:
    """The place from which on segments are merged, by how many documents they hold; their number if none is."""
    after = sum(documents)
    for place, count in enumerate(documents[:-1]):
        after -= count
        if count <= after:
            return place
    return len(documents)


class _Old(NamedTuple):
    """A segment to merge: open, its retracted rows, and what the new row of its first one is."""

    segment: Segment
    dead: np.ndarray
    first: int

    @property
    def live(self) -> int:
        return self.segment.documents - len(self.dead)

    def new_rows(self, rows: np.ndarray) -> np.ndarray:
        """New numbers of rows that are not retracted, int64."""
        old = rows.astype(np.uint64)
        return self.first + old.astype(np.int64) - np.searchsorted(self.dead, old)

    def is_live(self, rows: np.ndarray) -> np.ndarray:
        """Whether rows are not retracted: bool."""
        if not len(self.dead):
            return np.ones(len(rows), bool)
        old = rows.astype(np.uint64)
        place = np.minimum(np.searchsorted(self.dead, old), len(self.dead) - 1)
        return self.dead[place] != old


class Merging:
    """Segments that are merged, in their order.

    Args:
        folder: of the index.
        entries: of the segments.

    Attributes:
        documents: how many the new segment has.
        datasets: whose they are, in their order.
        permutations: slots of a signature, 0 where there are none.
    """

    def __init__(self, folder: str, entries: Sequence[SegmentEntry]) -> None:
        self._olds: list[_Old] = []
        self.documents = 0
        self.datasets: list[DatasetEntry] = []
        for entry in entries:
            segment = Segment(storage.join(folder, entry.folder), entry.digest)
            dead = read_tombstone(folder, entry)
            self._olds.append(_Old(segment, dead, self.documents))
            self.documents += self._olds[-1].live
            for dataset in entry.datasets:
                if not dataset.is_retracted:
                    rows = entry.rows_of(dataset)
                    low, high = np.searchsorted(dead, np.array([rows.start, rows.stop], np.uint64)).tolist()
                    self.datasets.append(replace(dataset, documents=dataset.documents - (high - low)))
        self.permutations = max((old.segment.permutations for old in self._olds), default=0)

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[Segment, int, np.ndarray]]:
        """(segment, block, rows of the block) that make the new rows from start to stop, in order."""
        for old in self._olds:
            first = 0
            for block, count in enumerate(old.segment.rows):
                low, high = np.searchsorted(old.dead, np.array([first, first + count], np.uint64)).tolist()
                begin = old.first + first - low
                end = begin + count - (high - low)
                if begin < stop and end > start:
                    live = np.delete(np.arange(count), old.dead[low:high].astype(np.int64) - first)
                    yield old.segment, block, live[max(0, start - begin) : stop - begin]
                first += count

    def signatures(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """The signatures of the new rows from start to stop, some thousand at a time: uint32 (N, K)."""
        for segment, block, rows in self._pieces(start, stop):
            signatures = segment.block_signatures(block)
            for piece in range(0, len(rows), PIECE_ROWS):
                yield np.ascontiguousarray(signatures[rows[piece : piece + PIECE_ROWS]])

    def ids(self, start: int, stop: int) -> pa.ChunkedArray:
        """The ids of the new rows from start to stop."""
        chunks = [segment.block_ids(block).take(pa.array(rows)) for segment, block, rows in self._pieces(start, stop)]
        return pa.chunked_array(chunks, pa.string())

    def keys(self, partition: int, partitions: int) -> tuple[np.ndarray, np.ndarray]:
        """(keys, new rows) of a partition of the new segment, by the old segments, each sorted by key."""
        columns = list(self._columns(KEYS, partition, partitions))
        return tuple(np.concatenate(column) for column in zip(*columns, strict=True))  # type: ignore[return-value]

    def digests(self, partition: int, partitions: int) -> tuple[np.ndarray, np.ndarray]:
        """(digests of shape (M, 2), new rows), as `keys`."""
        high, low, rows = (
            np.concatenate(column) for column in zip(*self._columns(DIGESTS, partition, partitions), strict=True)
        )
        return np.stack([high, low], axis=1), rows

    def _columns(self, kind: str, partition: int, partitions: int) -> Iterator[list[np.ndarray]]:
        words = 1 if kind == KEYS else 2
        yield [np.zeros(0, np.uint64)] * words + [np.zeros(0, np.int64)]
        start, stop = (-(-(number << SHIFT) // partitions) for number in (partition, partition + 1))
        for old in self._olds:
            of_old = old.segment.partitions
            for number in range(start * of_old >> SHIFT, ((stop - 1) * of_old >> SHIFT) + 1):
                *values, rows = old.segment.whole_run(kind, number)
                upper = values[0] >> np.uint64(SHIFT)
                begin, end = np.searchsorted(upper, np.array([start, stop], np.uint64)).tolist()
                here = slice(begin, end)
                live = old.is_live(rows[here])
                yield [column[here][live] for column in values] + [old.new_rows(rows[here][live])]
