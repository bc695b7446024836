"""The uncompressed stream of a web archive, from any place on, and where in the file each byte of it comes from.

A compressed archive has a gzip member, or a frame of zstd or LZ4, for each record (ISO 28500, annex D; the zstd draft
of the IIPC for dictionaries; LZ4 as FastWARC writes it; ARC files the same way). A broken member is reported, and
reading goes on at the next member that begins with a record; the format's `Begin` decides where records begin. Since
members are independent, a range of such a file can be read by itself: it owns the members that begin with a record in
it, and what belongs to them.

Memory: what is looked at, 2 MiB beyond it, and the window of a zstd frame (at most 128 MiB).
"""

import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import zstandard

from corpusmill.dataproc.decompression import BROKEN as BROKEN_STREAM
from corpusmill.dataproc.decompression import GZIP_MAGIC, ZSTD_MAGIC, igzip_machine, zstd_machines

SLICE_BYTES = 1 << 10
"""What a decompressor is fed at a time: a bomb gives at most 1 MiB (gzip) or 32 MiB (zstd) for it."""
CHUNK_BYTES = 1 << 20
WINDOW_BYTES = 1 << 27
BLOCK_BYTES = 129 << 10
"""A compressed block of zstd is no longer."""
PASSED_FRAME = b"\x50\x2a\x4d\x18"
DICTIONARY_FRAME = b"\x5d\x2a\x4d\x18"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
LZ4_BLOCK_BYTES = 4 << 20
LINE_BREAKS = b"\r\n"
BROKEN = (*BROKEN_STREAM, RuntimeError)
"""What machines raise; RuntimeError is LZ4's."""


@dataclass(frozen=True)
class Begin:
    """How a record of a format begins: a pattern for its header, and the most bytes that it looks at."""

    pattern: re.Pattern[bytes]
    bytes: int


class ArchiveStream:
    """The uncompressed stream from where the reader is (`data`), and where in the file it comes from."""

    def __init__(self, file: BinaryIO, begin: Begin, start: int = 0) -> None:
        """Reads from the first member on that begins with a record at `start` or later; a plain file from 0 only."""
        codec = _codec(file)
        file.seek(0)
        self._plain = codec is None
        self._begin = begin
        first: int | None = 0
        if start:
            first = _next_member(file, codec, begin, start) if codec else None
        if first is None:
            self._chunks: Chunks = iter(())
        else:
            self._chunks = _members(file, codec, begin, first) if codec else _plain(file)
        self._passed = 0
        self._marks: deque[tuple[int, int]] = deque([(0, first or 0)])
        """(position in the uncompressed stream, offset in the file) of members' beginnings."""
        self._problem = ""
        self.data = bytearray()

    def place(self) -> tuple[int, int]:
        """(offset in the file, offset in the member) of the next byte."""
        while len(self._marks) > 1 and self._marks[1][0] <= self._passed:
            self._marks.popleft()
        position, offset = self._marks[0]
        inner = self._passed - position
        return (offset + inner, 0) if self._plain else (offset, inner)

    def has(self, count: int) -> bool:
        """Whether so many bytes can be had before the end or the next break."""
        while len(self.data) < count:
            if not self._fill():
                return False
        return True

    def find(self, sought: bytes, limit: int) -> int:
        """Where it is in the next `limit` bytes; -1 when it is not."""
        while (at := self.data.find(sought, 0, limit)) < 0 and len(self.data) <= limit and self._fill():
            pass
        return at

    def copy(self, begin: int, end: int) -> bytes:
        with memoryview(self.data) as view:
            return bytes(view[begin:end])

    def drop(self, count: int) -> None:
        count = min(count, len(self.data))
        del self.data[:count]
        self._passed += count

    def pass_line_breaks(self) -> None:
        while self.has(1) and self.data[0] in LINE_BREAKS:
            self.drop(1)

    def seek_header(self, passed: int) -> None:
        """Goes on to what looks like the next header, or to the next break or the end."""
        self.drop(passed)
        while True:
            if match := self._begin.pattern.search(self.data):
                return self.drop(match.start())
            self.drop(max(0, len(self.data) - self._begin.bytes + 1))
            self.place()  # drops the marks behind
            if not self._fill():
                return self.drop(len(self.data))

    def take_problem(self) -> str:
        """The break that ended what can be read, if there is one; reading then goes on behind it."""
        problem, self._problem = self._problem, ""
        return problem

    def _fill(self) -> bool:
        if self._problem:
            return False
        for begun, chunk, problem in self._chunks:
            if problem:
                self._problem = problem
                if self._marks[-1][1] != begun:  # nothing of it could be given
                    self._marks.append((self._passed + len(self.data), begun))
                return False
            if begun >= 0:
                self._marks.append((self._passed + len(self.data), begun))
            self.data += chunk
            return True
        return False


Chunks = Iterator[tuple[int, bytes, str]]
"""(the offset of the member that it begins, or -1; data; ""), or (that of a broken member; nothing; the problem)."""


def _plain(file: BinaryIO) -> Chunks:
    while chunk := file.read(CHUNK_BYTES):
        yield -1, chunk, ""


@dataclass(frozen=True, kw_only=True)
class _Codec:
    """A compression of independent members."""

    name: str
    magic: bytes
    begin: Callable[[], Any]
    block_bytes: int = BLOCK_BYTES


