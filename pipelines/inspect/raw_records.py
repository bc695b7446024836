"""Raw files by place: how a record begins, and which document a place of a file became.

The place of a record is what a document's id ends in where the input gave no id: a byte of a file of lines or of a web
archive, a row of a table, 0 for a file of text; in a compressed file of several members `<member>+<byte>`.

Cost: of a plain file the bytes that are shown; of a compressed one what stands before them in the member, up to
`MOST_SKIPPED` bytes. A document by its place: the ids of the dataset, once.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.decompression import BrokenStream, codec_of, open_decompressed
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.documents import Rows

if TYPE_CHECKING:
    from corpusmill.pipelines.inspect.raw import RawFiles

BYTES, ROWS = ("jsonl", "json", "warc"), ("parquet",)
MOST_SKIPPED = 256 << 20
MOST_LINE = 64 << 20
CHARACTERS = 200


def record_begins(path: str, format: str, place: str, characters: int = CHARACTERS) -> str:
    """How a record of a raw file begins, as it is there; "" for a format or a place that this does not reach."""
    member, plus, offset = place.rpartition("+")
    try:
        if format in ROWS:
            row = Rows(path, [(path, int(offset) + 1)]).row(int(offset))
            return json.dumps(row.values, ensure_ascii=False, default=str)[:characters]
        if format in BYTES or format == "text":
            start = int(offset) if format in BYTES else 0
            data = _bytes_at(path, int(member) if plus else 0, start, 4 * characters)
            return (
                data.partition(b"\n")[0].decode(errors="replace")[:characters]
                if format == "jsonl"
                else (data.decode(errors="replace")[:characters])
            )
    except (OSError, ValueError, UserError, BrokenStream):
        return ""
    return ""


def _bytes_at(path: str, member: int, offset: int, count: int) -> bytes:
    """Bytes of a file as it is uncompressed, from an offset in a member on; none beyond `MOST_SKIPPED`."""
    codec = codec_of(path)
    with storage.open_input(path) as file:
        file.seek(member if codec else offset)
        if codec is None:
            return file.read(count)
        stream = open_decompressed(file, codec)
        if offset > MOST_SKIPPED:
            return b""
        while offset > 0 and (passed := stream.read(min(offset, 1 << 20))):
            offset -= len(passed)
        return stream.read(count)


def document_at(raw_files: "RawFiles", parts: Sequence[str], path: str, offset: int) -> str | None:
    """The id of the document that a place of a raw file became; None where the ingest did not read the file.

    Args:
        raw_files: of the ingest.
        parts: paths of its dataset's parts.
        path: of the raw file.
        offset: a byte in a record, or the row of a table.

    Raises:
        UserError: the file was read, and no document came from that place, or none whose id says so.
    """
    names = raw_files.names_of(path)
    if names is None:
        return None
    before: list[tuple[int, str]] = []
    for part in parts:
        for batch in read_batches(part, ["id"]):
            ids = batch.column("id")
            for name in names:
                begun = f"{name}#"
                for document in ids.filter(pc.starts_with(ids, begun)).to_pylist():
                    record = document[len(begun) :]
                    if record.isdecimal() and int(record) <= offset:
                        before.append((int(record), document))
    if before:
        return max(before)[1]
    document = _own_id(path, offset, raw_files.id_field)
    if document is None or not _stands(parts, document):
        hint = "the place of a record is a byte offset in lines or a web archive, or a row of a table"
        raise UserError(f"no document came from {offset:,} of this file", where=path, hint=hint)
    return document


def _own_id(path: str, offset: int, id_field: str) -> str | None:
    """The id that the JSON line at a byte of a plain file gives itself."""
    if codec_of(path) is not None:
        return None
    with storage.open_input(path) as file:
        start = _line_start(file, offset)
        file.seek(start)
        line = file.readline(MOST_LINE)
    try:
        value: Any = orjson.loads(line)
        for name in id_field.split("."):
            value = value[name]
    except (ValueError, KeyError, TypeError):
        return None
    return str(value)


def _line_start(file: Any, offset: int) -> int:
    """Where the line begins that a byte is of, looking back by blocks."""
    end = offset
    while end > 0:
        start = max(0, end - (1 << 16))
        file.seek(start)
        block = file.read(end - start)
        if (at := block.rfind(b"\n")) >= 0:
            return start + at + 1
        end = start
    return 0


def _stands(parts: Sequence[str], document: str) -> bool:
    wanted = pa.scalar(document, pa.string())
    return any(
        pc.any(pc.equal(batch.column("id").cast(pa.string()), wanted)).as_py()
        for part in parts
        for batch in read_batches(part, ["id"])
    )
