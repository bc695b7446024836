"""JSON lines, plain, .gz or .zst: a line at a time by orjson, so that one bad line costs itself and nothing else.

A plain file may be read by byte range: a range owns the lines that begin in it. Records without an id are numbered by
the byte offset at which their line begins (in the uncompressed stream), which needs no pass over the lines before.
Memory: one chunk and one line of at most `maximum_record_bytes`; a longer line is reported and skipped, so neither a
line without end nor a decompression bomb can fill the memory.
"""

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import zstandard

from dataproc import storage
from dataproc.readers.batches import BatchBuilder, Report
from dataproc.readers.pieces import Fields, Piece

CHUNK_BYTES = 4 << 20
ZSTD_SLICE_BYTES = 4 << 10


def read_jsonl(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a JSONL piece; what is not an object with a text is reported with its byte offset."""
    builder = BatchBuilder()
    with storage.open_input(piece.path) as file:
        for offset, line, problem in _lines(file, piece, fields.maximum_record_bytes):
            name = f"{fields.source}/{piece.name}#{offset}"
            place = f"{piece.path}, byte {offset}"
            if problem:
                report(name, place, problem, line.decode("utf-8", "replace") if line else None)
                continue
            if not line.strip():
                continue
            record, problem = _parse(line, fields)
            if record is None:
                report(name, place, problem, line.decode("utf-8", "replace"))
            else:
                yield from builder.add(**{"id": name, "source": fields.source, "kind": fields.kind} | record)
    yield from builder.rest()


def _parse(line: bytes, fields: Fields) -> tuple[dict[str, Any] | None, str]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return None, f"not JSON: {error}"
    if not isinstance(value, dict):
        return None, f"a JSON {type(value).__name__}, not an object"
    text = value.pop(fields.text_field, None)
    if not isinstance(text, str):
        return None, f"no text in field '{fields.text_field}'"
    record: dict[str, Any] = {"text": text}
    names = {"id": fields.id_field, "url": fields.url_field, "language": fields.language_field}
    for column, field in (names | {"source": "source", "kind": "kind"}).items():
        held = value.get(field)
        if held is not None and isinstance(held, str | int):
            record[column] = str(held)
            del value[field]
    if value:
        record["meta"] = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return record, ""


def _lines(file: BinaryIO, piece: Piece, limit: int) -> Iterator[tuple[int, bytes, str]]:
    """(offset, line, problem) of the lines that begin in the piece's range."""
    begun, stop = piece.start, piece.stop or None
    foreign = begun > 0  # the line that reaches into this range belongs to the range before
    if foreign:
        begun -= 1
        file.seek(begun)
    held, dropped = b"", 0

    def judge(line: bytes) -> Iterator[tuple[int, bytes, str]]:
        if foreign:
            return
        if dropped + len(line) > limit:
            yield begun, b"", f"a line longer than {limit} bytes"
        else:
            yield begun, line, ""

    for chunk, problem in _chunks(file, piece.path):
        if problem:
            yield begun + dropped + len(held), held, problem
            return
        lines = (held + chunk).split(b"\n")
        held = lines.pop()
        for line in lines:
            if stop is not None and begun >= stop:
                return
            yield from judge(line)
            begun += dropped + len(line) + 1
            foreign, dropped = False, 0
        if len(held) > limit:  # too long already: its length is all that need be kept
            dropped, held = dropped + len(held), b""
    if (held or dropped) and not (stop is not None and begun >= stop):
        yield from judge(held)


def _chunks(file: BinaryIO, path: str) -> Iterator[tuple[bytes, str]]:
    """Chunks of the uncompressed stream; ends with a problem where the compressed stream is broken or cut off."""
    if path.endswith(".gz"):
        yield from _gunzip(file)
    elif path.endswith((".zst", ".zstd")):
        yield from _unzstd(file)
    else:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk, ""


def _gunzip(file: BinaryIO) -> Iterator[tuple[bytes, str]]:
    """All members of a gzip stream, each chunk bounded however well it was compressed."""
    machine = zlib.decompressobj(wbits=31)
    read = 0
    data = b""
    while data or (data := file.read(CHUNK_BYTES)):
        read += len(data)
        try:
            chunk = machine.decompress(data, CHUNK_BYTES)
        except zlib.error as error:
            yield b"", f"broken gzip stream before compressed byte {read} ({error})"
            return
        if chunk:
            yield chunk, ""
        data = machine.unconsumed_tail
        read -= len(data)
        if machine.eof:
            data = machine.unused_data
            read -= len(data)
            machine = zlib.decompressobj(wbits=31)
            data = data or file.read(CHUNK_BYTES)
            if not data.strip(b"\0"):
                return
    yield b"", f"gzip stream cut off at compressed byte {read}"


def _unzstd(file: BinaryIO) -> Iterator[tuple[bytes, str]]:
    """All frames of a zstd stream. Fed in slices of 4 KiB, so that a bomb gives at most 128 MiB at a time."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    machine, in_frame, read = decompressor.decompressobj(), False, 0
    held: list[bytes] = []
    held_bytes = 0
    while block := file.read(CHUNK_BYTES):
        for data in (block[start : start + ZSTD_SLICE_BYTES] for start in range(0, len(block), ZSTD_SLICE_BYTES)):
            read += len(data)
            while data:
                in_frame = True
                try:
                    held.append(machine.decompress(data))
                except zstandard.ZstdError as error:
                    yield b"".join(held), ""
                    yield b"", f"broken zstd stream before compressed byte {read} ({error})"
                    return
                held_bytes += len(held[-1])
                data = machine.unused_data if machine.eof else b""
                if machine.eof:
                    machine, in_frame = decompressor.decompressobj(), False
            if held_bytes >= CHUNK_BYTES:
                yield b"".join(held), ""
                held, held_bytes = [], 0
    yield b"".join(held), ""
    if in_frame:
        yield b"", f"zstd stream cut off at compressed byte {read}"
