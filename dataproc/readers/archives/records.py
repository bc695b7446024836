"""The records of a WARC or ARC file in order, each with its place, however broken the file is.

The loop is the same for both: take the record at the stream's front; after one that is broken go on at what looks like
the next header, after a broken member at the next member that holds a record. So a broken record costs only itself.
Records are found here rather than by a library, since FastWARC 2.0 gives a cut record as if it were whole, takes a
missing `Content-Length` for zero, and stops at the first error; splitting costs 0.4 ms a record of 130 KB,
decompression included, and taking the text out of such a page costs 3 ms.

WARC: a header (`WARC/1.0`, then lines `Name: value`), an empty line, a block of `Content-Length` bytes, and two line
breaks; a compressed file has a gzip member or a zstd frame for each record (ISO 28500, annexes A and D; the zstd draft
of the IIPC for dictionaries). A block must be followed by line breaks or the end, or else its length is taken to be
wrong.

ARC, what crawls were kept in before WARC (Internet Archive, "Arc File Format", 1996): one line, `URL IP-address date
content-type length` (version 2 has five fields more before the length), a block of so many bytes, and a line break. The
first record, of a URL `filedesc://`, describes the file. URLs may hold spaces, as they were crawled, so the line is
read from its end. Records get the headers of WARC, so that all behind this module is the same for both; the block of an
http URL is the response as it came, with its HTTP header.

Memory: one record of at most `limit` bytes and 2 MiB of what follows it (and the window of a zstd frame, at most
128 MiB). A longer block is passed over by searching for the next header, so that a wrong length costs no neighbour.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from corpusmill.dataproc.readers.archives.stream import LINE_BREAKS, ArchiveStream, Begin, next_record_member

EXCERPT_BYTES = 64 << 10
"""What is kept of a block that is too long: its HTTP header."""
WARC_HEADER_BYTES, ARC_HEADER_BYTES = 64 << 10, 16 << 10
SHORT, LONG = 5, 10
"""Fields of a header line of ARC in version 1 and in version 2."""

_ARC_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_ARC_BEGIN = Begin(
    re.compile(
        rb"[a-z]{2,10}:[^\r\n]{1,4000} [0-9A-Fa-f.:]{2,45} \d{8,18} [^ \r\n]{1,200} (?:[^ \r\n]{1,400} ){0,5}"
        rb"-?\d{1,18}\r?\n"
    ),
    6 << 10,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRecord:
    """A record, or a place where one is broken (`problem`).

    Attributes:
        offset: where it begins in the file; in a compressed file, where its member begins.
        inner: where it begins in its member; 0 where each record has a member of its own.
        headers: by lower-case name.
        block: what it holds; of a block that is too long, the beginning.
        too_long: whether the block is longer than the limit.
    """

    offset: int
    inner: int = 0
    headers: dict[str, str]
    block: bytes = b""
    problem: str = ""
    too_long: bool = False


Take = Callable[[ArchiveStream, int], tuple[dict[str, Any], int]]
"""`take(stream, limit)`: the fields of the record at the stream's front, and the bytes to pass behind it; of a broken
one, what is sure to be it."""


@dataclass(frozen=True)
class ArchiveFormat:
    """How records of a format begin, and how one is taken off the stream."""

    begin: Begin
    take: Take


def read_records(
    file: BinaryIO, format: ArchiveFormat, limit: int, start: int = 0, stop: int = 0
) -> Iterator[RawRecord]:
    """The records of a seekable file in order; the first bytes say how it is compressed.

    A range of a compressed file has the records from the first member on that begins with a record at `start` or later,
    up to the first such member at `stop` or later (0: to the end). So ranges that join give each record once.
    """
    end = next_record_member(file, format.begin, stop) if stop else None
    stream = ArchiveStream(file, format.begin, start)
    while True:
        stream.pass_line_breaks()
        offset, inner = stream.place()
        if end is not None and offset >= end:
            return
        if stream.has(1):
            if end is not None and stream.place()[0] >= end:
                return
            record, passed = format.take(stream, limit)
            yield RawRecord(offset=offset, inner=inner, **record)
            if "problem" in record:
                stream.seek_header(passed)
            else:
                stream.drop(passed)
        elif problem := stream.take_problem():
            yield RawRecord(offset=offset, inner=inner, headers={}, problem=problem)
        else:
            return


def _take_header(stream: ArchiveStream, mark: bytes, limit: int) -> tuple[int, str]:
    """(where the mark that ends a header is, ""); or (-1, what is wrong) where it is not in the next `limit` bytes."""
    end = stream.find(mark, limit)
    if end >= 0:
        return end, ""
    if len(stream.data) > limit:
        return end, f"a header longer than {limit} bytes"
    return end, stream.take_problem() or "cut off in its header"


def _take_block(
    stream: ArchiveStream, headers: dict[str, str], begin: int, limit: int, look: int, ends: Callable[[bytes], bool]
) -> tuple[dict[str, Any], int]:
    """What `Take` gives of a record whose header is read, and whose block of `content-length` bytes is at `begin`.

    `ends(after)` says by the bytes that follow, `look` of them, whether a record can end there.
    """
    length = int(headers["content-length"])
    if length > limit:
        stream.has(begin + EXCERPT_BYTES)
        block = stream.copy(begin, begin + min(length, EXCERPT_BYTES))
        problem = f"a record longer than {limit} bytes ({length})"
        return {"headers": headers, "block": block, "problem": problem, "too_long": True}, begin
    if not stream.has(begin + length):
        missing = begin + length - len(stream.data)
        problem = stream.take_problem() or f"cut off: {missing} of {length} bytes are not there"
        return {"headers": headers, "problem": problem}, begin
    stream.has(begin + length + look)
    if not ends(stream.copy(begin + length, begin + length + look)):
        return {"headers": headers, "problem": f"the length {length} is wrong: no record ends there"}, begin
    return {"headers": headers, "block": stream.copy(begin, begin + length)}, begin + length


def _take_warc(stream: ArchiveStream, limit: int) -> tuple[dict[str, Any], int]:
    """The fields of the record at the stream's front, and the bytes to pass: of a broken one, what is sure to be it."""
    if not stream.has(5) and b"WARC/".startswith(stream.data):
        return {"headers": {}, "problem": stream.take_problem() or "cut off in its header"}, 1
    if not stream.data.startswith(b"WARC/"):
        return {"headers": {}, "problem": "no WARC header here"}, 1
    end, problem = _take_header(stream, b"\r\n\r\n", WARC_HEADER_BYTES)
    if problem:
        return {"headers": {}, "problem": problem}, 1
    headers, problem = _parse_warc(stream.copy(0, end))
    if problem:
        return {"headers": headers, "problem": problem}, 1  # the empty line may be that of the next header
    return _take_block(stream, headers, end + 4, limit, 16, _ends_warc)


