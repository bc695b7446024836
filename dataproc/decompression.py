"""Decompression of gzip (by igzip) and zstd: members, whole files, and what is wrong with them.

Both formats are chains of members (zstd calls them frames) that decompress by themselves. `codec_of` names the codec
by a file's ending, `open_decompressed` gives the stream of a whole file, `decode_member` one member in chunks; ranges
of members are read by `readers.members`, web archives by `readers.archives.stream`, all by the same two machines.

gzip is read by ISA-L's igzip, at more than twice zlib's speed. Where igzip finds a member broken or cut off, zlib reads
it again from its beginning: it alone gives all that comes before the break, and says at which byte that is. So a sound
file never pays, and a broken member is read a second time. igzip also passes over reserved flags in a header,
which zlib refuses; a member that has some is zlib's from the start.

Memory: a chunk, which is at most 4 MiB of gzip or 36 MiB of zstd, however well it was compressed,
and zstd's window: a file that asks for more than `WINDOW_BYTES` is not decompressed unless its reader was given a
larger bound, as the program zstd wants to be asked by `--long`, too.
"""

import io
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO, cast

import zstandard
from isal import isal_zlib

CHUNK_BYTES = 4 << 20
WINDOW_BYTES = 1 << 27
LARGEST_WINDOW_BYTES = 1 << 31
BUFFER_BYTES = 256 << 10
FRAME_HEAD_BYTES, BLOCK_HEAD_BYTES = 5, 3
GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = zstandard.FRAME_HEADER
RESERVED_FLAGS = 0xE0
ENDINGS = {".gz": "gzip", ".bgz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
"""Endings of compressed files, and by what they are compressed."""
BROKEN = (cast(type[Exception], isal_zlib.error), zlib.error, zstandard.ZstdError)
"""What machines raise for a stream that is broken."""


class BrokenStream(Exception):
    """A compressed file is broken or cut off; the message says which, and where."""


@dataclass(frozen=True, kw_only=True)
class Codec:
    """A compression of independent members.

    Attributes:
        begin: makes a machine, which has `decompress`, `eof` and `unused_data`.
        strict: makes one that knows at which byte a stream breaks; slower, or the same.
        slice_bytes: what a machine is fed at a time, which bounds its output where it takes no bound.
        bounded: whether `decompress` takes a bound of its output, and keeps `unconsumed_tail`.
        padding: what may stand between members.
    """

    name: str
    magic: bytes
    slice_bytes: int
    begin: Callable[[], Any]
    strict: Callable[[], Any]
    bounded: bool = False
    padding: bytes = b""

    def decompress(self, machine: Any, data: bytes, limit: int) -> bytes:
        """The next output, of at most `limit` bytes where the machine can be bounded."""
        return machine.decompress(data, limit) if self.bounded else machine.decompress(data)


def igzip_machine() -> Any:
    """Decompresses one member of gzip."""
    return isal_zlib.decompressobj(wbits=31)


def _zlib_machine() -> Any:
    return zlib.decompressobj(wbits=31)


def zstd_machines(
    window_bytes: int = WINDOW_BYTES, dictionary: zstandard.ZstdCompressionDict | None = None
) -> Callable[[], Any]:
    """What makes machines that decompress one frame of zstd each, which may ask for a window of so many bytes.

    The machines share their tables, so one has to be done with before the next is made.
    """
    return zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=window_bytes).decompressobj


GZIP = Codec(
    name="gzip",
    magic=GZIP_MAGIC,
    slice_bytes=64 << 10,
    begin=igzip_machine,
    strict=_zlib_machine,
    bounded=True,
    padding=b"\0",
)


@cache
def zstd_codec(window_bytes: int = WINDOW_BYTES) -> Codec:
    """zstd in frames that ask for a window of at most so many bytes."""

    def begin() -> Any:
        return zstd_machines(window_bytes)()

    return Codec(name="zstd", magic=ZSTD_MAGIC, slice_bytes=1 << 10, begin=begin, strict=begin)


ZSTD = zstd_codec()


