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

import os
import re
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import zstandard

SLICE_BYTES = 1 << 10
"""What a decompressor is fed at a time: a bomb gives at most 1 MiB (gzip) or 32 MiB (zstd) for it."""
CHUNK_BYTES = 1 << 20
HEADER_BYTES = 64 << 10
WINDOW_BYTES = 1 << 27
BLOCK_BYTES = 129 << 10
"""A compressed block of zstd is no longer."""
PASSED_FRAME = b"\x50\x2a\x4d\x18"
DICTIONARY_FRAME = b"\x5d\x2a\x4d\x18"
LINE_BREAKS = b"\r\n"
NEXT_HEADER = re.compile(rb"WARC/1\.\d\r\n")
NEXT_HEADER_BYTES = 10


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


def read_records(file: BinaryIO, limit: int) -> Iterator[RawRecord]:
    """All records of a seekable file in order; compression is told by the first bytes."""
    stream = _Stream(file)
    while True:
        stream.pass_line_breaks()
        offset, inner = stream.place()
        if stream.has(1):
            record, passed = _take(stream, limit)
            yield RawRecord(offset=offset, inner=inner, **record)
            if "problem" in record:
                stream.seek_header(passed)
            else:
                stream.drop(passed)
        elif problem := stream.take_problem():
            yield RawRecord(offset=offset, inner=inner, headers={}, problem=problem)
        else:
            return


def _take(stream: "_Stream", limit: int) -> tuple[dict[str, Any], int]:
    """The fields of the record at the stream's front, and the bytes to pass: of a broken one, what is sure to be it."""
    if not stream.has(5) and b"WARC/".startswith(stream.data):
        return {"headers": {}, "problem": stream.take_problem() or "cut off in its header"}, 1
    if not stream.data.startswith(b"WARC/"):
        stream.has(len(b"filedesc:"))
        arc = stream.data.startswith(b"filedesc:")
        return {"headers": {}, "problem": "an ARC file, which is not read" if arc else "no WARC header here"}, 1
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


class _Stream:
    """The uncompressed stream from where the reader is (`data`), and where in the file it comes from."""

    def __init__(self, file: BinaryIO) -> None:
        codec = _codec(file)
        file.seek(0)
        self._plain = codec is None
        self._chunks = _plain(file) if codec is None else _members(file, codec)
        self._passed = 0
        self._marks: deque[tuple[int, int]] = deque([(0, 0)])
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
        while (found := self.data.find(sought, 0, limit)) < 0 and len(self.data) <= limit and self._fill():
            pass
        return found

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
            if found := NEXT_HEADER.search(self.data):
                return self.drop(found.start())
            self.drop(max(0, len(self.data) - NEXT_HEADER_BYTES + 1))
            self.place()  # lets go of the marks behind
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


def _codec(file: BinaryIO) -> _Codec | None:
    """What the file is compressed by."""
    head = file.read(8)
    if head.startswith(b"\x1f\x8b"):
        return _Codec(name="gzip member", magic=b"\x1f\x8b\x08", begin=lambda: zlib.decompressobj(wbits=31))
    if not head.startswith((zstandard.FRAME_HEADER, DICTIONARY_FRAME)):
        return None
    machine = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    if head.startswith(DICTIONARY_FRAME):
        with suppress(zstandard.ZstdError):  # without the dictionary each frame tells that it is broken
            dictionary = _read_dictionary(file, int.from_bytes(head[4:8], "little"))
            machine = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=WINDOW_BYTES)
    return _Codec(name="zstd frame", magic=zstandard.FRAME_HEADER, begin=machine.decompressobj)


def _read_dictionary(file: BinaryIO, length: int) -> zstandard.ZstdCompressionDict:
    """The dictionary for all frames, which stands in a first frame that decompressors pass over; it may be packed."""
    data = file.read(min(length, WINDOW_BYTES))
    if data.startswith(zstandard.FRAME_HEADER):
        data = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(data).read(WINDOW_BYTES)
    return zstandard.ZstdCompressionDict(data)


def _members(file: BinaryIO, codec: _Codec) -> Chunks:
    """All members that can be read; a break is told, and the next member that holds a record is searched."""
    offset: int | None = 0
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
            offset = _next_member(file, codec, offset + 1)
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
    return behind if next_head[1:] in (b"", zstandard.FRAME_HEADER) and next_head else 0


def _member(file: BinaryIO, codec: _Codec, offset: int) -> Generator[tuple[int, bytes, str], None, str]:
    """The data of one member, and what is wrong with it; leaves the file behind it, or behind its break.

    What comes before a break is given, but for the last chunk where it is the checksum that tells of the break.
    """
    machine, held, held_bytes, begun = codec.begin(), [], 0, offset
    problem = ""
    while not machine.eof and not problem:
        data = file.read(SLICE_BYTES)
        try:
            held.append(machine.decompress(data))
            held_bytes += len(held[-1])
            problem = "" if data else f"{codec.name} cut off"
        except (zlib.error, zstandard.ZstdError) as error:
            problem = f"broken {codec.name} ({error})"
            if "check" in str(error):
                held, held_bytes = [], 0
        if held_bytes >= CHUNK_BYTES and not machine.eof:
            yield begun, b"".join(held), ""
            held, held_bytes, begun = [], 0, -1
    if held_bytes:
        yield begun, b"".join(held), ""
    if not problem:
        file.seek(-len(machine.unused_data), os.SEEK_CUR)
    return problem


def _next_member(file: BinaryIO, codec: _Codec, offset: int) -> int | None:
    """The offset of the next member that begins with a record, from `offset` on."""
    while True:
        file.seek(offset)
        window = file.read(CHUNK_BYTES)
        found = window.find(codec.magic)
        while found >= 0:
            if _begins_record(file, codec, offset + found):
                return offset + found
            found = window.find(codec.magic, found + 1)
        if len(window) < CHUNK_BYTES:
            return None
        offset += len(window) - len(codec.magic) + 1


def _begins_record(file: BinaryIO, codec: _Codec, offset: int) -> bool:
    """Whether a member is here that begins with a record. (zstd gives nothing before it has a whole block.)"""
    file.seek(offset)
    machine, data = codec.begin(), b""
    try:
        while not data and not machine.eof and file.tell() < offset + BLOCK_BYTES and (slice := file.read(SLICE_BYTES)):
            data = machine.decompress(slice)
    except (zlib.error, zstandard.ZstdError):
        return False
    return data.startswith(b"WARC/")
