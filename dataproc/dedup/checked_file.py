"""Files that are never read wrongly: every 64 KiB has a checksum, which is checked before its bytes are used.

    data                 the bytes, in chunks of 64 KiB
    first words, sums    u64 each: the first 8 bytes of each chunk, and its checksum (xxh3, 64 bits)
    24 bytes             bytes of data, checksum of the above together with the file's name, the magic

Opening reads the end of the file alone: 16 bytes a chunk, 0.024 % of it. What is cut off, has grown, or stands under
the name of another file is found then; a changed byte is found when its chunk is first used, and is an error in one
line and never a wrong answer. The first words of sorted data tell in which chunk a value would be, without reading any.

A local file is mapped, and the pages of a chunk are touched when it is checked. Of an object the chunks that are
needed are fetched, neighbours by one request, into address space that takes memory as it is filled. Checking costs 0.1
ms a MB, once for each chunk while the file is open.
"""

import mmap
import struct
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError

CHUNK_BYTES = 64 << 10
TRAILER = struct.Struct("<QQ8s")
MAGIC = b"CMCHECK1"
WORD = 8
TAIL_BYTES = 64 << 10


def write_checked(path: str, name: str, pieces: Iterable[Any]) -> None:
    """Commits a file of these pieces, one after the other.

    Args:
        path: of the file.
        name: what the file is within its segment; reading asks for the same.
        pieces: buffers of bytes.
    """
    first_words, sums = bytearray(), bytearray()
    chunk, filled, size = xxhash.xxh3_64(), 0, 0
    with storage.commit_file(path) as out:
        for piece in pieces:
            view = memoryview(piece).cast("B")
            out.write(view)
            size += len(view)
            while len(view):
                here = view[: CHUNK_BYTES - filled]
                if filled < WORD:
                    first_words += here[: WORD - filled]
                chunk.update(here)
                filled += len(here)
                view = view[len(here) :]
                if filled == CHUNK_BYTES:
                    sums += chunk.intdigest().to_bytes(WORD, "little")
                    chunk, filled = xxhash.xxh3_64(), 0
        if filled:
            first_words += bytes(-len(first_words) % WORD)
            sums += chunk.intdigest().to_bytes(WORD, "little")
        out.write(first_words + sums)
        out.write(TRAILER.pack(size, _seal(name, size, first_words + sums), MAGIC))


def _seal(name: str, size: int, sums: bytes | bytearray) -> int:
    return xxhash.xxh3_64_intdigest(name.encode() + b"\0" + size.to_bytes(8, "little") + sums)


def damaged(path: str, what: str) -> UserError:
    """The error for a file of an index that is not as it was written."""
    hint = "see `corpusmill inspect verify`; retract the dataset and add it again"
    return UserError(f"this file of an index is damaged: {what}", where=path, hint=hint)


def gone(path: str) -> UserError:
    """The error for a file of an index that is not there."""
    what = "a file of this index is missing"
    return UserError(what, path, "if its dataset was retracted, or its segment merged, meanwhile: run again")