def codec_of(path: str, window_bytes: int = WINDOW_BYTES) -> Codec | None:
    """What a file is compressed by, as its ending says, in upper or lower case; `window_bytes` bounds zstd's window."""
    name = ENDINGS.get(path[path.rfind(".") :].lower())
    if name is None:
        return None
    if name == GZIP.name:
        return GZIP
    return ZSTD if window_bytes == WINDOW_BYTES else zstd_codec(window_bytes)


def _words(error: BaseException) -> str:
    """What a library says of a broken stream; of a window that is too large, what can be done about it."""
    if "too much memory" in str(error):
        return "it needs a larger window than is allowed; see --zstd-window"
    return str(error)


class Feed:
    """A file read by slices, which takes back what a machine left over and knows where it stands."""

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


def decode_member(feed: Feed, codec: Codec) -> Generator[bytes, None, str]:
    """The data of the member at which the feed stands, and what is wrong with it; the feed then stands behind it.

    What is given ends at the byte at which the stream breaks. If only a checksum at the end shows the damage, that is
    all of it.
    """
    return (yield from _decode(feed, codec, codec.begin, 0))


def _decode(feed: Feed, codec: Codec, begin: Callable[[], Any], passed: int) -> Generator[bytes, None, str]:
    """As `decode_member`, without the first `passed` bytes of its data, by a machine that `begin` makes."""
    machine, begun, pieces, pending, given = begin(), feed.offset, list[bytes](), 0, 0
    strictly = begin is codec.strict
    while not machine.eof:
        data, before = feed.take(), None
        if strictly:
            before = machine.copy() if codec.bounded else None
        elif feed.offset - len(data) == begun and codec.bounded and len(data) > 3 and data[3] & RESERVED_FLAGS:
            feed.seek(begun)
            return (yield from _decode(feed, codec, codec.strict, 0))
        try:
            piece = codec.decompress(machine, data, CHUNK_BYTES)
        except BROKEN as error:
            if not strictly:
                feed.seek(begun)
                return (yield from _decode(feed, codec, codec.strict, given))
            position = feed.offset - len(data)
            piece, whole = _until_broken(before or _again(feed, codec, begun, position), data)
            if rest := b"".join([*pieces, piece])[passed:]:
                yield rest
            return f"broken {codec.name} stream at compressed byte {position + whole} ({_words(error)})"
        if not data and not piece:  # only then: a machine may keep output back when it has all the input
            if strictly:
                break
            feed.seek(begun)
            return (yield from _decode(feed, codec, codec.strict, given))
        pieces.append(piece)
        pending += len(piece)
        if left := machine.unused_data if machine.eof else getattr(machine, "unconsumed_tail", b""):
            feed.give_back(left)
        if pending >= CHUNK_BYTES:
            given += pending
            if rest := b"".join(pieces)[passed:]:
                yield rest
            passed, pieces, pending = max(0, passed - pending), [], 0
    if rest := b"".join(pieces)[passed:]:
        yield rest
    return "" if machine.eof else f"{codec.name} stream cut off at compressed byte {feed.offset}"


def _again(feed: Feed, codec: Codec, start: int, stop: int) -> Any:
    """A machine brought to where another stood, since zstd's cannot be copied."""
    machine, offset = codec.strict(), feed.offset
    feed.seek(start)
    while start < stop:
        data = feed.take()[: stop - start]
        start += len(data)
        machine.decompress(data)
    feed.seek(offset)
    return machine


def _until_broken(machine: Any, data: bytes) -> tuple[bytes, int]:
    """What a machine still gives before the byte at which the stream breaks, and that byte's index."""
    given: list[bytes] = []
    for at in range(len(data)):
        try:
            given.append(machine.decompress(data[at : at + 1]))
        except BROKEN:
            return b"".join(given), at
    return b"".join(given), len(data)


