"""Rows of Arrow batches to documents: which column is what, and the rest into `meta`. For Parquet, Arrow IPC and CSV.

A column is named by its name, or by a path with dots into structs (`content.body`); a column whose own name holds the
dots goes first. Texts may be of any type of string or bytes, or a dictionary of them; an id, URL or language may be a
whole number, too. `meta` is a JSON object of what became no column, or of those of it that are asked for.

Nothing is trusted: Arrow's types say UTF-8 and formats do not check it. A row that is no document is reported, and its
neighbours stay. Cost: columns are moved as they are; `meta` is built a row at a time, in Python, and is what is slow
where there are many other columns, so `meta_fields` pays.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.readers.batches import Report, Unread, normalise
from corpusmill.dataproc.readers.decoded_sizes import STRINGS, decoded_bytes, spelled_bytes
from corpusmill.dataproc.readers.pieces import Fields, Piece

BATCH_BYTES = 16 << 20
BATCH_ROWS = 1 << 14
SHOWN_NAMES = 20


def columns_read(names: Sequence[str], fields: Fields) -> list[str]:
    """Those columns of `names` that documents are made of, so that others need not be read."""
    if fields.meta_fields is None:
        return list(names)
    wanted = [fields.text_field, fields.id_field, fields.url_field, fields.language_field, "source", "kind"]
    tops = {path if path in names else path.split(".")[0] for path in wanted}
    return [name for name in names if name in tops or name in fields.meta_fields]


def check_columns(schema: pa.Schema, fields: Fields, rows: int | None = None) -> Unread | None:
    """Why nothing of a file of these columns can be read, and that this loses its `rows`; None where it can be."""
    try:
        names = schema.names
    except UnicodeDecodeError:
        return Unread("the name of a column is not UTF-8", rows)
    if len(set(names)) < len(names):
        return Unread("two columns have the same name", rows)
    kind = _type_of(schema, fields.text_field)
    if kind is None:
        there = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
        return Unread(f"no column '{fields.text_field}' (there are {there}); use --text-field", rows, mismatch=True)
    if kind not in STRINGS and not (pa.types.is_dictionary(kind) and kind.value_type in STRINGS):
        return Unread(f"column '{fields.text_field}' is {kind}, not text; use --text-field", rows, mismatch=True)
    return None


def _type_of(schema: pa.Schema, path: str) -> pa.DataType | None:
    if path in schema.names:
        return schema.field(path).type
    top, *keys = path.split(".")
    kind = schema.field(top).type if top in schema.names else None
    for key in keys:
        if kind is None or not pa.types.is_struct(kind) or kind.get_field_index(key) < 0:
            return None
        kind = kind.field(key).type
    return kind


def rows_a_batch(rows: int, total_bytes: int) -> int:
    """How many rows make a batch of about `BATCH_BYTES`, where `rows` rows take `total_bytes`."""
    return min(BATCH_ROWS, max(1, BATCH_BYTES * rows // max(1, total_bytes)))


def slices(batch: pa.RecordBatch, fields: Fields) -> Iterator[pa.RecordBatch]:
    """A batch in slices of about `BATCH_BYTES` by what each row takes once it is decoded, or of one row; smaller ones
    where `meta` would be much longer than what it is made of, since JSON spells bytes."""
    ends = np.cumsum(decoded_bytes(batch))
    first = 0
    while first < batch.num_rows:
        before = int(ends[first - 1]) if first else 0
        stop = int(np.searchsorted(ends, before + BATCH_BYTES, side="right"))
        stop = min(max(stop, first + 1), first + BATCH_ROWS, batch.num_rows)
        yield from _halves(batch.slice(first, stop - first), fields)
        first = stop


def _halves(batch: pa.RecordBatch, fields: Fields) -> Iterator[pa.RecordBatch]:
    names = [name for name in batch.schema.names if name != fields.text_field]
    if batch.num_rows > 1 and sum(spelled_bytes(batch.column(name)) for name in names) > BATCH_BYTES:
        half = batch.num_rows // 2
        yield from _halves(batch.slice(0, half), fields)
        yield from _halves(batch.slice(half), fields)
    else:
        yield batch


def documents_of_rows(
    batch: pa.RecordBatch, first: int, piece: Piece, fields: Fields, report: Report
) -> pa.RecordBatch:
    """The documents of N rows of a file, normalised; a row that is not a document is reported.

    Args:
        batch: columns that `check_columns` finds nothing wrong with.
        first: number of the first row, counted from 0 through the file.
    """
    names = _row_names(fields, piece, first, batch.num_rows)
    problems: dict[int, str] = {}  # by row; of two in a row the first stays
    used: list[str] = []

    def strings(column: pa.Array | None, path: str) -> pa.Array | None:
        decoded, undecodable = _as_strings(column)
        for row, byte in undecodable.items():
            problems.setdefault(row, f"column '{path}' is not UTF-8 at byte {byte}")
        return decoded

    def words(path: str) -> pa.Array:
        """A column of text or whole numbers, null where there is no such column or value."""
        column = _column(batch, path)
        if column is not None:
            whole = pa.types.is_integer(column.type)
            column = column.cast(pa.large_string()) if whole else strings(column, path)
        if column is None:
            return pa.nulls(batch.num_rows, pa.string())
        used.append(path)
        return pc.if_else(pc.equal(column, ""), None, column).cast(pa.string())

    text: Any = strings(_column(batch, fields.text_field), fields.text_field)
    used.append(fields.text_field)
    columns = [
        pc.coalesce(words(fields.id_field), names),
        text,
        words("source").fill_null(fields.source),
        words("kind").fill_null(fields.kind),
        words(fields.language_field),
        words(fields.url_field),
    ]
    meta, unwritable = _as_json(_others(batch, used, fields), fields.maximum_record_bytes)
    columns.append(meta)
    problems = unwritable | problems
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


def _row_names(fields: Fields, piece: Piece, first: int, rows: int) -> pa.Array:
    """Ids by a file's name and a row's number, counted from 0 through the file."""
    numbers = pa.array(np.arange(first, first + rows)).cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar(f"{fields.source}/{piece.name}"), numbers, "#")


def _column(batch: pa.RecordBatch, path: str) -> pa.Array | None:
    """A column by its name or its path; None if there is none."""
    if _type_of(batch.schema, path) is None:
        return None
    if path in batch.schema.names:
        return batch.column(path)
    top, *keys = path.split(".")
    return pc.struct_field(batch.column(top), keys)


def _others(batch: pa.RecordBatch, used: Sequence[str], fields: Fields) -> pa.RecordBatch:
    """The columns for `meta`: what is not used, structs without what is used of them."""
    columns: dict[str, pa.Array] = {}
    for name in batch.schema.names:
        if name in used or (fields.meta_fields is not None and name not in fields.meta_fields):
            continue
        column: pa.Array | None = batch.column(name)
        for path in used:
            if column is not None and path.startswith(f"{name}.") and path not in batch.schema.names:
                column = _without(column, path.split(".")[1:])
        if column is not None:
            columns[name] = column
    if not columns:
        return batch.select([])
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _without(column: pa.StructArray, keys: Sequence[str]) -> pa.StructArray | None:
    """A struct without a nested field, and without structs that are empty then; None where it is empty itself."""
    kept: list[tuple[pa.Array, pa.Field]] = []
    for number, member in enumerate(column.type):
        child: pa.Array | None = column.field(number)
        if member.name == keys[0]:
            child = _without(child, keys[1:]) if len(keys) > 1 else None
        if child is not None:
            kept.append((child, pa.field(member.name, child.type)))
    if not kept:
        return None
    return pa.StructArray.from_arrays(
        [child for child, _ in kept], fields=[field for _, field in kept], mask=column.is_null()
    )


def _as_strings(column: pa.Array | None) -> tuple[pa.Array | None, dict[int, int]]:
    """A column of any kind of string or bytes as large_string, None for other types; and what is not UTF-8.

    That becomes null, and is given as {row: the byte at which it stops being UTF-8}.
    """
    if column is None:
        return None, {}
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type not in STRINGS:
        return None, {}
    column = column.cast(pa.large_binary())
    try:
        return column.cast(pa.large_string()), {}  # which checks every byte
    except pa.ArrowInvalid:
        values: list[str | None] = []
        undecodable: dict[int, int] = {}
        for row, value in enumerate(column.to_pylist()):
            try:
                values.append(None if value is None else value.decode())
            except UnicodeDecodeError as error:
                undecodable[row] = error.start
                values.append(None)
        return pa.array(values, pa.large_string()), undecodable


def _as_json(others: pa.RecordBatch, limit: int) -> tuple[pa.Array, dict[int, str]]:
    """Rows as JSON objects with sorted keys, or nulls where there is no column; and why a row cannot be, by row."""
    if not others.num_columns:
        return pa.nulls(others.num_rows, pa.string()), {}
    too_long = decoded_bytes(others) > limit  # objects of Python would take many times as much
    try:
        if not too_long.any():
            return pa.array([_dump(row) for row in others.to_pylist()], pa.string()), {}
    except Exception:  # invalid UTF-8, dates out of range, nesting too deep: found a row at a time
        pass
    values = list[str | None]()
    problems: dict[int, str] = {}
    for row in range(others.num_rows):
        try:
            if too_long[row]:
                raise ValueError(f"longer than {limit} bytes")
            values.append(_dump(others.slice(row, 1).to_pylist()[0]))
        except Exception as error:
            problems[row] = f"its other columns cannot be written: {error}"
            values.append(None)
    return pa.array(values, pa.string()), problems


def _dump(row: dict[str, Any]) -> str:
    return orjson.dumps(row, default=_plain, option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: Any) -> str:
    """Bytes and decimals as text."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _shown(text: pa.Scalar, limit: int) -> str | None:
    """The text for the quarantine, unless it is too long."""
    return text.as_py() if text.is_valid and len(text.as_buffer()) <= limit else None
