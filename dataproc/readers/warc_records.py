"""The records of a WARC file, with the place of each, however broken the file is.

A record is a header (`WARC/1.0`, then lines `Name: value`), an empty line, a block of `Content-Length` bytes, and two
line breaks; a compressed file has a gzip member or a zstd frame for each record (ISO 28500, annexes A and D; the zstd
draft of the IIPC for dictionaries). Records are found here rather than by a library, since FastWARC 2.0 gives a cut
record as if it were whole, takes a missing `Content-Length` for zero, and stops at the first error; splitting costs
0.4 ms a record of 130 KB, decompression included, and taking the text out of such a page costs 3 ms.

What is broken costs itself only. A block must be followed by line breaks or the end, or else its length is taken to be
wrong; after a broken record the next header is searched, after a broken member the next member that holds a record.
Memory: one record of at most `limit` bytes and 2 MiB of what follows it (and the window of a zstd frame, at most
128 MiB). A longer block is passed over by searching the next header, so that a wrong length costs no neighbour.
"""

import re
from typing import Any

from dataproc.readers.archive_records import ArchiveFormat
from dataproc.readers.archive_stream import LINE_BREAKS, ArchiveStream, Begin

HEADER_BYTES = 64 << 10


def _take(stream: ArchiveStream, limit: int) -> tuple[dict[str, Any], int]:
    """The fields of the record at the stream's front, and the bytes to pass: of a broken one, what is sure to be it."""
    if not stream.has(5) and b"WARC/".startswith(stream.data):
        return {"headers": {}, "problem": stream.take_problem() or "cut off in its header"}, 1
    if not stream.data.startswith(b"WARC/"):
        return {"headers": {}, "problem": "no WARC header here"}, 1
    end = stream.find(b"\r\n\r\n", HEADER_BYTES)
    if end < 0:
        long = f"a header longer than {HEADER_BYTES} bytes"
        problem = long if len(stream.data) > HEADER_BYTES else stream.take_problem() or "cut off in its header"
        return {"headers": {}, "problem": problem}, 1
    headers, problem = _parse_headers(stream.copy(0, end))
    begin = end + 4
    if problem:
        return {"headers": headers, "problem": problem}, 1  # the empty line may be that of the next header
    length = int(headers["content-length"])
    if length > limit:
        stream.has(begin + HEADER_BYTES)
        block = stream.copy(begin, begin + min(length, HEADER_BYTES))
        problem = f"a record longer than {limit} bytes ({length})"
        return {"headers": headers, "block": block, "problem": problem, "too_long": True}, begin
    if not stream.has(begin + length):
        missing = begin + length - len(stream.data)
        problem = stream.take_problem() or f"cut off: {missing} of {length} bytes are not there"
        return {"headers": headers, "problem": problem}, begin
    stream.has(begin + length + 16)
    after = stream.copy(begin + length, begin + length + 16)
    rest = after.lstrip(LINE_BREAKS)
    if rest and not after.startswith(b"\r\n\r\n") and not rest.startswith(b"WARC/"):
        return {"headers": headers, "problem": f"Content-Length {length} is wrong: no record ends there"}, begin
    return {"headers": headers, "block": stream.copy(begin, begin + length)}, begin + length


def _parse_headers(data: bytes) -> tuple[dict[str, str], str]:
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


WARC = ArchiveFormat(Begin(re.compile(rb"WARC/[01]\.\d\d?\r\n"), 11), _take)
