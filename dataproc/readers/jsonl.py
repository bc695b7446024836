"""JSON lines, plain, .gz or .zst: a line at a time by orjson, so that a bad line costs nothing but itself.

A file may be read by ranges: of bytes where it is plain, of members where it is compressed (`lines`). A record
without an id is numbered by where its line begins, which needs no pass over the lines before: `#<offset>` in a plain
file and in the first member of a compressed one (so in most, which have one), `#<member>+<offset>` in a later member,
that being where the member begins in the file and what comes before the line in it, uncompressed. So ids depend on the
file alone, however it is split, and lead straight to the record.

A file that is something else than its name says (gzip, zstd, Parquet, Arrow or a ZIP archive named .jsonl) is reported
once, not line by line. Memory: see `lines`; and a batch.
"""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.decompression import Codec, DecompressedFile, codec_of
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.batches import BatchBuilder, Report, Unread
from corpusmill.dataproc.readers.json_objects import read_json
from corpusmill.dataproc.readers.lines import is_blank, read_lines
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.records import Row, TextOf, record_parser, top_level_keys
from corpusmill.dataproc.readers.signatures import BYTE_ORDER_MARK, foreign_format

PROBED_BYTES = 1 << 12
PROBED_RECORDS, SHOWN_NAMES = 100, 20


def read_jsonl(piece: Piece, fields: Fields, report: Report, text_of: TextOf | None = None) -> Iterator[pa.RecordBatch]:
    """Documents of a JSONL piece; what is not an object with a text is reported with its place."""
    builder, codec, parse = BatchBuilder(), codec_of(piece.path, fields.zstd_window), record_parser(fields, text_of)
    with storage.open_input(piece.path) as file:
        if codec and _holds_array(piece, file, codec):
            yield from read_json(piece, fields, report, text_of)
            return
        if codec is None and (other := foreign_format(file.read(8))):
            if not piece.start:
                _report_foreign(piece, fields, report, other)
            return
        for block in read_lines(file, codec, piece.start, piece.stop, fields.maximum_record_bytes):
            member, offset = block.member, block.at
            prefix = f"{fields.source}/{piece.name}#{member}+" if member else f"{fields.source}/{piece.name}#"
            for line in block.lines:
                begun, offset = offset, offset + len(line) + 1
                if not begun and not member:
                    if other := foreign_format(line[:8]):
                        return _report_foreign(piece, fields, report, other)
                    line = line.removeprefix(BYTE_ORDER_MARK)
                row: Row | str = block.problem
                if not row:
                    if is_blank(line):
                        continue
                    row = parse(line, prefix, begun)
                if isinstance(row, tuple):
                    builder.add_row(row)
                    if builder.full:
                        yield builder.take()
                else:
                    inner = f" of the {codec.name} member at {member}" if codec and member else ""
                    text = line.decode("utf-8", "replace") if line else None
                    report(f"{prefix}{begun}", f"{piece.path}, byte {begun}{inner}", row, text)
    yield builder.take()


def _holds_array(piece: Piece, file: BinaryIO, codec: Codec) -> bool:
    """Whether this is a whole .json.gz or the like that is no lines, as most are, but one array of objects."""
    if piece.start or piece.stop or ".json." not in piece.path[-10:].lower():
        return False
    file.seek(0)
    head = DecompressedFile(file, codec, ends_at_break=True).read(PROBED_BYTES)
    return head.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] == b"["


def _report_foreign(piece: Piece, fields: Fields, report: Report, other: str) -> None:
    report(f"{fields.source}/{piece.name}#0", piece.path, Unread(f"this is {other}, despite its name"), None)


def text_field_problem(path: str, fields: Fields) -> str:
    """What there is instead if none of a file's first `PROBED_RECORDS` objects has a text, which is a setting's fault.

    "" where one has a text, and for a file that has fewer objects or is something else.
    """
    lines: list[bytes] = []
    parse = record_parser(fields)
    try:
        opened = storage.open_input(path)
    except UserError:
        return ""
    with opened as file:
        codec = codec_of(path, fields.zstd_window)
        if codec is None and foreign_format(file.read(8)):
            return ""
        for block in read_lines(file, codec, 0, 0, fields.maximum_record_bytes):
            lines += [line for line in block.lines if line and not block.problem]
            if len(lines) >= PROBED_RECORDS:
                break
    names: set[str] = set()
    for line in lines[:PROBED_RECORDS]:
        row = parse(line.removeprefix(BYTE_ORDER_MARK), "", 0)
        if type(row) is tuple or not (keys := top_level_keys(line)):
            return ""
        names.update(keys)
    if len(lines) < PROBED_RECORDS:
        return ""
    there = ", ".join(sorted(names)[:SHOWN_NAMES])
    return f"no field '{fields.text_field}' with a text in the first {PROBED_RECORDS} records (there are {there})"
