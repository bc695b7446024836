"""Metadata of installed Python distributions: the long description is the document, the headers go into `meta`.

The format is that of mail headers (core metadata specification, packaging.python.org); the body, or the older
`Description` header, is the README of the distribution.
"""

import json
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import compat32

import pyarrow as pa

from dataproc import storage
from dataproc.readers.batches import BatchBuilder, Report
from dataproc.readers.pieces import Fields, Piece

KEPT_HEADERS = ("Name", "Version", "Summary", "License", "License-Expression")


def read_metadata(pieces: list[Piece], fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """One document a distribution. One without a description is reported, since there is nothing to read in it."""
    builder = BatchBuilder()
    for piece in pieces:
        name = f"{fields.source}/{piece.name}#0"
        with storage.open_input(piece.path) as file:
            data = file.read(fields.maximum_record_bytes)
        message = BytesParser(policy=compat32).parsebytes(data)
        body = message.get_payload(decode=True)
        try:
            text = body.decode("utf-8") if isinstance(body, bytes) else ""
        except UnicodeDecodeError:
            report(name, piece.path, "the description is not UTF-8", data.decode("utf-8", "replace"))
            continue
        text = text if text.strip() else str(message.get("Description") or "")
        meta = {key: str(message[key]) for key in KEPT_HEADERS if message[key]}
        yield from builder.add(
            id=name,
            text=text,
            source=fields.source,
            kind=fields.kind,
            meta=json.dumps(meta, sort_keys=True, ensure_ascii=False),
        )
    yield from builder.rest()
