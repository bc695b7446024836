"""Mosaic Streaming's MDS: shard files of samples, and one `index.json` that lists them.

A shard file (streaming/base/format/mds), all little-endian:

    uint32            N, samples
    uint32 (N + 1,)   byte at which each sample begins, and the end
    JSON              the columns, as in the index
    samples           for each: uint32 sizes of the columns without a fixed one, then the columns, by name

Columns of a packed sequence: `tokens`, an array of all L ids (`ndarray:int32:L`), with padding as in our shards, since
readers stack samples; `segment_lengths` (`ndarray:int32`), which add up to the tokens that are not padding;
`documents`, their ids a line each (`str`; a line break or backslash in an id is written \\n or \\\\). Of a document:
`tokens` (`ndarray:int32`), `document` and `source` (`str`). Array columns of one axis without a fixed shape begin with
a byte 4 (or 5, 6) and their length in 1 (2, 4) bytes.

Shard files hold about 64 MiB, as MDSWriter's do; offsets of 4 bytes bound them at 4 GiB. The digest in the index is
xxh3-128, which the library knows as `xxh128`. Reading takes `tokens` columns of integers (`ndarray` of a type, any
shape, or `bytes` of int64, as llm-foundry writes). Compressed shards are not read.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange.items import Items, flat_segments
from corpusmill.dataproc.exchange.pieces import (
    LENGTHS_COLUMN,
    TOKEN_COLUMNS,
    Piece,
    ReadOptions,
    Tokens,
    file_bytes,
    read_range,
)
from corpusmill.dataproc.sequences.shards import ShardHeader
from corpusmill.dataproc.storage import commit_file, exists, join, read_bytes

PADDED = True
SHARD_BYTES = 1 << 26
LARGEST_BYTES = 1 << 32
INDEX = "index.json"
HASH = "xxh128"
U1, U4 = np.dtype("u1"), np.dtype("<u4")


def _columns(unit: str, sequence_length: int) -> dict[str, tuple[str, int | None]]:
    """(encoding, bytes where they are fixed) of each column, by name."""
    if unit == "document":
        return {"document": ("str", None), "source": ("str", None), "tokens": ("ndarray:int32", None)}
    return {
        "documents": ("str", None),
        LENGTHS_COLUMN: ("ndarray:int32", None),
        "tokens": (f"ndarray:int32:{sequence_length}", 4 * sequence_length),
    }


def _config(unit: str, sequence_length: int) -> dict[str, Any]:
    """What every shard file and the index say of the columns."""
    columns = _columns(unit, sequence_length)
    return {
        "column_encodings": [encoding for encoding, _ in columns.values()],
        "column_names": list(columns),
        "column_sizes": [fixed for _, fixed in columns.values()],
        "compression": None,
        "format": "mds",
        "hashes": [HASH],
        "size_limit": SHARD_BYTES,
        "version": 2,
    }


class Writer:
    """Writes items to `<folder>/<stem>.mds`, and on to `<stem>_001.mds`… when a file is full."""

    def __init__(self, folder: str, stem: str, header: ShardHeader, unit: str) -> None:
        self._folder, self._stem, self._unit = folder, stem, unit
        self._config = json.dumps(_config(unit, header.sequence_length), sort_keys=True).encode()
        self._pending: list[pa.LargeBinaryArray] = []
        self._pending_bytes = 0
        self._tokens = 0
        self.entries: list[dict[str, Any]] = []

    def __enter__(self) -> "Writer":
        return self

    def write(self, items: Items) -> None:
        """Appends items; a file is written when it is full, by whole samples."""
        parts = self._sequences(items) if self._unit == "sequence" else self._documents(items)
        samples = pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))
        lengths = flat_segments(items.segments)[1].field("length").to_numpy().astype(np.int64)
        bounds = flat_segments(items.segments)[0]
        text = np.append(0, np.cumsum(lengths))[bounds]
        sizes = pc.binary_length(samples).to_numpy() + U4.itemsize
        first = 0
        while first < len(samples):
            room = SHARD_BYTES - self._pending_bytes
            last = max(
                first + (not self._pending), first + int(np.searchsorted(np.cumsum(sizes[first:]), room, "right"))
            )
            if last > first:
                self._pending.append(samples.slice(first, last - first))
                self._pending_bytes += int(sizes[first:last].sum())
                self._tokens += int(text[last] - text[first])
            first = last
            if first < len(samples):
                self._flush()

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> None:
        if kind is None and self._pending:
            self._flush()

    def _flush(self) -> None:
        number = len(self.entries)
        name = f"{self._stem}.mds" if number == 0 else f"{self._stem}_{number:03d}.mds"
        samples = pa.concat_arrays(self._pending)
        offsets, data = _binary_buffers(samples)
        head = 4 + 4 * len(offsets) + len(self._config)
        if head + int(offsets[-1]) >= LARGEST_BYTES:
            raise UserError("a sample is too large for MDS, whose offsets have 4 bytes", join(self._folder, name))
        with commit_file(join(self._folder, name)) as file:
            file.write(struct.pack("<I", len(samples)))
            file.write((offsets + head).astype(U4))
            file.write(self._config)
            file.write(data)
        entry = {"path": name, "rows": len(samples), "bytes": file.bytes, "digest": file.digest}
        self.entries.append(entry | {"tokens": self._tokens})
        self._pending, self._pending_bytes, self._tokens = [], 0, 0

    def _sequences(self, items: Items) -> list[pa.Array]:
        bounds, flat = flat_segments(items.segments)
        lengths = _arrays(bounds, flat.field("length").to_numpy())
        escaped = pc.replace_substring(pc.replace_substring(flat.field("document"), "\\", "\\\\"), "\n", "\\n")
        lists = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), escaped)
        documents = pc.binary_join(lists, "\n").cast(pa.large_binary())
        return [_sizes(documents, lengths), documents, lengths, _fixed(items.tokens.reshape(len(items), -1))]

    def _documents(self, items: Items) -> list[pa.Array]:
        _, flat = flat_segments(items.segments)
        names = [flat.field(name).cast(pa.large_binary()) for name in ("document", "source")]
        tokens = _arrays(items.offsets, items.tokens)
        return [_sizes(*names, tokens), *names, tokens]


def beside(entries: list[dict[str, Any]], header: ShardHeader, unit: str, folder: str) -> dict[str, bytes]:
    """`index.json` of the shard files of one folder ("" or "validation")."""
    config = _config(unit, header.sequence_length)
    shards = []
    for entry in entries:
        above, _, name = entry["path"].rpartition("/")
        if above == folder:
            data = {"basename": name, "bytes": entry["bytes"], "hashes": {HASH: entry["digest"]}}
            shards.append(config | {"samples": entry["rows"], "raw_data": data, "zip_data": None})
    return {INDEX: json.dumps({"version": 2, "shards": shards}, sort_keys=True).encode()}


def _binary_buffers(values: pa.LargeBinaryArray) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 (N + 1,) from 0, bytes) of an array, also of a slice."""
    _, offsets, data = values.buffers()
    bounds = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    content = np.frombuffer(data, U1) if data is not None else np.zeros(0, U1)
    return bounds - bounds[0], content[bounds[0] : bounds[-1]]


