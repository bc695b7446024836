"""The records of a web archive of any format, in order, each with its place, however broken the file is.

The loop is the same for WARC and ARC: take the record at the stream's front; after one that is broken go on at what
looks like the next header. Where a record begins and how it is taken is the format's (`warc_records`, `arc_records`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from corpusmill.dataproc.readers.archives.stream import ArchiveStream, Begin, next_record_member

HELD_BYTES = 64 << 10
"""What is kept of a block that is too long: its HTTP header."""


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


def take_header(stream: ArchiveStream, mark: bytes, limit: int) -> tuple[int, str]:
    """(where the mark that ends a header is, ""); or (-1, what is wrong) where it is not in the next `limit` bytes."""
    end = stream.find(mark, limit)
    if end >= 0:
        return end, ""
    if len(stream.data) > limit:
        return end, f"a header longer than {limit} bytes"
    return end, stream.take_problem() or "cut off in its header"


def take_block(
    stream: ArchiveStream, headers: dict[str, str], begin: int, limit: int, look: int, ends: Callable[[bytes], bool]
) -> tuple[dict[str, Any], int]:
    """What `Take` gives of a record whose header is read, and whose block of `content-length` bytes is at `begin`.

    `ends(after)` says by the bytes that follow, `look` of them, whether a record can end there.
    """
    length = int(headers["content-length"])
    if length > limit:
        stream.has(begin + HELD_BYTES)
        block = stream.copy(begin, begin + min(length, HELD_BYTES))
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


@dataclass(frozen=True)
class ArchiveFormat:
    """How records of a format begin, and how one is taken off the stream."""

    begin: Begin
    take: Take


def read_records(
    file: BinaryIO, format: ArchiveFormat, limit: int, start: int = 0, stop: int = 0
) -> Iterator[RawRecord]:
    """The records of a seekable file in order; compression is told by the first bytes.

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
