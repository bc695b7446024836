"""Members of a compressed file (of gzip) or its frames (of zstd), so that many workers can read one file.

Both formats are chains of members that decompress by themselves: bgzip, pigz -i, pzstd and `cat a.gz b.gz` make files
of many, most other tools a file of one, which only one worker can read. A range of bytes of the file stands for members
by a rule that needs no table and no neighbour: of the members that are whole and hold something, call the first that
begins at a range's start A and the first that begins at its stop B. The range owns what comes after A, up to and with
B (from the file's start on where the start is 0, to the end where there is no B). So ranges that meet share out all
members, wherever they are cut, and each reader has passed A, whose last byte says whether a line reaches out of it.
That costs each worker one member that is decompressed twice.

Where a member begins is found by its magic number and a look at what comes out of it (`find_member`): 64 KiB without an
error, or a member that is whole. Bytes that look so by chance are one in far more than 2^60; bytes that look so because
a member holds another file as it is (stored, not compressed) cannot be in text. Frames of zstd can be walked, too, from
block header to block header and without decompressing (`frame_edges`), which is exact and reads 3 bytes in 40 KiB.

A broken member costs only itself: what comes before the break is given, then the break is reported, and the next
member is looked for. Where only the checksum at the end shows the damage, what was given includes it. Memory: a chunk
of `dataproc.decompression`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

import zstandard

from corpusmill.dataproc.decompression import BROKEN, ZSTD_MAGIC, Codec, Feed, decode_member

SEARCH_BYTES = 1 << 20
PROBE_BYTES = 64 << 10
PROBE_INPUT_BYTES = 256 << 10
"""A block of zstd gives nothing before it is whole, and is at most 128 KiB long."""


class Share(Enum):
    """Whose the data of a chunk are, as seen from a range of the file."""

    BEFORE = "of the range before"
    OURS = "ours"
    AFTER = "of the range after"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Uncompressed bytes of one member, or a break (`problem`, and no data).

    Attributes:
        member: where the member begins in the file.
        at: where the data begin in the member, uncompressed.
    """

    member: int
    at: int
    data: bytes
    share: Share = Share.OURS
    problem: str = ""


def read_members(file: BinaryIO, codec: Codec, start: int = 0, stop: int = 0) -> Iterator[Chunk]:
    """Chunks of the members that a range of a seekable file owns; `stop` 0 is its end.

    Before them comes the last byte of the member before, after them all that follows, each by its `share`: a reader of
    lines ends when its last line does. An empty file is reported as cut off.
    """
    share = Share.BEFORE if start else Share.OURS
    first = find_member(file, codec, start) if start else 0
    if first is None or (stop and share is Share.BEFORE and first >= stop):
        return
    feed = Feed(file, first, codec)
    if not feed.at_member():
        if not start:
            yield Chunk(
                member=0, at=0, data=b"", problem=f"{codec.name} stream cut off at compressed byte {feed.offset}"
            )
        return
    while feed.at_member():
        member, at, last = feed.offset, 0, b""
        decoded = decode_member(feed, codec)
        problem = ""
        while True:
            try:
                data = next(decoded)
            except StopIteration as end:
                problem = end.value
                break
            if share is Share.BEFORE:
                last = data[-1:]
            else:
                yield Chunk(member=member, at=at, data=data, share=share)
            at += len(data)
        if problem and share is not Share.BEFORE:
            yield Chunk(member=member, at=at, data=b"", share=share, problem=problem)
        whole = not problem and at > 0
        if whole and share is Share.BEFORE:
            if stop and member >= stop:
                return
            yield Chunk(member=member, at=at - 1, data=last, share=share)
            share = Share.OURS
        elif whole and stop and member >= stop:
            share = Share.AFTER
        if problem:
            following = find_member(file, codec, member + 1)
            if following is None:
                return
            feed.seek(following)


def find_member(file: BinaryIO, codec: Codec, offset: int, stop: int = 0) -> int | None:
    """Where the first member begins that begins at `offset` or after it (and before `stop`); None where there is none.

    A member counts when its beginning can be read.
    """
    while True:
        file.seek(offset)
        window = file.read(SEARCH_BYTES + len(codec.magic) - 1)
        at = window.find(codec.magic)
        while at >= 0:
            if stop and offset + at >= stop:
                return None
            if _begins(file, codec, offset + at):
                return offset + at
            at = window.find(codec.magic, at + 1)
        offset += SEARCH_BYTES
        if len(window) < SEARCH_BYTES or (stop and offset >= stop):
            return None


def _begins(file: BinaryIO, codec: Codec, offset: int) -> bool:
    feed, machine, given, read = Feed(file, offset, codec), codec.strict(), b"", 0
    try:
        while not machine.eof and len(given) < PROBE_BYTES and read < PROBE_INPUT_BYTES and (data := feed.take()):
            read += len(data)
            given += codec.decompress(machine, data, PROBE_BYTES)
            if left := getattr(machine, "unconsumed_tail", b""):
                feed.give_back(left)
    except BROKEN:
        return False
    return bool(given) or machine.eof


def frame_edges(file: BinaryIO) -> Iterator[int]:
    """Where the frames of a zstd file begin, by their headers alone (RFC 8878, section 3.1); ends where one is broken.

    Frames that are made to be passed over are left out, and so is a last frame that is cut off before its end.
    """
    offset = 0
    while True:
        file.seek(offset)
        head = file.read(18)
        if len(head) >= 8 and head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:
            offset += 8 + int.from_bytes(head[4:8], "little")
            continue
        try:
            header_bytes = zstandard.frame_header_size(head) if head.startswith(ZSTD_MAGIC) else 0
        except zstandard.ZstdError:
            return
        if not header_bytes:
            return
        begun, offset = offset, offset + header_bytes
        last = False
        while not last:
            file.seek(offset)
            block = file.read(3)
            if len(block) < 3:
                return
            word = int.from_bytes(block, "little")
            last, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
            if kind == 3:
                return
            offset += 3 + (1 if kind == 1 else size)  # a block of one repeated byte holds that byte alone
        offset += 4 if head[4] & 4 else 0  # the check sum
        yield begun