def _binary(offsets: np.ndarray, data: np.ndarray) -> pa.LargeBinaryArray:
    """One value for each stretch of `data`: offsets int64 (N + 1,), in bytes."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets, np.int64)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _fixed(rows: np.ndarray) -> pa.LargeBinaryArray:
    """The bytes of each row."""
    width = rows.shape[1] * rows.itemsize
    return _binary(np.arange(len(rows) + 1) * width, np.ascontiguousarray(rows).view(U1).reshape(-1))


def _sizes(*columns: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """What a sample begins with: the sizes of its columns that have no fixed one."""
    return _fixed(np.stack([pc.binary_length(column).to_numpy() for column in columns], axis=1).astype(U4))


def _arrays(offsets: np.ndarray, values: np.ndarray) -> pa.Array:
    """Lists of int32 as `ndarray:int32`: a byte 4 + log2(width), the length in so many bytes, the values."""
    lengths = np.diff(offsets)
    code = (lengths > 0xFF).astype(np.int64) + (lengths > 0xFFFF)
    head = np.empty((len(lengths), 5), U1)
    head[:, 0] = 4 + code
    head[:, 1:] = lengths.astype(U4).view(U1).reshape(-1, 4)
    width = 1 + (1 << code)
    heads = _binary(np.append(0, np.cumsum(width)), head[np.arange(5) < width[:, None]])
    body = _binary(4 * offsets, np.ascontiguousarray(values, "<i4").view(U1))
    return pc.binary_join_element_wise(heads, body, pa.scalar(b"", pa.large_binary()))


def pieces(path: str, piece_bytes: int, options: ReadOptions) -> list[Piece]:
    """The shard files that a folder's index lists, one piece each. Raises UserError for what cannot be read."""
    folder = path.removesuffix(f"/{INDEX}")
    return [
        Piece(join(folder, shard["raw_data"]["basename"]), 0, int(shard["samples"]), int(shard["raw_data"]["bytes"]))
        for shard in _read_index(folder)
        if shard["samples"]
    ]


