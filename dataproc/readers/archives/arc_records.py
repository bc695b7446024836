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

from corpusmill.dataproc.readers.archives.records import ArchiveFormat, take_block, take_header
from corpusmill.dataproc.readers.archives.stream import LINE_BREAKS, ArchiveStream, Begin

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
    end, problem = take_header(stream, b"\n", HEADER_BYTES)
    if problem:
        return {"headers": {}, "problem": problem}, 1
    headers, problem = _parse_header(stream.copy(0, end).decode("utf-8", "replace").rstrip("\r"))
    if problem:
        return {"headers": headers, "problem": problem}, end + 1
    return take_block(stream, headers, end + 1, limit, _BEGIN.bytes, _ends_record)


def _ends_record(after: bytes) -> bool:
    return not after or after[0] in LINE_BREAKS or _BEGIN.pattern.match(after) is not None


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
