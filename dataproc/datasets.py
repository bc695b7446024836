"""Reads and writes the Parquet parts of a dataset, in bounded memory and with bytes that depend on the rows alone.

A writer cuts row groups and parts by the rows' own sizes, never by how the rows happened to arrive, so that batch
sizes, workers and retries leave no trace in the files. Memory: one row group (about 16 MiB of text) a writer, one
batch (at most one row group) a reader.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.side_tables import ENDING, side_folder

ROW_GROUP_BYTES = 16 << 20
ROW_GROUP_ROWS = 1 << 17
ONE_PART_A_FILE = 1 << 62
"""`part_bytes` of a writer that fills one part, whatever its size: what stands beside a part has its name."""

PART_BYTES = 128 << 20

KEPT = "kept"
"""The table of `sided_writers` that is the dataset itself."""


COUNTED = ("sources", "languages", "licenses")
"""What a part's entry counts its documents by: what a dataset is made of is known without reading it."""

_LICENSE = r'"licen[cs]e(?:_type)?"\s*:\s*"(?P<license>[^"\\]*)"'
"""Where a document's `meta` (JSON) names its licence."""

MOST_VALUES = 64
"""Values of such a column that an entry names; the others are counted together under `OTHERS`."""

OTHERS = "(others)"
UNKNOWN = "(unknown)"
"""What stands for a value that is null."""


class PartWriter:
    """Writes rows to `<folder>/<stem>.parquet`, and on to `<stem>_001.parquet`… when a part is full.

    A context manager: leaving it commits the last part, an exception leaves no half-written file behind. (Parts that
    were full by then stay; the next attempt writes the same ones.) At least one part is written, if need be with no
    rows, so that parts of a stage match the parts of its input.

    Args:
        folder: where parts go.
        stem: name without ending; may name a folder below `folder`.
        schema: columns, in order.
        part_bytes: a new part is begun when one holds this many bytes (Arrow's, uncompressed).
        ending: of the parts' names.
    """

    def __init__(
        self, folder: str, stem: str, schema: pa.Schema, *, part_bytes: int = PART_BYTES, ending: str = ".parquet"
    ) -> None:
        self._folder, self._stem, self._schema, self._part_bytes = folder, stem, schema, part_bytes
        self._ending = ending
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._pending_bytes = 0
        self._stack: ExitStack | None = None
        self._counted: dict[str, Counter[str]] = {}
        self._writer: Any = None
        self._open_part: dict[str, Any] = {}
        self.parts: list[dict[str, Any]] = []

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None:
            try:
                self._write_group()
                if self._stack is None and not self.parts:
                    self._begin()
                self._end()
            except BaseException as failure:
                self._discard(failure)
                raise
        else:
            self._discard(error)

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows; columns are taken by name and must be those of the schema."""
        batch = pa.RecordBatch.from_arrays([batch.column(name) for name in self._schema.names], schema=self._schema)
        while batch.num_rows:
            taken = self._rows_that_fit(batch)
            piece = batch.slice(0, taken)
            self._pending.append(piece)
            self._pending_rows += taken
            self._pending_bytes += int(row_bytes(piece).sum())
            batch = batch.slice(taken)
            if self._pending_rows >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
                self._write_group()

    def _rows_that_fit(self, batch: pa.RecordBatch) -> int:
        """Rows until the group is full; the row that passes the limit still belongs to it."""
        by_bytes = int(np.searchsorted(np.cumsum(row_bytes(batch)), ROW_GROUP_BYTES - self._pending_bytes)) + 1
        return max(1, min(by_bytes, ROW_GROUP_ROWS - self._pending_rows, batch.num_rows))

    def _write_group(self) -> None:
        if not self._pending_rows:
            return
        if self._stack is None:
            self._begin()
        table = pa.Table.from_batches(self._pending, self._schema).combine_chunks()
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        if self._counted:
            for key, values in _described_by(table).items():
                self._counted[key].update(values)
        self._open_part["rows"] += self._pending_rows
        self._open_part["arrow_bytes"] += self._pending_bytes
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        if self._open_part["arrow_bytes"] >= self._part_bytes:
            self._end()

    def _begin(self) -> None:
        number = len(self.parts)
        name = f"{self._stem}{self._ending}" if number == 0 else f"{self._stem}_{number:03d}{self._ending}"
        self._stack = ExitStack()
        file = self._stack.enter_context(storage.commit_file(storage.join(self._folder, name)))
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd", compression_level=1)
        self._open_part = {"path": name, "rows": 0, "arrow_bytes": 0, "file": file}
        counts = self._ending == ".parquet" and {"text", "source", "language", "meta"} <= set(self._schema.names)
        self._counted = {key: Counter[str]() for key in COUNTED} if counts else {}

    def _end(self) -> None:
        if self._stack is None:
            return
        self._writer.close()
        self._stack.close()
        part = self._open_part
        self.parts.append(
            {
                "path": part["path"],
                "rows": part["rows"],
                "bytes": part["file"].bytes,
                "digest": part["file"].digest,
                "arrow_bytes": part["arrow_bytes"],
            }
            | {key: _most_frequent(counted) for key, counted in self._counted.items() if counted}
        )
        self._stack = self._writer = None

    def _discard(self, error: BaseException) -> None:
        """Ends the open part without its file appearing."""
        if self._stack is None:
            return
        with suppress(Exception):  # whatever fails now, the error that came before it is the one to show
            self._writer.close()
        self._stack.__exit__(type(error), error, error.__traceback__)
        self._stack = self._writer = None


def side_writer(folder: str, table: str, stem: str, schema: pa.Schema) -> PartWriter:
    """A writer of the side table of a part; its entries' paths are below `folder`."""
    place = f"{side_folder(table)}/{stem}"
    return PartWriter(folder, place, schema, part_bytes=ONE_PART_A_FILE, ending=ENDING)


