"""Rows of two sides brought together by a key of 128 bits, in bounded memory: an external hash join.

Each row is a key and a few numbers. Rows are divided by the first bits of their keys into partitions, small enough to
be sorted in memory, and wait for that in files of a temporary folder (`TMPDIR` names another place for it). So memory
depends on `PARTITION_BYTES` and not on the rows; what few rows there are never leaves memory. Partitions come in the
order of their keys, and the rows of a key in the order in which they were added: the result is the same whatever the
number of partitions.

Disk: the bytes of all rows, once. Memory: `WAITING_BYTES` of rows that wait to be written, and one partition with its
sorted copy: about 200 MB for rows of 48 bytes, as long as `MOST_PARTITIONS` are enough (64 GiB of rows; beyond, a
partition grows in proportion).
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.dataproc.kernels.buffers import text_buffers

PARTITION_BYTES = 32 << 20
WAITING_BYTES = 32 << 20
MOST_PARTITIONS = 2048
KEY = [("high", "<u8"), ("low", "<u8")]


def row_type(*fields: tuple[str, str]) -> np.dtype:
    """The dtype of rows: a key, and further numbers."""
    return np.dtype([*KEY, *fields])


def keys_of(texts: pa.Array) -> np.ndarray:
    """The key of each string, xxh3 in 128 bits: uint64 of shape (N, 2). 0.25 microseconds a string and its bytes."""
    offsets, data = text_buffers(texts)
    view, digest = np.ascontiguousarray(data).data, xxhash.xxh3_128_digest
    whole = b"".join(digest(view[start:stop]) for start, stop in pairwise(offsets.tolist()))
    return np.frombuffer(whole, ">u8").astype(np.uint64).reshape(-1, 2)


class Pairing:
    """Takes rows of both sides, then gives them back by partition. A context manager, which removes the files.

    Args:
        dtype: of the rows, made by `row_type`.
        expected_rows: of both sides together; more are taken as well, in larger partitions.
    """

    def __init__(self, dtype: np.dtype, expected_rows: int, partition_bytes: int = PARTITION_BYTES) -> None:
        self._dtype = dtype
        wanted = -(-expected_rows * dtype.itemsize // partition_bytes)
        self._bits = min(max(wanted - 1, 0).bit_length(), MOST_PARTITIONS.bit_length() - 1)
        self._waiting: dict[tuple[int, int], list[np.ndarray]] = {}
        self._waiting_bytes = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "Pairing":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._waiting.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, side: int, rows: np.ndarray) -> None:
        """Takes rows of a side, 0 or 1."""
        for partition, share in self._divided(rows):
            self._waiting.setdefault((partition, side), []).append(share)
            self._waiting_bytes += share.nbytes
        if self._bits and self._waiting_bytes > WAITING_BYTES:
            self._spill()

    def partitions(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(rows of side 0, rows of side 1) of each partition, in the order of the keys; only once."""
        for partition in range(1 << self._bits):
            yield self._taken(partition, 0), self._taken(partition, 1)

    def _divided(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        if not self._bits:
            yield 0, rows
            return
        numbers = (rows["high"] >> np.uint64(64 - self._bits)).astype(np.int64)
        order = np.argsort(numbers, kind="stable")
        divided, ends = rows[order], np.cumsum(np.bincount(numbers, minlength=1 << self._bits))
        for partition, (start, end) in enumerate(pairwise([0, *ends.tolist()])):
            if end > start:
                yield partition, divided[start:end]

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="corpusmill-pairing-")
        for (partition, side), shares in self._waiting.items():
            with self._path(partition, side).open("ab") as file:
                file.writelines(np.ascontiguousarray(share).data for share in shares)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _taken(self, partition: int, side: int) -> np.ndarray:
        rows = self._waiting.pop((partition, side), [])
        if self._folder is not None and (path := self._path(partition, side)).exists():
            rows.insert(0, np.fromfile(path, self._dtype))
            path.unlink()
        return np.concatenate(rows) if rows else np.zeros(0, self._dtype)

    def _path(self, partition: int, side: int) -> Path:
        assert self._folder is not None
        return Path(self._folder.name, f"{side}-{partition:04d}")


