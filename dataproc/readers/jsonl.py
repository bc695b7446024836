"""JSON lines, plain, .gz or .zst: a line at a time by orjson, so that one bad line costs itself and nothing else.

A plain file may be read by byte range: a range owns the lines that begin in it. Records without an id are numbered by
the byte offset at which their line begins (in the uncompressed stream), which needs no pass over the lines before.
Memory: one chunk and one line of at most `maximum_record_bytes`; a longer line is reported and skipped, so neither a
line without end nor a decompression bomb can fill the memory. (A zstd stream takes its window besides, at most 2 GiB.)
A compressed stream that breaks gives all that comes before the break; where only the check sum at its end tells, that
includes the damaged lines, and the report is the sign that the file is to be fetched again.
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
GZIP_SLICE_BYTES = 256 << 10
ZSTD_SLICE_BYTES = 1 << 10
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_jsonl(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a JSONL piece; what is not an object with a text is reported with its byte offset."""
    builder = BatchBuilder()
    with storage.open_input(piece.path) as file:
        for offset, line, problem in _lines(file, piece, fields.maximum_record_bytes):
            if offset == 0:
                line = line.removeprefix(BYTE_ORDER_MARK)
            name = f"{fields.source}/{piece.name}#{offset}"
            if not problem:
                if not line.strip():
                    continue
                record, problem = _parse(line, fields, name)
            if problem:
                held = line.decode("utf-8", "replace") if line else None
                report(name, f"{piece.path}, byte {offset}", problem, held)
                continue
            builder.add(**record)
            if builder.full:
                yield builder.take()
    yield builder.take()


def _parse(line: bytes, fields: Fields, name: str) -> tuple[dict[str, Any], str]:
    """A record's columns, and what is wrong with it."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return {}, f"not JSON: {error}"
    if not isinstance(value, dict):
        return {}, f"a JSON {type(value).__name__}, not an object"
    text = value.pop(fields.text_field, None)
    if not isinstance(text, str):
        return {}, f"no text in field '{fields.text_field}'"
    record = {
        "id": _word(value, fields.id_field) or name,
        "text": text,
        "source": _word(value, "source") or fields.source,
        "kind": _word(value, "kind") or fields.kind,
        "language": _word(value, fields.language_field),
        "url": _word(value, fields.url_field),
    }
    if value:
        try:
            record["meta"] = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        except orjson.JSONEncodeError as error:  # reads deeper nesting than it writes
            return {}, f"its other fields cannot be written: {error}"
    return record, ""


def _word(record: dict[str, Any], field: str) -> str | None:
    """Takes a string or whole number out of a record; anything else stays in it, for `meta`."""
    held = record.get(field)
    if (type(held) is str and held) or type(held) is int:
        del record[field]
        return str(held)
    return None


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
    """All members of a gzip stream, each chunk bounded however well it was compressed; zeros after one are padding."""
    machine, in_member, members, read = zlib.decompressobj(wbits=31), False, 0, 0
    while data := file.read(GZIP_SLICE_BYTES):
        read += len(data)
        while data:
            if members and not in_member and not (data := data.lstrip(b"\0")):
                break
            in_member = True
            before = machine.copy()
            try:
                chunk = machine.decompress(data, CHUNK_BYTES)
            except zlib.error as error:
                chunk, whole = _until_broken(before, data)
                yield chunk, ""
                yield b"", f"broken gzip stream at compressed byte {read - len(data) + whole} ({error})"
                return
            if chunk:
                yield chunk, ""
            data = machine.unconsumed_tail
            if machine.eof:
                data, in_member, members = machine.unused_data, False, members + 1
                machine = zlib.decompressobj(wbits=31)
    if in_member or not members:
        yield b"", f"gzip stream cut off at compressed byte {read}"


def _unzstd(file: BinaryIO) -> Iterator[tuple[bytes, str]]:
    """All frames of a zstd stream. Fed in slices of 1 KiB, so that a bomb gives at most 32 MiB at a time."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    machine, in_frame, frames, read, frame_start = decompressor.decompressobj(), False, 0, 0, 0
    held: list[bytes] = []
    held_bytes = 0
    while data := file.read(ZSTD_SLICE_BYTES):
        read += len(data)
        while data:
            if not in_frame:
                in_frame, frame_start = True, read - len(data)
            try:
                held.append(machine.decompress(data))
            except zstandard.ZstdError as error:
                again = decompressor.decompressobj()
                _feed(again, file, frame_start, read - len(data))
                chunk, whole = _until_broken(again, data)
                yield b"".join([*held, chunk]), ""
                yield b"", f"broken zstd stream at compressed byte {read - len(data) + whole} ({error})"
                return
            held_bytes += len(held[-1])
            data = machine.unused_data if machine.eof else b""
            if machine.eof:
                machine, in_frame, frames = decompressor.decompressobj(), False, frames + 1
        if held_bytes >= CHUNK_BYTES:
            yield b"".join(held), ""
            held, held_bytes = [], 0
    yield b"".join(held), ""
    if in_frame or not frames:
        yield b"", f"zstd stream cut off at compressed byte {read}"


def _feed(machine: Any, file: BinaryIO, start: int, stop: int) -> None:
    """Brings a fresh decompressor to where another stood, since zstd's cannot be copied."""
    file.seek(start)
    while start < stop:
        start += len(data := file.read(min(ZSTD_SLICE_BYTES, stop - start)))
        machine.decompress(data)


def _until_broken(machine: Any, data: bytes) -> tuple[bytes, int]:
    """What a decompressor still gives before the byte at which the stream breaks, and that byte's index."""
    given: list[bytes] = []
    for at in range(len(data)):
        try:
            given.append(machine.decompress(data[at : at + 1]))
        except (zlib.error, zstandard.ZstdError):
            return b"".join(given), at
    return b"".join(given), len(data)