class CheckedFile:
    """A file of `write_checked`, open for reading.

    Attributes:
        size: bytes of data.
        first_words: uint64 of shape (C,), the first 8 bytes of each chunk.

    Raises UserError for a file that is gone, cut off, or not the one of this name.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._remote: tuple[Any, str] | None = None
        try:
            whole = storage.size(path)
            if storage.is_url(path):
                self._remote = storage.file_system(path)
            else:
                self._map = _mapped(path)
                whole = len(self._map)
        except FileNotFoundError as error:
            raise gone(path) from error
        if whole < TRAILER.size:
            raise damaged(path, "it is truncated")
        tail = self._range(max(0, whole - TAIL_BYTES), whole)
        self.size, seal, magic = TRAILER.unpack(tail[-TRAILER.size :])
        if magic != MAGIC:
            raise damaged(path, "its end marker is missing")
        chunks = -(-self.size // CHUNK_BYTES)
        if self.size + 2 * WORD * chunks + TRAILER.size != whole:
            raise damaged(path, "it is truncated")
        sums = self._range(self.size, whole - TRAILER.size) if self.size < whole - len(tail) else tail[: -TRAILER.size]
        sums = sums[len(sums) - 2 * WORD * chunks :]
        if _seal(name, self.size, sums) != seal:
            raise damaged(path, "its checksums are not those that were written")
        words = np.frombuffer(sums, "<u8")
        self.first_words, self._sums = words[:chunks], words[chunks:].tolist()
        self._checked = np.zeros(chunks, bool)
        if self._remote:
            self._bytes = np.empty(self.size, np.uint8)
        else:
            self._bytes = np.frombuffer(self._map, np.uint8, self.size)

    def _range(self, start: int, stop: int) -> bytes:
        if self._remote is None:
            return self._map[start:stop]
        filesystem, inner = self._remote
        try:
            with storage.reached(self._path):
                data: bytes = filesystem.cat_file(inner, start=start, end=stop)
        except FileNotFoundError as error:
            raise gone(self._path) from error
        if len(data) != stop - start:
            raise damaged(self._path, "it is truncated")
        return data

    def array(self, dtype: Any, start: int = 0, count: int | None = None) -> np.ndarray:
        """A view of `count` values (all that follow if None) from byte `start` on; to be used where it was checked."""
        width = np.dtype(dtype).itemsize
        count = (self.size - start) // width if count is None else count
        if start + count * width > self.size:
            raise damaged(self._path, "it holds less than it should")
        return self._bytes[start : start + count * width].view(dtype)

    def check(self, starts: np.ndarray, stops: np.ndarray) -> None:
        """Makes sure of the bytes of ranges, int64 of shape (R,) each. Raises UserError where they changed."""
        if len(starts) and (int(stops.max()) > self.size or int(starts.min()) < 0):
            raise damaged(self._path, "it holds less than it should")
        marks = np.zeros(len(self._checked) + 1, np.int64)
        filled = stops > starts
        np.add.at(marks, starts[filled] // CHUNK_BYTES, 1)
        np.add.at(marks, (stops[filled] - 1) // CHUNK_BYTES + 1, -1)
        wanted = np.flatnonzero((np.cumsum(marks[:-1]) > 0) & ~self._checked)
        if not len(wanted):
            return
        if self._remote:
            self._fetch(wanted)
        for chunk in wanted.tolist():
            start = chunk * CHUNK_BYTES
            if xxhash.xxh3_64_intdigest(self._bytes[start : start + CHUNK_BYTES].data) != self._sums[chunk]:
                raise damaged(self._path, f"the 64 KiB from byte {start:,} on are not those that were written")
        self._checked[wanted] = True

    def check_range(self, start: int, stop: int) -> None:
        """As `check`, of one range."""
        self.check(np.array([start]), np.array([stop]))

    def _fetch(self, chunks: np.ndarray) -> None:
        """Fills chunks of an object, runs of neighbours by one request each."""
        assert self._remote is not None
        filesystem, inner = self._remote
        edges = [0, *(np.flatnonzero(np.diff(chunks) > 1) + 1).tolist(), len(chunks)]
        starts = [int(chunks[first]) * CHUNK_BYTES for first in edges[:-1]]
        stops = [min(self.size, (int(chunks[stop - 1]) + 1) * CHUNK_BYTES) for _, stop in pairwise(edges)]
        try:
            with storage.reached(self._path):
                pieces = filesystem.cat_ranges([inner] * len(starts), starts, stops, on_error="raise")
        except FileNotFoundError as error:
            raise gone(self._path) from error
        for start, stop, piece in zip(starts, stops, pieces, strict=True):
            if len(piece) != stop - start:
                raise damaged(self._path, "it is truncated")
            self._bytes[start:stop] = np.frombuffer(piece, np.uint8)


def _mapped(path: str) -> Any:
    """The map of a local file; no bytes where it is empty, which cannot be mapped."""
    with storage.open_input(path) as file:
        if storage.size(path) == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