@dataclass(frozen=True)
class Pairs:
    """Which rows of two sides go together, as row numbers of each: `first[n]` with `second[n]`, by key."""

    first: np.ndarray
    second: np.ndarray
    only_first: np.ndarray
    only_second: np.ndarray
    repeated: tuple[int, int]
    """Rows of each side whose key stood in an earlier one."""


def pair(first: np.ndarray, second: np.ndarray) -> Pairs:
    """Pairs rows by their keys; the n-th row with a key goes with the n-th of the other side."""
    high = np.concatenate([first["high"], second["high"]])
    low = np.concatenate([first["low"], second["low"]])
    side = np.repeat(np.array([0, 1], np.uint8), [len(first), len(second)])
    order = np.argsort(high, kind="stable")  # rows of a key stay in their order, those of the first side before
    new_key = _changes(high[order]) | _changes(low[order])
    if (new_key & ~_changes(high[order])).any():  # two keys that share half of their bits
        order = np.lexsort((low, high))
        new_key = _changes(high[order]) | _changes(low[order])
    sides = side[order]
    new_run = new_key.copy()
    new_run |= _changes(sides)
    position = np.arange(len(high))
    occurrence = position - np.maximum.accumulate(np.where(new_run, position, 0))
    repeated = np.bincount(sides[occurrence > 0], minlength=2)
    if repeated.any():
        group = np.cumsum(new_key)
        again = np.lexsort((sides, occurrence, group))
        order, sides, group, occurrence = order[again], sides[again], group[again], occurrence[again]
        joined = (group[1:] == group[:-1]) & (occurrence[1:] == occurrence[:-1])
    else:
        joined = ~new_key[1:]
    left = np.flatnonzero(joined)
    alone = np.ones(len(high), bool)
    alone[left], alone[left + 1] = False, False
    lone, lone_sides = order[alone], sides[alone]
    return Pairs(
        order[left],
        order[left + 1] - len(first),
        lone[lone_sides == 0],
        lone[lone_sides == 1] - len(first),
        (int(repeated[0]), int(repeated[1])),
    )


def _changes(values: np.ndarray) -> np.ndarray:
    """Whether each value differs from the one before it; the first one does."""
    changed = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed


def mixed(values: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits scattered (SplitMix64's last steps), to be combined into one hash of a row."""
    state = values.astype(np.uint64)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def column_hashes(column: Any) -> np.ndarray:
    """A hash of each value of a column, null being a value, too: uint64 of shape (N,).

    Of strings that seem to repeat each is hashed once a batch; what is neither text nor a number (a list, a date) is
    hashed by its spelling, a value at a time.
    """
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not column.null_count:
        return _value_hashes(column)
    hashes = np.full(len(column), _NULL, np.uint64)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if valid.any():
        hashes[valid] = _value_hashes(column.drop_null())
    return hashes


_NULL = 0x9E3779B97F4A7C15


def _value_hashes(column: pa.Array) -> np.ndarray:
    kind = column.type
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        if len(column) and column[0].equals(column[len(column) - 1]):  # likely one of few values
            encoded = column.dictionary_encode()
            return keys_of(encoded.dictionary)[:, 1][encoded.indices.to_numpy()]
        return keys_of(column)[:, 1]
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return mixed(column.to_numpy(zero_copy_only=False).astype(np.int64, casting="unsafe").view(np.uint64))
    if pa.types.is_floating(kind):
        return mixed(column.to_numpy(zero_copy_only=False).astype(np.float64).view(np.uint64))
    texts = [str(value) for value in column.to_pylist()]
    return keys_of(pa.array(texts, pa.large_string()))[:, 1]


def combined(columns: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """One hash a row from those of its columns, in their order."""
    total = np.zeros(rows, np.uint64)
    for hashes in columns:
        total = mixed(total * np.uint64(0x100000001B3) ^ hashes)
    return total