def _read_index(folder: str) -> list[dict[str, Any]]:
    """The index's shards, as far as they can be read. Raises UserError."""
    path = join(folder, INDEX)
    if not exists(path):
        raise UserError(f"no {INDEX} here", where=folder, hint="name a folder written by MDSWriter")
    try:
        index = json.loads(read_bytes(path))
        shards = index["shards"]
        for shard in shards:
            if index["version"] != 2 or shard["format"] != "mds":
                raise UserError("not an MDS index of version 2", where=path, hint="rewrite it with MDSWriter")
            if shard["compression"] or shard["zip_data"]:
                name = shard["zip_data"]["basename"]
                what = f"{name} is compressed ({shard['compression']}), which is not read here"
                raise UserError(what, where=path, hint="write it without compression")
            if "/" in shard["raw_data"]["basename"]:
                raise UserError("a shard lies outside its folder", where=path, hint="rewrite it with MDSWriter")
            numbers = (int(shard["samples"]), int(shard["raw_data"]["bytes"]), len(shard["column_names"]))
            if min(numbers) < 0:
                raise ValueError(f"negative numbers in {shard['raw_data']['basename']}")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"this index cannot be read ({error!r})", where=path, hint="download or rewrite it") from error
    return shards


def read(piece: Piece, options: ReadOptions) -> Iterator[Tokens]:
    """The samples of a shard file. Raises UserError for one that is damaged or has no tokens."""
    folder, _, name = piece.path.rpartition("/")
    shard = next(entry for entry in _read_index(folder) if entry["raw_data"]["basename"] == name)
    names, sizes, encodings = shard["column_names"], shard["column_sizes"], shard["column_encodings"]
    wanted = [options.column] if options.column else TOKEN_COLUMNS
    column = next((candidate for candidate in wanted if candidate in names), None)
    if column is None:
        what = f"no column {' or '.join(wanted)} among {', '.join(names)}"
        raise UserError(what, where=piece.path, hint="name the column of token ids with --column")
    size = file_bytes(piece.path)
    raw = read_range(piece.path, 0, size, U1)
    head = U4.itemsize * (piece.last + 2)
    bounds = raw[:head].view(U4).astype(np.int64) if size >= head else np.zeros(1, np.int64)
    if size != shard["raw_data"]["bytes"] or bounds[0] != piece.last or bounds[-1] != size or not _rises(bounds[1:]):
        what = f"this shard is not the {piece.last:,} samples in {shard['raw_data']['bytes']:,} bytes of its index"
        raise UserError(what, where=piece.path, hint="it may be truncated: download it again")
    spans = _spans(raw, bounds[1:], sizes, piece.path)
    offsets, tokens = _integers(raw, spans[names.index(column)], encodings[names.index(column)], piece.path)
    lengths = None
    if LENGTHS_COLUMN in names:
        number = names.index(LENGTHS_COLUMN)
        lengths = _integers(raw, spans[number], encodings[number], piece.path)
    yield Tokens(0, offsets, tokens, lengths)


def _rises(bounds: np.ndarray) -> bool:
    return bool((np.diff(bounds) >= 0).all())


def _spans(
    raw: np.ndarray, bounds: np.ndarray, sizes: list[int | None], path: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(begins, ends) in bytes of each column of every sample."""
    variable = sum(not fixed for fixed in sizes)
    at, ends = bounds[:-1], bounds[1:]
    if (ends - at < 4 * variable).any():
        raise UserError("a sample is shorter than its column sizes say", where=path, hint="download it again")
    begins = at + 4 * variable
    spans = []
    for fixed in sizes:
        if fixed:
            width: Any = fixed
        else:
            width = raw[at[:, None] + np.arange(4)].view(U4).reshape(-1).astype(np.int64)
            at = at + 4
        spans.append((begins, begins + width))
        begins = begins + width
    if (begins != ends).any():
        raise UserError("the length of a sample differs from its column sizes", where=path, hint="download it again")
    return spans


def _integers(
    raw: np.ndarray, span: tuple[np.ndarray, np.ndarray], encoding: str, path: str
) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 (N + 1,), values) of a column of integer arrays; an array of several axes is read flat."""
    begins, ends = span
    kind, _, rest = encoding.partition(":")
    name, _, shape = rest.partition(":")
    if kind == "bytes":
        name = "int64"
    elif kind != "ndarray" or not name:
        raise UserError(f"a column of {encoding} does not contain token ids", path, "name another column with --column")
    elif not shape:
        if (ends <= begins).any():
            raise UserError("an array is shorter than its header says", where=path, hint="download it again")
        code = raw[begins].astype(np.int64)
        begins = begins + 1 + (code >> 2) * (1 << (code & 3))
    if name not in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
        raise UserError(f"a column of {encoding} does not contain token ids", path, "name another column with --column")
    dtype = np.dtype(name).newbyteorder("<")
    if ((ends < begins) | ((ends - begins) % dtype.itemsize != 0)).any():
        raise UserError(f"a column's size is not a multiple of {name}", where=path, hint="download it again")
    # Every second stretch between these bounds is what is wanted; `take` joins them.
    between = np.stack([begins, ends], axis=1).reshape(-1)
    taken = _binary(between, raw).take(pa.array(np.arange(len(begins)) * 2))
    offsets, data = _binary_buffers(taken)
    return offsets // dtype.itemsize, data.view(dtype)