def _ends_warc(after: bytes) -> bool:
    rest = after.lstrip(LINE_BREAKS)
    return not rest or after.startswith(b"\r\n\r\n") or rest.startswith(b"WARC/")


def _parse_warc(data: bytes) -> tuple[dict[str, str], str]:
    """Headers by lower-case name (the first of several), and what is wrong with them."""
    headers: dict[str, str] = {}
    lines = data.decode("utf-8", "replace").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            return headers, f"a header line without a colon: {line[:80]}"
        headers.setdefault(name.strip().lower(), value.strip())
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 19):
        return headers, f"no Content-Length but '{length[:40]}'" if length else "no Content-Length"
    return headers, ""


WARC = ArchiveFormat(Begin(re.compile(rb"WARC/[01]\.\d\d?\r\n"), 11), _take_warc)


def _take_arc(stream: ArchiveStream, limit: int) -> tuple[dict[str, Any], int]:
    end, problem = _take_header(stream, b"\n", ARC_HEADER_BYTES)
    if problem:
        return {"headers": {}, "problem": problem}, 1
    headers, problem = _parse_arc(stream.copy(0, end).decode("utf-8", "replace").rstrip("\r"))
    if problem:
        return {"headers": headers, "problem": problem}, end + 1
    return _take_block(stream, headers, end + 1, limit, _ARC_BEGIN.bytes, _ends_arc)


def _ends_arc(after: bytes) -> bool:
    return not after or after[0] in LINE_BREAKS or _ARC_BEGIN.pattern.match(after) is not None


def _parse_arc(line: str) -> tuple[dict[str, str], str]:
    """The headers of WARC that say the same as a header line, and what is wrong with it."""
    for fields in (SHORT, LONG):
        parts = line.rsplit(" ", fields - 1)
        if len(parts) == fields and _ARC_ADDRESS.fullmatch(parts[1]) and parts[2].isdigit():
            break
    else:
        return {}, f"no ARC header here: {line[:80]}"
    url, date, length = parts[0], parts[2], parts[-1]
    headers = {"warc-target-uri": url, "warc-date": _arc_date(date), "content-length": length}
    headers |= _arc_type(url, parts[3])
    if not (length.isascii() and length.isdigit() and len(length) < 19):
        return headers, f"a length that is no number of bytes: '{length[:40]}'"
    return headers, ""


def _arc_type(url: str, content_type: str) -> dict[str, str]:
    if url.startswith("filedesc:"):
        return {"warc-type": "warcinfo"}
    if url.lower().startswith(("http:", "https:")):
        return {
            "warc-type": "response",
            "content-type": "application/http",
            "warc-identified-payload-type": content_type,
        }
    return {"warc-type": "resource", "content-type": content_type}


def _arc_date(digits: str) -> str:
    """`20140216050221` as WARC writes it; anything else as it is."""
    if len(digits) != 14:
        return digits
    year, rest = digits[:4], [digits[at : at + 2] for at in range(4, 14, 2)]
    return f"{year}-{rest[0]}-{rest[1]}T{rest[2]}:{rest[3]}:{rest[4]}Z"


ARC = ArchiveFormat(_ARC_BEGIN, _take_arc)
