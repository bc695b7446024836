"""Megatron-LM's indexed dataset: `<prefix>.bin`, the tokens, and `<prefix>.idx`, where each sequence lies.

The index (megatron/core/datasets/indexed_dataset.py), all little-endian:

    9 bytes   MMIDIDX\\0\\0
    uint64    version, 1
    uint8     type of a token: 8 uint16, 4 int32 (1 uint8, 2 int8, 3 int16, 5 int64)
    uint64    S, sequences
    uint64    D + 1, documents and one
    int32     length of each sequence, in tokens
    int64     byte in the .bin at which each sequence begins
    int64     sequence at which each document begins, and S

Written with one sequence a document. A sequence there has no fixed length, and `GPTDataset` joins and cuts them as it
needs; so packed sequences are written without their padding, which it would take for text. Document ids and segment
lengths have no place in this format: the end tokens tell documents apart. Ids take 2 bytes below a vocabulary of
65,500, Megatron's own bound, else 4.

Reading takes what Megatron calls a document, whatever its sequences. The index is read whole (12 bytes a sequence, 8 a
document), by the plan and by each piece.
"""

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange.items import Items
from corpusmill.dataproc.exchange.pieces import Piece, ReadOptions, Tokens, equal_pieces, files_in, read_range, slices
from corpusmill.dataproc.sequences.shards import ShardHeader
from corpusmill.dataproc.storage import commit_file, exists, join

PADDED = False
MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<9sQBQQ")
DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
SMALL_VOCABULARY = 65500
INT32, INT64 = np.dtype("<i4"), np.dtype("<i8")


class Writer:
    """Writes items to `<folder>/<stem>.bin` and `.idx`; leaving the context commits both, an exception neither."""

    def __init__(self, folder: str, stem: str, header: ShardHeader, unit: str) -> None:
        self._folder, self._stem = folder, stem
        self._code = 8 if header.vocab_size < SMALL_VOCABULARY else 4
        self._lengths: list[np.ndarray] = []
        self._stack = ExitStack()
        self.entries: list[dict[str, Any]] = []

    def __enter__(self) -> "Writer":
        self._file = self._stack.enter_context(commit_file(join(self._folder, f"{self._stem}.bin")))
        return self

    def write(self, items: Items) -> None:
        """Appends items."""
        self._file.write(np.ascontiguousarray(items.tokens, DTYPES[self._code]))
        self._lengths.append(np.diff(items.offsets).astype(INT32))

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)
        if details[0] is not None:
            return
        lengths = np.concatenate([np.zeros(0, INT32), *self._lengths])
        offsets = np.append(0, np.cumsum(lengths, dtype=INT64))
        with commit_file(join(self._folder, f"{self._stem}.idx")) as index:
            index.write(HEADER.pack(MAGIC, 1, self._code, len(lengths), len(lengths) + 1))
            index.write(lengths)
            index.write((offsets[:-1] * np.dtype(DTYPES[self._code]).itemsize).astype(INT64))
            index.write(np.arange(len(lengths) + 1, dtype=INT64))
        tokens = int(offsets[-1])
        data = {"path": f"{self._stem}.bin", "rows": len(lengths), "bytes": self._file.bytes, "tokens": tokens}
        self.entries = [
            data | {"digest": self._file.digest},
            {"path": f"{self._stem}.idx", "bytes": index.bytes, "digest": index.digest},
        ]


def beside(entries: list[dict[str, Any]], header: ShardHeader, unit: str, folder: str) -> dict[str, bytes]:
    """Files that describe the whole export: none."""
    return {}


class _Index(NamedTuple):
    """Documents of a file: offsets int64 (D + 1,) in tokens, and the type of a token."""

    offsets: np.ndarray
    dtype: np.dtype


def _read_index(path: str) -> _Index:
    """The `.idx` of a prefix, checked. Raises UserError."""
    name = f"{path}.idx"
    head = read_range(name, 0, HEADER.size, np.dtype("u1")).tobytes()
    magic, version, code, sequences, documents = HEADER.unpack(head)
    if magic != MAGIC or version != 1:
        what = "no Megatron index: it does not begin with MMIDIDX and version 1"
        raise UserError(what, where=name, hint="name the .idx, the .bin or their common prefix")
    if code not in DTYPES:
        raise UserError(f"tokens of type {code} are not integers", where=name, hint="use an index of token ids")
    lengths = read_range(name, HEADER.size, sequences, INT32)
    pointers = read_range(name, HEADER.size + 4 * sequences, sequences, INT64)
    first = read_range(name, HEADER.size + 12 * sequences, documents, INT64)
    dtype = np.dtype(DTYPES[code])
    offsets = np.append(0, np.cumsum(lengths, dtype=INT64))
    if (lengths < 0).any() or not np.array_equal(pointers, offsets[:-1] * dtype.itemsize):
        what = "sequences do not follow each other in the .bin"
        raise UserError(what, where=name, hint="rewrite it with IndexedDatasetBuilder")
    if not documents or first[0] != 0 or first[-1] != sequences or (np.diff(first) < 0).any():
        raise UserError("documents do not cover the sequences", where=name, hint="it may be damaged: rewrite it")
    if not exists(f"{path}.bin"):
        raise UserError("the .bin beside this index is missing", where=name, hint="download both files")
    read_range(f"{path}.bin", 0, int(offsets[-1]), dtype)
    return _Index(offsets[first], dtype)


def pieces(path: str, piece_bytes: int, options: ReadOptions) -> list[Piece]:
    """The documents of a prefix (or its .idx or .bin), or of all in a folder. Raises UserError if it is not one."""
    if path.endswith((".idx", ".bin")):
        path = path[:-4]
    if exists(f"{path}.idx"):
        prefixes = [path]
    else:
        prefixes = [file.removesuffix(".idx") for file in files_in(path, ".idx", "Megatron index")]
    return [piece for prefix in prefixes for piece in equal_pieces(prefix, _read_index(prefix).offsets, piece_bytes)]


def read(piece: Piece, options: ReadOptions) -> Iterator[Tokens]:
    """The documents of a piece. Raises UserError for files that are damaged."""
    offsets, dtype = _read_index(piece.path)
    for first, last in slices(piece.first, piece.last, offsets[piece.first : piece.last + 1]):
        begin, end = int(offsets[first]), int(offsets[last])
        tokens = read_range(f"{piece.path}.bin", begin * dtype.itemsize, end - begin, dtype)
        yield Tokens(first, offsets[first : last + 1] - begin, tokens)
