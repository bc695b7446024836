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

from corpusmill.dataproc.readers.archives.records import ArchiveFormat, take_block, take_header
from corpusmill.dataproc.readers.archives.stream import LINE_BREAKS, ArchiveStream, Begin

HEADER_BYTES = 64 << 10


def _take(stream: ArchiveStream, limit: int) -> tuple[dict[str, Any], int]:
    """The fields of the record at the stream's front, and the bytes to pass: of a broken one, what is sure to be it."""
    if not stream.has(5) and b"WARC/".startswith(stream.data):
        return {"headers": {}, "problem": stream.take_problem() or "cut off in its header"}, 1
    if not stream.data.startswith(b"WARC/"):
        return {"headers": {}, "problem": "no WARC header here"}, 1
    end, problem = take_header(stream, b"\r\n\r\n", HEADER_BYTES)
    if problem:
        return {"headers": {}, "problem": problem}, 1
    headers, problem = _parse_headers(stream.copy(0, end))
    if problem:
        return {"headers": headers, "problem": problem}, 1  # the empty line may be that of the next header
    return take_block(stream, headers, end + 4, limit, 16, _ends_record)


def _ends_record(after: bytes) -> bool:
    rest = after.lstrip(LINE_BREAKS)
    return not rest or after.startswith(b"\r\n\r\n") or rest.startswith(b"WARC/")


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
