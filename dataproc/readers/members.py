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

A member that is broken costs itself: what comes before the break is given, then the break is told, and the next member
is searched. Where only the check sum at its end tells, what was given includes the damage. Memory: a chunk of at most
4 MiB of gzip or 36 MiB of zstd however well it was compressed, and zstd's window (at most 2 GiB, in files that ask for
it).
"""

import io
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, BinaryIO

import zstandard

CHUNK_BYTES = 4 << 20
WINDOW_BYTES = 1 << 31
SEARCH_BYTES = 1 << 20
PROBE_BYTES = 64 << 10
PROBE_INPUT_BYTES = 256 << 10
"""A block of zstd gives nothing before it is whole, and is at most 128 KiB long."""
ZSTD_MAGIC = zstandard.FRAME_HEADER
GZIP_MAGIC = b"\x1f\x8b\x08"
BROKEN = (zlib.error, zstandard.ZstdError)


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


@dataclass(frozen=True, kw_only=True)
class Codec:
    """A compression of independent members; a decompressor is fed `slice_bytes` at a time, which bounds its output."""

    name: str
    magic: bytes
    slice_bytes: int
    begin: Callable[[], Any]
    padding: bytes = b""


GZIP = Codec(
    name="gzip",
    magic=GZIP_MAGIC,
    slice_bytes=64 << 10,
    begin=lambda: zlib.decompressobj(wbits=31),
    padding=b"\0",
)
ZSTD = Codec(
    name="zstd",
    magic=ZSTD_MAGIC,
    slice_bytes=1 << 10,
    begin=lambda: zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj(),
)


def codec_of(path: str) -> Codec | None:
    """What a file is compressed by, as its ending says."""
    if path.endswith((".gz", ".bgz")):
        return GZIP
    return ZSTD if path.endswith((".zst", ".zstd")) else None


class _Feed:
    """A file read by slices, which takes back what a decompressor left over and knows where it stands."""

    def __init__(self, file: BinaryIO, offset: int, codec: Codec) -> None:
        self._file, self._codec = file, codec
        self.seek(offset)

    def seek(self, offset: int) -> None:
        self._file.seek(offset)
        self.offset, self._left = offset, b""

    def take(self) -> bytes:
        data = self._left or self._file.read(self._codec.slice_bytes)
        self._left = b""
        self.offset += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        self._left = data
        self.offset -= len(data)

    def at_member(self) -> bool:
        """Passes padding; whether anything follows."""
        while data := self.take():
            if rest := data.lstrip(self._codec.padding) if self._codec.padding else data:
                self.give_back(rest)
                return True
        return False


def read_members(file: BinaryIO, codec: Codec, start: int = 0, stop: int = 0) -> Iterator[Chunk]:
    """Chunks of the members that a range of a seekable file owns; `stop` 0 is its end.

    Before them comes the last byte of the member before, after them all that follows, each by its `share`: a reader of
    lines ends when its last line does. A file without a byte is told as cut off.
    """
    share = Share.BEFORE if start else Share.OURS
    first = find_member(file, codec, start) if start else 0
    if first is None or (stop and share is Share.BEFORE and first >= stop):
        return
    feed = _Feed(file, first, codec)
    if not feed.at_member():
        if not start:
            yield Chunk(
                member=0, at=0, data=b"", problem=f"{codec.name} stream cut off at compressed byte {feed.offset}"
            )
        return
    while feed.at_member():
        member, at, last = feed.offset, 0, b""
        decoded = _decode(feed, codec)
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


def _decode(feed: _Feed, codec: Codec) -> Generator[bytes, None, str]:
    """The data of the member at which the feed stands, and what is wrong with it; the feed then stands behind it."""
    machine, begun, held, held_bytes = codec.begin(), feed.offset, [], 0
    while not machine.eof:
        if not (data := feed.take()):
            break
        before = machine.copy() if codec is GZIP else None
        try:
            held.append(machine.decompress(data, CHUNK_BYTES) if codec is GZIP else machine.decompress(data))
        except BROKEN as error:
            position = feed.offset - len(data)
            chunk, whole = _until_broken(before or _again(feed, codec, begun, position), data)
            if rest := b"".join([*held, chunk]):
                yield rest
            return f"broken {codec.name} stream at compressed byte {position + whole} ({error})"
        held_bytes += len(held[-1])
        if left := machine.unused_data if machine.eof else getattr(machine, "unconsumed_tail", b""):
            feed.give_back(left)
        if held_bytes >= CHUNK_BYTES:
            yield b"".join(held)
            held, held_bytes = [], 0
    if rest := b"".join(held):
        yield rest
    return "" if machine.eof else f"{codec.name} stream cut off at compressed byte {feed.offset}"


def _again(feed: _Feed, codec: Codec, start: int, stop: int) -> Any:
    """A decompressor brought to where another stood, since zstd's cannot be copied."""
    machine, offset = codec.begin(), feed.offset
    feed.seek(start)
    while start < stop:
        data = feed.take()[: stop - start]
        start += len(data)
        machine.decompress(data)
    feed.seek(offset)
    return machine


def _until_broken(machine: Any, data: bytes) -> tuple[bytes, int]:
    """What a decompressor still gives before the byte at which the stream breaks, and that byte's index."""
    given: list[bytes] = []
    for at in range(len(data)):
        try:
            given.append(machine.decompress(data[at : at + 1]))
        except BROKEN:
            return b"".join(given), at
    return b"".join(given), len(data)


class UnpackedFile(io.RawIOBase):
    """The uncompressed stream of a whole file, for libraries that read files; it ends at its first `problem`."""

    def __init__(self, file: BinaryIO, codec: Codec) -> None:
        self._chunks = read_members(file, codec)
        self._left = memoryview(b"")
        self.problem = ""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left and not self.problem and (chunk := next(self._chunks, None)):
            self._left, self.problem = memoryview(chunk.data), chunk.problem
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def find_member(file: BinaryIO, codec: Codec, offset: int, stop: int = 0) -> int | None:
    """Where the first member begins that begins at `offset` or after it (and before `stop`); None where there is none.

    A member counts when its beginning can be read.
    """
    while True:
        file.seek(offset)
        window = file.read(SEARCH_BYTES + len(codec.magic) - 1)
        found = window.find(codec.magic)
        while found >= 0:
            if stop and offset + found >= stop:
                return None
            if _begins(file, codec, offset + found):
                return offset + found
            found = window.find(codec.magic, found + 1)
        offset += SEARCH_BYTES
        if len(window) < SEARCH_BYTES or (stop and offset >= stop):
            return None


def _begins(file: BinaryIO, codec: Codec, offset: int) -> bool:
    feed, machine, given, read = _Feed(file, offset, codec), codec.begin(), b"", 0
    try:
        while not machine.eof and len(given) < PROBE_BYTES and read < PROBE_INPUT_BYTES and (data := feed.take()):
            read += len(data)
            given += machine.decompress(data, PROBE_BYTES) if codec is GZIP else machine.decompress(data)
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
