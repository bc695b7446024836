"""The file of a segment: records, sampled rows, names of documents, and at its end what says where each of them is.

    records           of the transform (`records.py`)
    pages of rows     u32 each: the row of each text position that is a multiple of `CONTEXT_EVERY`
    pages of names    documents' starts, ids and sources, 256 documents a page, zstd
    directory         facts as JSON, then arrays: sizes and checksums of all the above
    24 bytes          length and checksum of the directory, the magic

Everything is read by ranges, and everything has a checksum (xxh3, 64 bits) which the directory holds and which is
checked when it is read: a damaged segment is an error in one line, and never a wrong count. A directory takes 14 bytes
for 32 KiB of text and 16 for 256 documents, and is all that is read to open a segment.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import xxhash
import zstandard

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError

MAGIC = b"CMSEARC1"
TRAILER = struct.Struct("<QQ8s")
TAIL_BYTES = 1 << 17
LARGEST_TEXT = (1 << 31) - 2
"""Bytes of a segment's text: its suffixes are numbered by 32 bits."""

CONTEXT_EVERY = 256
PAGE_ROWS = 1024
PAGE_DOCUMENTS = 256
SEPARATOR = 0xFF
"""The byte after each document's text; UTF-8 has none of it, so nothing that is looked for spans two documents."""

ARRAYS: dict[str, np.dtype[Any]] = {
    "record_sizes": np.dtype("<u4"),
    "record_checksums": np.dtype("<u8"),
    "row_checksums": np.dtype("<u8"),
    "name_sizes": np.dtype("<u4"),
    "name_checksums": np.dtype("<u8"),
    "name_starts": np.dtype("<u4"),
    "symbol_counts": np.dtype("<u8"),
}
"""The directory's arrays, in their order; `name_starts` is where the first document of each page begins."""


@dataclass(frozen=True, kw_only=True)
class Directory:
    """What a segment is made of.

    Attributes:
        text_bytes: of the documents with a separator after each.
        documents: how many.
        primary: the row of the whole text.
        locate_every: text positions that are multiples of it are known by their row.
        alphabet: the bytes that occur, in order.
        arrays: by the names of `ARRAYS`.
    """

    text_bytes: int
    documents: int
    primary: int
    locate_every: int
    alphabet: bytes
    arrays: dict[str, np.ndarray]

    def packed(self) -> bytes:
        """The directory as it stands in a file, and the trailer."""
        facts = {
            "text_bytes": self.text_bytes,
            "documents": self.documents,
            "primary": self.primary,
            "locate_every": self.locate_every,
            "alphabet": list(self.alphabet),
            "lengths": {name: len(self.arrays[name]) for name in ARRAYS},
        }
        arrays = [np.asarray(self.arrays[name], kind).tobytes() for name, kind in ARRAYS.items()]
        body = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS) + b"\n" + b"".join(arrays)
        return body + TRAILER.pack(len(body), xxhash.xxh3_64_intdigest(body), MAGIC)


def _unpacked(body: bytes) -> Directory:
    """The directory of a body whose checksum is right. Raises what a body of another make leads to."""
    line, _, rest = body.partition(b"\n")
    facts: dict[str, Any] = orjson.loads(line)
    arrays, place = {}, 0
    for name, kind in ARRAYS.items():
        count = int(facts["lengths"][name])
        arrays[name] = np.frombuffer(rest, kind, count, place)
        place += count * kind.itemsize
    made = {name: int(facts[name]) for name in ("text_bytes", "documents", "primary", "locate_every")}
    return Directory(**made, alphabet=bytes(facts["alphabet"]), arrays=arrays)


def sample_width(text_bytes: int, every: int) -> int:
    """Bits of a sampled position."""
    return max(1, (text_bytes // every).bit_length())


def unpacked_names(page: bytes, documents: int) -> tuple[np.ndarray, list[str], list[str]]:
    """(starts, ids, sources) of a page of names. Raises ValueError or zstd's error for what is none."""
    data = zstandard.ZstdDecompressor().decompress(page)
    place = 4 * documents
    starts = np.frombuffer(data, "<u4", documents).astype(np.int64)
    columns: list[list[str]] = []
    for _ in range(2):
        ends = place + 4 * documents + np.cumsum(np.frombuffer(data, "<u4", documents, place).astype(np.int64))
        begins: Sequence[int] = [place + 4 * documents, *ends.tolist()]
        columns.append([data[begins[row] : begins[row + 1]].decode() for row in range(documents)])
        place = begins[-1]
    return starts, columns[0], columns[1]


class RangeReader:
    """Ranges of a file by path or URL: a system call, or a request, each."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.size = storage.size(path)
        except FileNotFoundError as error:
            raise UserError("no such file", where=path) from error
        self._file: Any = None
        self._filesystem: Any = None
        if storage.is_url(path) and not path.startswith(("http://", "https://")):
            self._filesystem, self._inner = storage.file_system(path)
        else:
            self._file = storage.open_input(path)

    def read(self, start: int, length: int) -> bytes:
        """The bytes of a range. Raises UserError where the file ends before."""
        if self._filesystem is not None:
            with storage.reached(self.path):
                data: bytes = self._filesystem.cat_file(self._inner, start=start, end=start + length)
        elif not storage.is_url(self.path):
            data = os.pread(self._file.fileno(), length, start)
        else:
            self._file.seek(start)
            data = self._file.read(length)
        if len(data) != length:
            raise damaged(self.path, "it is truncated")
        return data

    def read_into(self, start: int, view: memoryview) -> None:
        """Fills a view with a range: of a local file without a copy in between."""
        if self._file is None or storage.is_url(self.path):
            view[:] = self.read(start, len(view))
        elif os.preadv(self._file.fileno(), [view], start) != len(view):
            raise damaged(self.path, "it is truncated")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def damaged(path: str, what: str) -> UserError:
    """The error for a segment that is not as it was written."""
    return UserError(f"this segment of a search index is damaged: {what}", where=path, hint="rebuild the index")


def read_directory(reader: RangeReader) -> Directory:
    """The directory of a segment. Raises UserError for a file that is none, or is damaged."""
    tail = reader.read(max(0, reader.size - TAIL_BYTES), min(reader.size, TAIL_BYTES))
    if len(tail) < TRAILER.size:
        raise damaged(reader.path, "it is truncated")
    length, checksum, magic = TRAILER.unpack(tail[-TRAILER.size :])
    if magic != MAGIC:
        raise damaged(reader.path, "its end marker is missing")
    if length + TRAILER.size > reader.size:
        raise damaged(reader.path, "its directory is longer than the file")
    if length + TRAILER.size > len(tail):
        body = reader.read(reader.size - length - TRAILER.size, length)
    else:
        body = tail[len(tail) - length - TRAILER.size : -TRAILER.size]
    if xxhash.xxh3_64_intdigest(body) != checksum:
        raise damaged(reader.path, "the checksum of its directory is wrong")
    try:
        return _unpacked(body)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged(reader.path, f"its directory cannot be read ({error})") from error