def _codec(file: BinaryIO) -> _Codec | None:
    """What the file is compressed by."""
    file.seek(0)
    head = file.read(8)
    if head.startswith(b"\x1f\x8b"):
        return _Codec(name="gzip member", magic=GZIP_MAGIC, begin=igzip_machine)
    if head.startswith(LZ4_MAGIC):
        from lz4.frame import LZ4FrameDecompressor

        return _Codec(name="LZ4 frame", magic=LZ4_MAGIC, begin=LZ4FrameDecompressor, block_bytes=LZ4_BLOCK_BYTES)
    if not head.startswith((ZSTD_MAGIC, DICTIONARY_FRAME)):
        return None
    begin = zstd_machines(WINDOW_BYTES)
    if head.startswith(DICTIONARY_FRAME):
        with suppress(*BROKEN):  # without the dictionary each frame reports that it is broken
            begin = zstd_machines(WINDOW_BYTES, _read_dictionary(file, int.from_bytes(head[4:8], "little")))
    return _Codec(name="zstd frame", magic=ZSTD_MAGIC, begin=begin)


def _read_dictionary(file: BinaryIO, length: int) -> zstandard.ZstdCompressionDict:
    """The dictionary for all frames, which stands in a first frame that decompressors pass over; it may be packed."""
    data = file.read(min(length, WINDOW_BYTES))
    if data.startswith(ZSTD_MAGIC):
        data = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(data).read(WINDOW_BYTES)
    return zstandard.ZstdCompressionDict(data)


def _members(file: BinaryIO, codec: _Codec, begin: Begin, first: int) -> Chunks:
    """All members that can be read; a break is reported, and the next member that holds a record is looked for."""
    offset: int | None = first
    while offset is not None:
        file.seek(offset)
        head = file.read(SLICE_BYTES)
        if not head:
            return
        if head[:1] == b"\0":  # padding
            offset += len(head) - len(head.lstrip(b"\0"))
            continue
        file.seek(offset)
        problem = ""
        if behind := _pass_over(file, head, offset):
            file.seek(behind)
        elif head.startswith(codec.magic):
            problem = yield from _member(file, codec, offset)
        elif codec.magic.startswith(head):
            problem = f"{codec.name} cut off"
        else:
            problem = f"no {codec.name} here"
        if problem:
            yield offset, b"", problem
            offset = _next_member(file, codec, begin, offset + 1)
        else:
            offset = file.tell()


def _pass_over(file: BinaryIO, head: bytes, offset: int) -> int:
    """The offset behind a zstd frame that is made to be passed over, if another frame or the end is there; else 0."""
    if head[1:4] != PASSED_FRAME[1:] or head[0] >> 4 != PASSED_FRAME[0] >> 4:
        return 0
    behind = offset + 8 + int.from_bytes(head[4:8], "little")
    file.seek(behind - 1)  # its last byte, for the file may end there
    next_head = file.read(5)
    file.seek(offset)
    return behind if next_head[1:] in (b"", ZSTD_MAGIC, LZ4_MAGIC) and next_head else 0


def _member(file: BinaryIO, codec: _Codec, offset: int) -> Generator[tuple[int, bytes, str], None, str]:
    """The data of one member, and what is wrong with it; leaves the file behind it, or behind its break.

    What comes before a break is given, except for the last chunk if it is the checksum that shows the break.
    """
    machine, chunks, chunk_bytes, begun = codec.begin(), [], 0, offset
    problem = ""
    while not machine.eof and not problem:
        data = file.read(SLICE_BYTES)
        try:
            chunks.append(machine.decompress(data))
            chunk_bytes += len(chunks[-1])
            problem = "" if data else f"{codec.name} cut off"
        except BROKEN as error:
            problem = f"broken {codec.name} ({error})"
            if "check" in str(error):
                chunks, chunk_bytes = [], 0
        if chunk_bytes >= CHUNK_BYTES and not machine.eof:
            yield begun, b"".join(chunks), ""
            chunks, chunk_bytes, begun = [], 0, -1
    if chunk_bytes:
        yield begun, b"".join(chunks), ""
    if not problem:
        file.seek(-len(machine.unused_data or b""), os.SEEK_CUR)
    return problem


def _next_member(file: BinaryIO, codec: _Codec, begin: Begin, offset: int) -> int | None:
    """The offset of the next member that begins with a record, from `offset` on."""
    while True:
        file.seek(offset)
        window = file.read(CHUNK_BYTES)
        at = window.find(codec.magic)
        while at >= 0:
            if _begins_record(file, codec, begin, offset + at):
                return offset + at
            at = window.find(codec.magic, at + 1)
        if len(window) < CHUNK_BYTES:
            return None
        offset += len(window) - len(codec.magic) + 1


def _begins_record(file: BinaryIO, codec: _Codec, begin: Begin, offset: int) -> bool:
    """Whether a member is here that begins with a record. (zstd gives nothing before it has a whole block.)"""
    return begin.pattern.match(_first_bytes(file, codec, offset, begin.bytes)) is not None


def _first_bytes(file: BinaryIO, codec: _Codec, offset: int, count: int) -> bytes:
    """At least `count` bytes of the member at `offset`, if it has them and they come out of its first block."""
    file.seek(offset)
    machine, data = codec.begin(), b""
    with suppress(*BROKEN):
        while len(data) < count and not machine.eof and file.tell() < offset + codec.block_bytes:
            if not (slice := file.read(SLICE_BYTES)):
                break
            data += machine.decompress(slice)
    return data


def first_bytes(file: BinaryIO, count: int) -> bytes:
    """The first bytes of an archive, uncompressed; fewer where it has fewer, or is broken."""
    codec = _codec(file)
    file.seek(0)
    if codec is None:
        return file.read(count)
    return _first_bytes(file, codec, _pass_over(file, file.read(SLICE_BYTES), 0), count)


def next_record_member(file: BinaryIO, begin: Begin, offset: int) -> int | None:
    """The offset of the first member at `offset` or later that begins with a record; None after the last, or in a
    file that is not compressed."""
    codec = _codec(file)
    return _next_member(file, codec, begin, offset) if codec else None
