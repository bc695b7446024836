"""Parquet: columns by name (`tables`), a row group's rows by and by.

Nothing in a file is trusted: Parquet does not check that strings are UTF-8, a page may be broken behind a sound footer,
columns of a group may differ in length, and what pages decode to is not what a footer says (`parquet_pages`). Checksums
of pages are verified where they were written (some 1 GB/s of compressed bytes; most writers leave them out). The rows
that a group gives are compared with the footer's. Where some are missing, the group is read again by the columns that
are whole: documents are then without the broken ones, which is reported; what of the text itself is missing is reported
with its number of rows. So is a row that cannot be a document.

Memory: `GROUP_BYTES` of decoded rows, or one row; the pages that they come from; and a group's columns as they are in
the file, or `BUFFER_BYTES` of each where these are long.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.readers.batches import Report, Unread
from corpusmill.dataproc.readers.parquet_pages import GroupShape, shape_of_group
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.tables import (
    BATCH_BYTES,
    check_columns,
    columns_read,
    documents_of_rows,
    rows_a_batch,
    slices,
)

LONG_CHUNK_BYTES = 64 << 20
BUFFER_BYTES = 8 << 20
FINER = 64
"""By how much smaller batches are when a broken group is read again, so that few sound rows are lost with others."""


def read_parquet(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a range of row groups; what cannot be read is reported."""
    name = f"{fields.source}/{piece.name}#0"
    with storage.open_input(piece.path) as opened:
        try:
            file = _open(opened)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: a column's name
            if _is_of_storage(error, piece):
                raise
            report(name, piece.path, Unread(f"not a readable Parquet file ({error})"), None)
            return
        groups = range(piece.start, min(piece.stop or file.num_row_groups, file.num_row_groups))
        rows = [max(0, file.metadata.row_group(group).num_rows) for group in range(file.num_row_groups)]
        if problem := check_columns(file.schema_arrow, fields, sum(rows[group] for group in groups)):
            report(name, piece.path, problem, None)
            return
        for group in groups:
            yield from _Group(opened, file, group, sum(rows[:group]), piece, fields, report).documents()


def _open(opened: BinaryIO) -> pq.ParquetFile:
    file = pq.ParquetFile(opened, page_checksum_verification=True)
    metadata = file.metadata
    longest = max(
        (
            metadata.row_group(group).column(column).total_compressed_size
            for group in range(metadata.num_row_groups)
            for column in range(metadata.num_columns)
        ),
        default=0,
    )
    if longest <= LONG_CHUNK_BYTES:
        return file
    return pq.ParquetFile(opened, metadata=metadata, page_checksum_verification=True, buffer_size=BUFFER_BYTES)


def _is_of_storage(error: Exception, piece: Piece) -> bool:
    """Whether it is the storage that failed and not the file: it has a number, or is far away and may come back."""
    remote = isinstance(error, OSError) and (error.errno is not None or storage.is_url(piece.path))
    return remote or isinstance(error, MemoryError)


@dataclass
class _Group:
    """A row group being read; `given` counts the rows of it that became documents or were reported by themselves."""

    opened: BinaryIO
    file: pq.ParquetFile
    group: int
    first: int
    piece: Piece
    fields: Fields
    report: Report
    given: int = 0

    def documents(self) -> Iterator[pa.RecordBatch]:
        metadata = self.file.metadata.row_group(self.group)
        rows, text = metadata.num_rows, self._text_column()
        names = columns_read(self.file.schema_arrow.names, self.fields)
        wanted = rows_a_batch(rows, metadata.total_byte_size)
        remote = storage.is_url(self.piece.path)
        shape = shape_of_group(self.opened, self.file, self.group, names, wanted, whole=not remote)
        lost = dict(shape.unreadable)
        problem = ""
        if text not in lost:
            names = [name for name in names if name not in lost]
            problem = yield from self._attempt(names, shape.rows)
            if self.given < rows:
                broken = {name: why for name in names if (why := self._problem_of(name, shape.rows))}
                sound = [name for name in names if name not in broken or name == text]
                lost |= {name: why for name, why in broken.items() if name != text}
                again = yield from self._attempt(sound, max(1, shape.rows // FINER) if text in broken else shape.rows)
                problem = broken.get(text) or again or problem
        if self.given < rows:
            why = lost.get(text) or problem or f"{self.given} rows where the footer says {rows}"
            self._report(Unread(f"broken Parquet: {why}", rows - self.given), self.given, rows - 1)
        elif lost:
            named = "; ".join(f"column '{name}' is left out: {why}" for name, why in sorted(lost.items()))
            self._report(Unread(f"broken Parquet: {named}", 0), 0, rows - 1)
        self._report_hidden_rows(shape, text, rows)

    def _report_hidden_rows(self, shape: GroupShape, text: str, rows: int) -> None:
        """Reports rows that the pages of the text hold beyond those that the footer speaks of, which nothing reads."""
        if (there := shape.values.get(text, rows)) > rows:
            problem = Unread(f"broken Parquet: {there} rows where the footer says {rows}", there - rows)
            self._report(problem, rows, there - 1)

    def _attempt(self, names: list[str], batch_rows: int) -> Generator[pa.RecordBatch, None, str]:
        """The documents from row `given` on, and what ended them, or "" for the end."""
        skipped = 0
        try:
            for batch in _together(self._batches(names, batch_rows)):
                passed = min(batch.num_rows, self.given - skipped) if skipped < self.given else 0
                skipped += passed
                for part in slices(batch.slice(passed), self.fields):
                    yield documents_of_rows(part, self.first + self.given, self.piece, self.fields, self.report)
                    self.given += part.num_rows
                    skipped += part.num_rows
        except (pa.ArrowException, OSError) as error:
            if _is_of_storage(error, self.piece):
                raise
            return str(error)
        return ""

    def _problem_of(self, name: str, batch_rows: int) -> str:
        """Why a column does not give all of its rows; "" where it does."""
        expected = self.file.metadata.row_group(self.group).num_rows
        try:
            rows = sum(batch.num_rows for batch in self._batches([name], batch_rows))
        except (pa.ArrowException, OSError) as error:
            if _is_of_storage(error, self.piece):
                raise
            return str(error)
        return "" if rows == expected else f"{rows} rows where the footer says {expected}"

    def _batches(self, names: list[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        return self.file.iter_batches(batch_size=batch_rows, row_groups=[self.group], columns=names, use_threads=False)

    def _text_column(self) -> str:
        path = self.fields.text_field
        return path if path in self.file.schema_arrow.names else path.split(".")[0]

    def _report(self, reason: Unread, start: int, stop: int) -> None:
        start, stop = self.first + start, self.first + stop
        place = f"{self.piece.path}, rows {start} to {stop} (row group {self.group})"
        self.report(f"{self.fields.source}/{self.piece.name}#{start}", place, reason, None)


def _together(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches that are small put together to some `BATCH_BYTES`; what came before an error is given before it."""
    small: list[pa.RecordBatch] = []
    small_bytes = 0
    failure: Exception | None = None
    while True:
        try:
            batch = next(batches, None)
        except Exception as error:
            batch, failure = None, error
        if batch is not None:
            small.append(batch)
            small_bytes += batch.nbytes
        if small and (batch is None or small_bytes >= BATCH_BYTES):
            yield from pa.Table.from_batches(small).combine_chunks().to_batches() if len(small) > 1 else small
            small, small_bytes = [], 0
        if failure is not None:
            raise failure
        if batch is None:
            return
