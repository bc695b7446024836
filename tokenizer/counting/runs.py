"""Runs: rows of counts on disk, in the order in which they are merged.

A run is an Arrow IPC file of small batches. A full table (`counter.py`) becomes one, partition after partition; inside
a partition rows are in order. The first batch of each partition is named in the file's metadata, so a reader of one
partition touches nothing else of the file; of a local file it gets views of the memory map. A merge of runs
(`merging.py`) writes runs of one partition as a stream.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commit_file, is_url, open_input
from corpusmill.tokenizer.counting.rows import SCHEMA, CountRows, partition_numbers

BATCH_ROWS = 1 << 12
"""Rows of a batch: some 100 KB, which is what a merge holds of each run that is not on a local disk."""

NAMES, STARTS = b"groups", b"first_batches"


def write_run(path: str, rows: CountRows, names: list[str], partitions: int) -> int:
    """Commits a run of all of a table's rows; gives its bytes. Equal rows make equal files.

    Args:
        names: of the groups that the rows number, ascending.
        partitions: how many the rows are divided into.
    """
    numbers = partition_numbers(rows, partitions)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=partitions))
    pieces = [
        (first, last) for start, end in zip([0, *ends[:-1]], ends, strict=True) for first, last in _cut(start, end)
    ]
    starts = np.cumsum(
        [0, *(-(-(end - start) // BATCH_ROWS) for start, end in zip([0, *ends[:-1]], ends, strict=True))]
    )
    metadata = {NAMES: json.dumps(names), STARTS: json.dumps(starts.tolist())}
    return _write(path, metadata, (rows.take(order[first:last]) for first, last in pieces))


def write_stream(path: str, rows: Iterable[CountRows], names: list[str]) -> int:
    """Commits a run of one partition from rows that come in order; gives its bytes."""
    pieces = (part.slice(first, last - first) for part in rows for first, last in _cut(0, len(part)))
    return _write(path, {NAMES: json.dumps(names)}, pieces)


def _cut(start: int, end: int) -> Iterator[tuple[int, int]]:
    for first in range(start, end, BATCH_ROWS):
        yield first, min(first + BATCH_ROWS, end)


def _write(path: str, metadata: dict[bytes, str], pieces: Iterable[CountRows]) -> int:
    with commit_file(path, durable=False) as file, pa.ipc.new_file(file, SCHEMA.with_metadata(metadata)) as writer:
        for piece in pieces:
            writer.write_batch(piece.to_batch())
    return file.bytes


class Run:
    """A run that is read: all of it, or one partition.

    Attributes:
        names: of the groups that its rows number, ascending.

    Raises UserError for a file that is missing, truncated or not a run.
    """

    def __init__(self, path: str, partition: int | None = None) -> None:
        self._path = path
        self._file, metadata = _opened(path)
        self.names: list[str] = json.loads(metadata[NAMES])
        self._first, self._last = 0, self._file.num_record_batches
        if partition is not None:
            starts = json.loads(metadata[STARTS])
            self._first, self._last = starts[partition], starts[partition + 1]

    def __iter__(self) -> Iterator[CountRows]:
        for number in range(self._first, self._last):
            yield CountRows.from_batch(self._file.get_batch(number))


def _opened(path: str) -> tuple[Any, dict[bytes, bytes]]:
    source = open_input(path)
    if not is_url(path):
        source.close()
        source = pa.memory_map(path)
    try:
        file = pa.ipc.open_file(source)
        metadata = file.schema.metadata or {}
        if NAMES not in metadata:
            raise pa.ArrowInvalid("no names of groups")
        return file, metadata
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"incomplete or damaged file of counts ({error})", where=path, hint="delete it and run the stage again"
        ) from error