class DecompressedFile(io.RawIOBase):
    """The uncompressed stream of a whole file, for libraries that read files.

    At the first break it raises BrokenStream, once all that comes before was read; with `ends_at_break` it ends there,
    as if the file did, and `problem` says what is wrong.

    Attributes:
        offset: how much of the compressed file was decompressed.
    """

    def __init__(self, file: BinaryIO, codec: Codec, *, ends_at_break: bool = False) -> None:
        self._feed, self._codec, self._ends_at_break = Feed(file, 0, codec), codec, ends_at_break
        self._chunks = self._decoded()
        self._left = memoryview(b"")
        self.problem = ""

    @property
    def offset(self) -> int:
        return self._feed.offset

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left and (chunk := next(self._chunks, None)) is not None:
            self._left = memoryview(chunk)
        if self.problem and not self._left and not self._ends_at_break:
            raise BrokenStream(self.problem)
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count

    def _decoded(self) -> Generator[bytes, None, None]:
        if not self._feed.at_member():
            self.problem = f"{self._codec.name} stream cut off at compressed byte {self._feed.offset}"
        while not self.problem and self._feed.at_member():
            self.problem = yield from decode_member(self._feed, self._codec)


class _ZstdStream(io.RawIOBase):
    """The uncompressed stream of a zstd file at the library's own speed, which does not say where a file is cut off.

    So the headers of frames and blocks are looked at as they pass by: 3 bytes in 40 KiB (RFC 8878, section 3.1).
    """

    def __init__(self, file: BinaryIO, window_bytes: int) -> None:
        self._file, self._bytes_read = file, 0
        self._skip, self._head, self._wanted, self._checksum_bytes = 0, b"", FRAME_HEAD_BYTES, 0
        machine = zstandard.ZstdDecompressor(max_window_size=window_bytes)
        self._stream = machine.stream_reader(cast(BinaryIO, _Source(self._take)), read_across_frames=True)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            count = self._stream.readinto(buffer)
        except zstandard.ZstdError as error:
            raise BrokenStream(
                f"broken zstd stream before compressed byte {self._bytes_read} ({_words(error)})"
            ) from error
        between_frames = self._bytes_read and not self._skip and not self._head and self._wanted == FRAME_HEAD_BYTES
        if not count and len(buffer) and not between_frames:
            raise BrokenStream(f"zstd stream cut off at compressed byte {self._bytes_read}")
        return count

    def _take(self, count: int) -> bytes:
        data, at = self._file.read(count), 0
        self._bytes_read += len(data)
        while at < len(data):
            step = min(self._skip or self._wanted - len(self._head), len(data) - at)
            if self._skip:
                self._skip -= step
            else:
                self._head += data[at : at + step]
            at += step
            if len(self._head) == self._wanted:
                self._pass_head()
        return data

    def _pass_head(self) -> None:
        """Says how much to pass over after a head, and how long the next one is; broken ones are the library's."""
        head, self._head = self._head, b""
        if self._wanted == BLOCK_HEAD_BYTES:
            word = int.from_bytes(head, "little")
            self._skip = 1 if word >> 1 & 3 == 1 else word >> 3  # a block of one repeated byte holds that byte alone
            if word & 1:
                self._skip, self._wanted = self._skip + self._checksum_bytes, FRAME_HEAD_BYTES
        elif head[:1] != ZSTD_MAGIC[:1]:  # made to be passed over: its size follows
            if self._wanted == FRAME_HEAD_BYTES:
                self._head, self._wanted = head, 8
            else:
                self._skip, self._wanted = int.from_bytes(head[4:], "little"), FRAME_HEAD_BYTES
        else:
            self._skip, self._wanted = zstandard.frame_header_size(head) - FRAME_HEAD_BYTES, BLOCK_HEAD_BYTES
            self._checksum_bytes = 4 if head[4] & 4 else 0


@dataclass(frozen=True)
class _Source:
    """What the library reads from."""

    read: Callable[[int], bytes]


def open_decompressed(file: BinaryIO, codec: Codec | None, window_bytes: int = WINDOW_BYTES) -> BinaryIO:
    """The stream of a seekable file as it is uncompressed; the file itself where it is plain.

    Reading raises BrokenStream where the file is broken or cut off. A file without a byte is cut off.
    """
    if codec is None:
        return file
    if codec.name == ZSTD.name:
        return cast(BinaryIO, io.BufferedReader(_ZstdStream(file, window_bytes), BUFFER_BYTES))
    return cast(BinaryIO, io.BufferedReader(DecompressedFile(file, codec), BUFFER_BYTES))
