"""Plain text, Markdown and source files: one document a file, language by the file's ending."""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.language import language_of_path
from corpusmill.dataproc.readers.batches import BatchBuilder, Report
from corpusmill.dataproc.readers.compressions import unread_compression
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.signatures import BINARY_IN_UTF8, binary_format
from corpusmill.dataproc.urls import without_query


def read_files(pieces: Iterable[Piece], fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of many files, so that small files share a batch. A file that is not UTF-8 is reported."""
    builder = BatchBuilder()
    for piece in pieces:
        text = read_text(piece, fields, report)
        if text is None:
            continue
        name = f"{fields.source}/{piece.name}#0"
        language = language_of_path(without_query(piece.path))
        builder.add(id=name, text=text, source=fields.source, kind=fields.kind, language=language)
        if builder.full:
            yield builder.take()
    yield builder.take()


def read_text(piece: Piece, fields: Fields, report: Report) -> str | None:
    """A whole file of UTF-8; None when it is not, or too long, which is reported."""
    name = f"{fields.source}/{piece.name}#0"
    with storage.open_input(piece.path) as file:
        data = file.read(fields.maximum_record_bytes + 1)
    if len(data) > fields.maximum_record_bytes:
        report(name, piece.path, f"longer than {fields.maximum_record_bytes} bytes", None)
        return None
    other = binary_format(data[:8])
    if other in BINARY_IN_UTF8:
        report(name, piece.path, f"the file is {other}, not text", None)
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        reason = unread_compression(data[:16]) or (f"the file is {other}, not text" if other else "")
        shown = None if reason else data.decode("utf-8", "replace")
        report(name, f"{piece.path}, byte {error.start}", reason or "not UTF-8", shown)
        return None
