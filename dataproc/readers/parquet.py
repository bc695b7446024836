"""Parquet: columns by name, a row group's rows by and by, everything else that a row held into `meta`.

Nothing in a file is trusted: Parquet does not check that strings are UTF-8, and a page may be broken behind a sound
footer. A row that is no document is reported, and so is what cannot be read of a row group; the rest goes on.
Memory: one batch of rows (`BATCH_BYTES` by the footer's account, at most `BATCH_ROWS`) and the pages it comes from.
"""

from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataproc import storage
from dataproc.datasets import open_part
from dataproc.documents import SCHEMA
from dataproc.errors import UserError
from dataproc.readers.batches import Report, normalise
from dataproc.readers.pieces import Fields, Piece

BATCH_BYTES = 16 << 20
BATCH_ROWS = 1 << 14
STRINGS = (
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(),
)  # fmt: skip


def read_parquet(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a range of row groups. A row without a text is reported; UserError for a missing column."""
    storage.open_input(piece.path).close()  # a file that is not there is a mistake, a broken one an input like others
    try:
        file = open_part(piece.path)
    except UserError as error:
        report(f"{fields.source}/{piece.name}#0", piece.path, error.what, None)
        return
    with file:
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            report(f"{fields.source}/{piece.name}#0", piece.path, "two columns of one name", None)
            return
        if fields.text_field not in names:
            there = ", ".join(names)
            raise UserError(f"no column '{fields.text_field}' (there are {there})", piece.path, "use --text-field")
        first = sum(file.metadata.row_group(group).num_rows for group in range(piece.start))
        for group in range(piece.start, piece.stop or file.num_row_groups):
            yield from _read_group(file, group, first, piece, fields, report)
            first += file.metadata.row_group(group).num_rows


def _read_group(
    file: pq.ParquetFile, group: int, first: int, piece: Piece, fields: Fields, report: Report
) -> Iterator[pa.RecordBatch]:
    metadata = file.metadata.row_group(group)
    rows = min(BATCH_ROWS, max(1, BATCH_BYTES * metadata.num_rows // max(1, metadata.total_byte_size)))
    batches = file.iter_batches(batch_size=rows, row_groups=[group], use_threads=False)
    row = first
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            # An OSError is a broken page or storage that fails. The storage's has a number; one of a remote store
            # may have none, and is raised, too, since trying again may help.
            remote = isinstance(error, OSError) and (error.errno is not None or storage.is_url(piece.path))
            if remote or isinstance(error, MemoryError):
                raise
            place = f"{piece.path}, rows {row} to {first + metadata.num_rows - 1} (row group {group})"
            report(f"{fields.source}/{piece.name}#{row}", place, f"broken Parquet: {error}", None)
            return
        if batch is None:
            return
        yield _documents(batch, row, piece, fields, report)
        row += batch.num_rows


def _documents(batch: pa.RecordBatch, first: int, piece: Piece, fields: Fields, report: Report) -> pa.RecordBatch:
    """Rows that are documents; `first` is the number of the batch's first row in the file."""
    problems: dict[int, str] = {}
    used: set[str] = set()

    def words(name: str) -> pa.Array:
        """A column of text or whole numbers, null where there is no such column or value."""
        column = batch.column(name) if name in batch.schema.names else None
        if column is not None:
            whole = pa.types.is_integer(column.type)
            column = column.cast(pa.large_string()) if whole else _as_strings(column, name, problems)
        if column is None:
            return pa.nulls(batch.num_rows, pa.string())
        used.add(name)
        return pc.if_else(pc.equal(column, ""), None, column).cast(pa.string())

    text = _as_strings(batch.column(fields.text_field), fields.text_field, problems)
    if text is None:
        kind = batch.schema.field(fields.text_field).type
        raise UserError(f"column '{fields.text_field}' is {kind}, not text", where=piece.path)
    used.add(fields.text_field)
    numbers = pa.array(range(first, first + batch.num_rows)).cast(pa.string())
    names = pc.binary_join_element_wise(pa.scalar(f"{fields.source}/{piece.name}"), numbers, "#")
    columns = [
        pc.coalesce(words(fields.id_field), names),
        text,
        words("source").fill_null(fields.source),
        words("kind").fill_null(fields.kind),
        words(fields.language_field),
        words(fields.url_field),
    ]
    others = batch.select([name for name in batch.schema.names if name not in used])
    columns.append(_as_json(others, problems))
    for row in pc.indices_nonzero(pc.is_null(text)).to_pylist():
        problems.setdefault(row, f"no text in column '{fields.text_field}'")
    limit = fields.maximum_record_bytes
    for row in pc.indices_nonzero(pc.greater(pc.binary_length(text).fill_null(0), limit)).to_pylist():
        problems.setdefault(row, f"a text longer than {limit} bytes")
    for row, problem in sorted(problems.items()):
        report(names[row].as_py(), f"{piece.path}, row {first + row}", problem, _shown(text[row], limit))
    documents = pa.RecordBatch.from_arrays(columns, names=SCHEMA.names)
    if problems:
        documents = documents.filter(pa.array([row not in problems for row in range(batch.num_rows)]))
    return normalise(pa.RecordBatch.from_arrays(documents.columns, schema=SCHEMA))


def _as_strings(column: pa.Array, name: str, problems: dict[int, str]) -> pa.Array | None:
    """A column of any kind of string or bytes as large_string; None for other types.

    What is not UTF-8 becomes null, and is noted in `problems` by its row.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type not in STRINGS:
        return None
    column = column.cast(pa.large_binary())
    try:
        return column.cast(pa.large_string())  # which checks every byte
    except pa.ArrowInvalid:
        values: list[str | None] = []
        for row, value in enumerate(column.to_pylist()):
            try:
                values.append(None if value is None else value.decode())
            except UnicodeDecodeError as error:
                problems.setdefault(row, f"column '{name}' is not UTF-8 at byte {error.start}")
                values.append(None)
        return pa.array(values, pa.large_string())


def _as_json(others: pa.RecordBatch, problems: dict[int, str]) -> pa.Array:
    """Rows as JSON objects with sorted keys, or nulls where there is no column. What Python cannot hold is noted."""
    if not others.num_columns:
        return pa.nulls(others.num_rows, pa.string())
    try:
        return pa.array([_dump(row) for row in others.to_pylist()], pa.string())
    except Exception:  # invalid UTF-8, dates out of range, nesting too deep: found a row at a time
        values: list[str | None] = []
        for row in range(others.num_rows):
            try:
                values.append(_dump(others.slice(row, 1).to_pylist()[0]))
            except Exception as error:
                problems.setdefault(row, f"its other columns cannot be written: {error}")
                values.append(None)
        return pa.array(values, pa.string())


def _dump(row: dict[str, Any]) -> str:
    return orjson.dumps(row, default=_plain, option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: Any) -> str:
    """Bytes and decimals as text."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _shown(text: pa.Scalar, limit: int) -> str | None:
    """The text for the quarantine, unless it is too long."""
    return text.as_py() if text.is_valid and len(text.as_buffer()) <= limit else None
