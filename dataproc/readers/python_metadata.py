"""Metadata of installed Python distributions: the long description is the document, the headers go into `meta`.

The format is that of mail headers in UTF-8 (core metadata specification, packaging.python.org); the body, or the older
`Description` header, is the README of the distribution.
"""

import json
import re
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser
from email.policy import compat32

import pyarrow as pa

from corpusmill.dataproc.readers.batches import BatchBuilder, Report
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.text import read_text

KEPT_HEADERS = ("Name", "Version", "Summary", "License", "License-Expression")
CONTINUATION = re.compile(r"\n(?: {7}\||\t| {8})")
"""What the lines of a `Description` header after its first begin with."""


def read_metadata(pieces: Iterable[Piece], fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """One document a distribution; its text is empty where it has no description. What is not UTF-8 is reported."""
    builder = BatchBuilder()
    for piece in pieces:
        raw = read_text(piece, fields, report)
        if raw is None:
            continue
        message = HeaderParser(policy=compat32).parsestr(raw.replace("\r\n", "\n"))
        text = str(message.get_payload())
        if not text.strip():
            text = CONTINUATION.sub("\n", message.get("Description") or "")
        meta = {key: message[key] for key in KEPT_HEADERS if message[key]}
        builder.add(
            id=f"{fields.source}/{piece.name}#0",
            text=text,
            source=fields.source,
            kind=fields.kind,
            meta=json.dumps(meta, sort_keys=True, ensure_ascii=False),
        )
        if builder.full:
            yield builder.take()
    yield builder.take()
