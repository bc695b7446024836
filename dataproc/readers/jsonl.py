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

import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.decompression import codec_of
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.batches import BatchBuilder, Report, Unread
from corpusmill.dataproc.readers.lines import read_lines
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.records import Row, record_parser, top_level_keys

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PROBED_RECORDS, SHOWN_NAMES = 100, 20
MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "a ZIP archive",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
}


def read_jsonl(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a JSONL piece; what is not an object with a text is reported with its place."""
    builder, codec, parse = BatchBuilder(), codec_of(piece.path), record_parser(fields)
    with storage.open_input(piece.path) as file:
        if codec is None and (other := foreign_format(file.read(8))):
            if not piece.start:
                report(
                    f"{fields.source}/{piece.name}#0",
                    piece.path,
                    Unread(f"this is {other}, whatever its name says"),
                    None,
                )
            return
        for block in read_lines(file, codec, piece.start, piece.stop, fields.maximum_record_bytes):
            member, offset = block.member, block.at
            prefix = f"{fields.source}/{piece.name}#{member}+" if member else f"{fields.source}/{piece.name}#"
            for line in block.lines:
                begun, offset = offset, offset + len(line) + 1
                if not begun and not member:
                    line = line.removeprefix(BYTE_ORDER_MARK)
                row: Row | str = block.problem
                if not row:
                    if not line or line.isspace():
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


def check_text_field(path: str, fields: Fields) -> None:
    """Raises UserError if none of a file's first `PROBED_RECORDS` objects has a text: then a setting is wrong."""
    lines: list[bytes] = []
    parse = record_parser(fields)
    with storage.open_input(path) as file:
        codec = codec_of(path)
        if codec is None and foreign_format(file.read(8)):
            return
        for block in read_lines(file, codec, 0, 0, fields.maximum_record_bytes):
            lines += [line for line in block.lines if line and not block.problem]
            if len(lines) >= PROBED_RECORDS:
                break
    names: set[str] = set()
    for line in lines[:PROBED_RECORDS]:
        row = parse(line.removeprefix(BYTE_ORDER_MARK), "", 0)
        if type(row) is tuple or not (keys := top_level_keys(line)):
            return
        names.update(keys)
    if len(lines) >= PROBED_RECORDS:
        there = ", ".join(sorted(names)[:SHOWN_NAMES])
        what = f"no field '{fields.text_field}' with a text in the first {PROBED_RECORDS} records (there are {there})"
        raise UserError(what, path, "use --text-field")


def foreign_format(head: bytes) -> str:
    """What a file is by its first bytes that is not text; "" where they say nothing."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")