def _described_by(table: pa.Table) -> dict[str, dict[str, int]]:
    """Documents by source, language and the licence that their `meta` names; no licences where none is named."""
    licenses = pc.struct_field(pc.extract_regex(table.column("meta"), _LICENSE), "license")
    known = _value_counts(licenses) if licenses.null_count < len(licenses) else {}
    return {
        "sources": _value_counts(table.column("source")),
        "languages": _value_counts(table.column("language")),
        "licenses": known,
    }


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column)
    names, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
    return {UNKNOWN if name is None else name: count for name, count in zip(names, counts, strict=True)}


def _most_frequent(counted: Counter[str]) -> dict[str, int]:
    """The most frequent values, by name; a function of the counts alone."""
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ordered[MOST_VALUES:])
    return dict(sorted(ordered[:MOST_VALUES])) | ({OTHERS: rest} if rest else {})


def sided_writers(folder: str, stem: str, schemas: Mapping[str, pa.Schema]) -> dict[str, PartWriter]:
    """A writer of one part for each of a stage's tables: `kept` is the dataset itself, the others are side tables."""
    return {
        name: PartWriter(folder, stem, schema, part_bytes=ONE_PART_A_FILE)
        if name == KEPT
        else side_writer(folder, name, stem, schema)
        for name, schema in schemas.items()
    }


def row_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """Bytes of each row (int64 of shape (N,)): string lengths, or 8 for a column of fixed width."""
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type):
            width: Any = np.int64
        elif pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            width = np.int32
        else:
            total += 8
            continue
        offsets = np.frombuffer(column.buffers()[1], width)[column.offset : column.offset + batch.num_rows + 1]
        total += np.diff(offsets).astype(np.int64)
    return total


def write_table(path: str, table: pa.Table) -> dict[str, Any]:
    """One Parquet file for a table that fits in memory; gives its entry for a manifest (path as given)."""
    with storage.commit_file(path) as file:
        pq.write_table(table, file, compression="zstd", compression_level=1, row_group_size=ROW_GROUP_ROWS)
    return {"rows": table.num_rows, "bytes": file.bytes, "digest": file.digest}


def open_part(path: str) -> pq.ParquetFile:
    """A part of a dataset. Raises UserError for a file that is not whole Parquet."""
    file = storage.open_input(path)
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError, UnicodeError) as error:  # the last of a name in the footer
        file.close()
        raise _damaged(error, path) from error


def _damaged(error: Exception, path: str) -> Exception:
    """What to raise for an error of reading: of a damaged file a line; of storage that failed the error itself."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return UserError(f"not a readable Parquet file ({error})", where=path, hint="make it again")


def read_batches(path: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a part, a row group at a time or less. Raises UserError for a column that is not there, and for
    a damaged file."""
    with open_part(path) as file:
        yield from batches_of_part(file, path, columns)


def batches_of_part(file: pq.ParquetFile, path: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The same, of a part that is open."""
    missing = set(columns or ()) - set(file.schema_arrow.names)
    if missing:
        raise UserError(f"no column {', '.join(sorted(missing))}", where=path)
    for group in range(file.num_row_groups):
        try:
            table = file.read_row_group(group, columns=columns, use_threads=False).combine_chunks()
        except (pa.ArrowException, OSError) as error:
            raise _damaged(error, path) from error
        yield from table.to_batches()
