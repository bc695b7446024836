"""Conversations in JSON lines, JSON or Parquet: documents whose text is turns (`dataproc/conversations/turns.py`).

Which shapes are taken, and what is refused with which reason, is in `dataproc/conversations/messages.py`; all other
fields of a record are treated as in any JSON. A file is one piece, since its ending does not say how it may be cut:
give a large set as several files. Ids and places are those of JSON lines, JSON and Parquet.

Cost: JSON by orjson and a check in Python for every message, some 40 MB/s.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from corpusmill.dataproc.conversations.messages import FIELDS, turns_of_record
from corpusmill.dataproc.conversations.turns import text_of
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.readers.batches import BatchBuilder, Report, Unread
from corpusmill.dataproc.readers.json_objects import read_json
from corpusmill.dataproc.readers.jsonl import read_jsonl
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.records import row_maker
from corpusmill.dataproc.urls import without_query

ROWS = 1024
"""Of Parquet that are Python objects at a time."""


def read_chat(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Conversations of a file; what is none that can be taken is reported with its place and the reason."""
    name = without_query(piece.path).lower()
    if name.endswith(".parquet"):
        yield from _read_parquet(piece, fields, report)
    elif name.endswith(".json"):
        yield from read_json(piece, fields, report, conversation_text)
    else:
        yield from read_jsonl(piece, fields, report, conversation_text)


def conversation_text(record: dict[str, Any]) -> str:
    """Takes the conversation out of a record and gives it as a document's text. Raises ValueError with the reason."""
    text = text_of(turns_of_record(record))
    for name in FIELDS:
        record.pop(name, None)
    return text


def _read_parquet(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    builder, make, prefix = BatchBuilder(), row_maker(fields, conversation_text), f"{fields.source}/{piece.name}#"
    with open_part(piece.path) as file:
        number = 0
        batches = file.iter_batches(batch_size=ROWS)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                report(f"{prefix}{number}", f"{piece.path}, row {number}", Unread(f"damaged: {error}"), None)
                break
            if batch is None:
                break
            for record in batch.to_pylist():
                row = make({name: value for name, value in record.items() if value is not None}, prefix, number)
                if isinstance(row, tuple):
                    builder.add_row(row)
                    if builder.full:
                        yield builder.take()
                else:
                    report(f"{prefix}{number}", f"{piece.path}, row {number}", row, None)
                number += 1
    yield builder.take()
