"""Parquet: columns by name, row groups one at a time, everything else that a row held into `meta`."""

from collections.abc import Iterator

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dataproc.datasets import open_part
from dataproc.documents import SCHEMA
from dataproc.errors import UserError
from dataproc.readers.batches import Report, normalise
from dataproc.readers.pieces import Fields, Piece


def read_parquet(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a range of row groups; a row whose text is null is reported. UserError for a missing column."""
    with open_part(piece.path) as file:
        names = file.schema_arrow.names
        if fields.text_field not in names:
            raise UserError(
                f"no column '{fields.text_field}' (there are {', '.join(names)})",
                where=piece.path,
                mend="use --text-field",
            )
        first = sum(file.metadata.row_group(group).num_rows for group in range(piece.start))
        for group in range(piece.start, piece.stop or file.num_row_groups):
            table = file.read_row_group(group, use_threads=False).combine_chunks()
            for batch in table.to_batches():
                yield from _documents(batch, first, piece, fields, report)
                first += batch.num_rows


def _documents(
    batch: pa.RecordBatch, first: int, piece: Piece, fields: Fields, report: Report
) -> Iterator[pa.RecordBatch]:
    names, rows = batch.schema.names, batch.num_rows
    if fields.id_field in names:
        ids = batch.column(fields.id_field).cast(pa.string())
    else:
        numbers = pa.array(range(first, first + rows)).cast(pa.string())
        ids = pc.binary_join_element_wise(pa.scalar(f"{fields.source}/{piece.name}"), numbers, "#")
    text = batch.column(fields.text_field)
    if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        raise UserError(f"column '{fields.text_field}' is {text.type}, not text", where=piece.path)

    def optional(name: str) -> pa.Array:
        return batch.column(name).cast(pa.string()) if name in names else pa.nulls(rows, pa.string())

    used = {fields.id_field, fields.text_field, fields.url_field, fields.language_field, "source", "kind"}
    others = [name for name in names if name not in used]
    held = batch.select(others).to_pylist() if others else []
    columns = {
        "id": ids,
        "text": text.cast(pa.large_string()),
        "source": optional("source").fill_null(fields.source),
        "kind": optional("kind").fill_null(fields.kind),
        "language": optional(fields.language_field),
        "url": optional(fields.url_field),
        "meta": pa.array([orjson.dumps(row, default=str).decode() for row in held], pa.string())
        if others
        else pa.nulls(rows, pa.string()),
    }
    whole = pc.and_(pc.is_valid(columns["text"]), pc.is_valid(columns["id"]))
    for row in pc.indices_nonzero(pc.invert(whole)).to_pylist():
        report(
            f"{fields.source}/{piece.name}#{first + row}", f"{piece.path}, row {first + row}", "null text or id", None
        )
    arrays = pa.RecordBatch.from_pydict(columns).filter(whole)
    yield normalise(pa.RecordBatch.from_arrays(arrays.columns, schema=SCHEMA))
