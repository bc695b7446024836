"""The records of an ARC file, what crawls were kept in before WARC (Internet Archive, "Arc File Format", 1996).

A record is one line, `URL IP-address date content-type length` (version 2 has five fields more before the length), a
block of so many bytes, and a line break. The first record, of a URL `filedesc://`, describes the file. URLs may hold
spaces, as they were crawled, so the line is read from its end. Records get the headers of WARC, so that all behind
this module is the same for both; the block of an http URL is the response as it came, with its HTTP header.

What is broken costs itself only, as in `warc_records`: a line that is no header, a length that is no number or does not
lead to the end of a record. What follows is searched for the next line that can be a header.
"""

import re
from typing import Any

from dataproc.readers.archive_records import ArchiveFormat
from dataproc.readers.archive_stream import LINE_BREAKS, ArchiveStream, Begin

HEADER_BYTES = 16 << 10
SHORT, LONG = 5, 10
"""Fields of a header line in version 1 and in version 2."""

_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_BEGIN = Begin(
    re.compile(
        rb"[a-z]{2,10}:[^\r\n]{1,4000} [0-9A-Fa-f.:]{2,45} \d{8,18} [^ \r\n]{1,200} (?:[^ \r\n]{1,400} ){0,5}"
        rb"-?\d{1,18}\r?\n"
    ),
    6 << 10,
)


def _take(stream: ArchiveStream, limit: int) -> tuple[dict[str, Any], int]:
    end = stream.find(b"\n", HEADER_BYTES)
    if end < 0:
        long = len(stream.data) > HEADER_BYTES
        problem = (
            f"a header longer than {HEADER_BYTES} bytes" if long else stream.take_problem() or "cut off in its header"
        )
        return {"headers": {}, "problem": problem}, 1
    headers, problem = _parse_header(stream.copy(0, end).decode("utf-8", "replace").rstrip("\r"))
    begin = end + 1
    if problem:
        return {"headers": headers, "problem": problem}, begin
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
    stream.has(begin + length + _BEGIN.bytes)
    after = stream.copy(begin + length, begin + length + _BEGIN.bytes)
    if after and after[0] not in LINE_BREAKS and not _BEGIN.pattern.match(after):
        return {"headers": headers, "problem": f"the length {length} is wrong: no record ends there"}, begin
    return {"headers": headers, "block": stream.copy(begin, begin + length)}, begin + length


def _parse_header(line: str) -> tuple[dict[str, str], str]:
    """The headers of WARC that say the same as a header line, and what is wrong with it."""
    for fields in (SHORT, LONG):
        parts = line.rsplit(" ", fields - 1)
        if len(parts) == fields and _ADDRESS.fullmatch(parts[1]) and parts[2].isdigit():
            break
    else:
        return {}, f"no ARC header here: {line[:80]}"
    url, date, length = parts[0], parts[2], parts[-1]
    headers = {"warc-target-uri": url, "warc-date": _date(date), "content-length": length} | _type(url, parts[3])
    if not (length.isascii() and length.isdigit() and len(length) < 19):
        return headers, f"a length that is no number of bytes: '{length[:40]}'"
    return headers, ""


def _type(url: str, content_type: str) -> dict[str, str]:
    if url.startswith("filedesc:"):
        return {"warc-type": "warcinfo"}
    if url.lower().startswith(("http:", "https:")):
        return {
            "warc-type": "response",
            "content-type": "application/http",
            "warc-identified-payload-type": content_type,
        }
    return {"warc-type": "resource", "content-type": content_type}


def _date(digits: str) -> str:
    """`20140216050221` as WARC writes it; anything else as it is."""
    if len(digits) != 14:
        return digits
    year, rest = digits[:4], [digits[at : at + 2] for at in range(4, 14, 2)]
    return f"{year}-{rest[0]}-{rest[1]}T{rest[2]}:{rest[3]}:{rest[4]}Z"


ARC = ArchiveFormat(_BEGIN, _take)
