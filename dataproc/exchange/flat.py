"""Flat tokens: `<stem>.bin`, ids one after the other and nothing else, for `numpy.memmap` (nanoGPT, nanochat-style).

Ids are little-endian uint16 where the vocabulary has at most 65,536, else uint32. `<stem>.json` beside says which, how
many, and the ids of the special tokens:

    data = numpy.memmap("shard-00000.bin", dtype=json.load(open("shard-00000.json"))["dtype"], mode="r")

A flat file has no items: sequences or documents stand one after the other, without padding, and only an end token
separates documents. A document that was cut into several sequences is therefore not separated from what follows its
piece, so export with `--unit document` where documents matter.

Reading cuts after every end token, and splits a file into pieces at such places. It takes our `.json`, or a `dtype` in
its place, or the header of modded-nanogpt and llm.c (256 int32: 20240520, version 1, tokens; then uint16).
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange.items import Items
from corpusmill.dataproc.exchange.pieces import (
    BATCH_TOKENS,
    Piece,
    ReadOptions,
    Tokens,
    file_bytes,
    files_in,
    read_range,
)
from corpusmill.dataproc.sequences.shards import ShardHeader
from corpusmill.dataproc.storage import commit_bytes, commit_file, exists, join, read_bytes

PADDED = False
DTYPES: dict[str, np.dtype] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4"), "int32": np.dtype("<i4")}
LLM_C_MAGIC, LLM_C_HEADER = 20240520, 1024


class Writer:
    """Writes items to `<folder>/<stem>.bin` and `.json`; leaving the context commits both, an exception neither."""

    def __init__(self, folder: str, stem: str, header: ShardHeader, unit: str) -> None:
        self._folder, self._stem, self._header, self._unit = folder, stem, header, unit
        self._dtype = "uint16" if header.vocab_size <= 1 << 16 else "uint32"
        self._items = 0
        self._stack = ExitStack()
        self.entries: list[dict[str, Any]] = []

    def __enter__(self) -> "Writer":
        self._file = self._stack.enter_context(commit_file(join(self._folder, f"{self._stem}.bin")))
        return self

    def write(self, items: Items) -> None:
        """Appends items."""
        self._file.write(np.ascontiguousarray(items.tokens, DTYPES[self._dtype]))
        self._items += len(items)

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)
        if details[0] is not None:
            return
        tokens = self._file.bytes // DTYPES[self._dtype].itemsize
        recorded = {
            "dtype": self._dtype,
            "tokens": tokens,
            "unit": self._unit,
            "items": self._items,
            "vocab_size": self._header.vocab_size,
            "special": asdict(self._header.special),
            "tokenizer": self._header.tokenizer,
        }
        text = (json.dumps(recorded, indent=1, sort_keys=True) + "\n").encode()
        digest = commit_bytes(join(self._folder, f"{self._stem}.json"), text)
        data = {"path": f"{self._stem}.bin", "rows": self._items, "bytes": self._file.bytes, "tokens": tokens}
        self.entries = [
            data | {"digest": self._file.digest},
            {"path": f"{self._stem}.json", "bytes": len(text), "digest": digest},
        ]


def beside(entries: list[dict[str, Any]], header: ShardHeader, unit: str, folder: str) -> dict[str, bytes]:
    """Files that describe the whole export: none."""
    return {}


def _layout(path: str, options: ReadOptions) -> tuple[np.dtype, int, int]:
    """(type of a token, byte at which they begin, how many) of a file. Raises UserError if nothing says."""
    size = file_bytes(path)
    if size >= LLM_C_HEADER:
        magic, version, tokens = read_range(path, 0, 3, np.dtype("<i4")).tolist()
        if magic == LLM_C_MAGIC and version == 1 and size == LLM_C_HEADER + 2 * tokens:
            return DTYPES["uint16"], LLM_C_HEADER, tokens
    beside_it = f"{path.removesuffix('.bin')}.json"
    name, recorded = options.dtype, None
    if exists(beside_it):
        try:
            described = json.loads(read_bytes(beside_it))
            name, recorded = described["dtype"], int(described["tokens"])
            dtype = DTYPES[name]
        except (ValueError, KeyError, TypeError) as error:
            what = f"this does not describe flat tokens ({error})"
            raise UserError(what, where=beside_it, hint="write dtype and tokens into it, or remove it") from error
    elif not name:
        what = "nothing says how large an id is in this file"
        raise UserError(what, where=path, hint="pass --dtype uint16 or uint32, whichever it was written with")
    dtype = DTYPES[name]
    if size % dtype.itemsize or (recorded is not None and recorded * dtype.itemsize != size):
        wanted = f"{recorded:,} tokens of {name}" if recorded is not None else f"a whole number of {name}"
        raise UserError(f"this file has {size:,} bytes, which are not {wanted}", path, "it may be truncated")
    return dtype, 0, size // dtype.itemsize


def pieces(path: str, piece_bytes: int, options: ReadOptions) -> list[Piece]:
    """Ranges of tokens of a .bin, or of all in a folder. Raises UserError if it is not one."""
    ranges = []
    for file in files_in(path, ".bin", "flat tokens"):
        tokens = _layout(file, options)[2]
        step = max(1, piece_bytes // 4)
        for first in range(0, tokens, step):
            last = min(first + step, tokens)
            ranges.append(Piece(file, first, last, 4 * (last - first)))
    return ranges


def read(piece: Piece, options: ReadOptions) -> Iterator[Tokens]:
    """The documents that begin in a piece, each to its end, a number of them at once. Raises UserError."""
    dtype, offset, count = _layout(piece.path, options)
    tokens = read_range(piece.path, offset, count, dtype)
    begin = 0 if piece.first == 0 else _after_end(tokens, piece.first - 1, options.eos)
    end = _after_end(tokens, piece.last - 1, options.eos)
    while begin < min(end, piece.last):
        # Up to the last end token that is near enough, or to the next one where a document is longer.
        near = min(begin + BATCH_TOKENS, end)
        ends = np.flatnonzero(tokens[begin:near] == options.eos) if near < end else np.zeros(0, np.int64)
        stop = end if near == end else begin + int(ends[-1]) + 1 if len(ends) else _after_end(tokens, near, options.eos)
        stop = min(stop, end)
        yield Tokens(begin, np.array([0, stop - begin]), tokens[begin:stop], has_items=False)
        begin = stop


def _after_end(tokens: np.ndarray, place: int, eos: int) -> int:
    """The place after the first end token at `place` or later; how many tokens there are where none follows."""
    while place < len(tokens):
        hits = np.flatnonzero(tokens[place : place + BATCH_TOKENS] == eos)
        if len(hits):
            return place + int(hits[0]) + 1
        place += BATCH_TOKENS
    return len(tokens)
