"""The two-phase file shuffle: rows that share a key meet in one task, whoever made them.

Each map task writes one file that holds P record batches, one a partition; reduce task k maps batch k of all those
files and reads nothing else. The files are resume state as well: a map task that has its file is done. There is no sort
in the map phase, because the reduce task has to sort the union anyway. A file is

    schema          an Arrow message
    P batches       an Arrow message each
    P + 1 places    u64: where each batch begins, and where the last one ends
    32 bytes        bytes and checksum of the schema, P, the magic

so a read of one batch takes 48 bytes besides it, whatever P is, and a schema that was read before is not read again. In
an object store requests count for more than bytes: there one brings the end of a file, or all of a small one, and
another the batch.
(An Arrow file's footer grows with P and is read whole: of 25,000 files of 4,096 batches, 60 TB of text, they would be a
sixth of the text.)

A partition may be more than a task should hold. Then rows are sorted by key in the map phase, and the reduce task goes
through the partition in passes, each a range of keys, which is a slice of every batch (`key_ranges`).

A partition is a range of the key's upper 32 bits. Keys here are hashes, hence uniform, so partitions are even without a
sampling pass, and P may be any number from 1 to 65,536. `key` alone is a hash of a band or the upper half of a
digest; a file may carry further columns (the digest's lower half), which travel with their row.

Cost: partitioning is a stable radix sort of 16-bit partition numbers plus one gather a column. Memory: twice the rows
of one map task; a reduce task holds M * (bytes a row) / P. On disk 16 bytes a row and about 250 bytes a batch.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, pairwise

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commit_file, is_url, open_input

ROW_SCHEMA = pa.schema([pa.field("key", pa.uint64(), nullable=False), pa.field("address", pa.uint64(), nullable=False)])
"""What a shuffled row is: a key, and the 64-bit address of the document that has it."""

MAX_PARTITIONS = 1 << 16
MAGIC = b"CMSHUF01"
_TRAILER = struct.Struct("<QQQ8s")
READ_BYTES = _TRAILER.size + 16
"""What is read of a file besides a batch, when its schema is known."""
END_BYTES = _TRAILER.size + 8 * 4097
"""What is read of the end of a file in a store at first: a small file whole, and all places of up to 4,096 batches."""


def partition_order(keys: np.ndarray, partitions: int) -> tuple[np.ndarray, np.ndarray]:
    """(order, bounds): `order[bounds[k]:bounds[k + 1]]` are the rows of partition k, in their own order.

    Args:
        keys: uint64 of shape (M,), uniform (hashes).
        partitions: how many, 1 to 65,536.
    """
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise ValueError(f"partitions must be 1 to {MAX_PARTITIONS}, not {partitions}")
    number = (((keys >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)).astype(np.uint16)
    order = np.argsort(number, kind="stable")
    bounds = np.zeros(partitions + 1, np.int64)
    np.cumsum(np.bincount(number, minlength=partitions), out=bounds[1:])
    return order, bounds


def partition_rows(keys: np.ndarray, addresses: np.ndarray, partitions: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows (key, address) of each partition: `partitions` pairs of uint64 arrays, some of them empty."""
    order, bounds = partition_order(keys, partitions)
    keys, addresses = keys[order], addresses[order]
    return [(keys[a:b], addresses[a:b]) for a, b in pairwise(bounds.tolist())]


def row_batch(keys: np.ndarray, addresses: np.ndarray) -> pa.RecordBatch:
    """A record batch of `ROW_SCHEMA`; the arrays are not copied."""
    return pa.RecordBatch.from_arrays(
        [pa.array(keys, pa.uint64()), pa.array(addresses, pa.uint64())], schema=ROW_SCHEMA
    )


def partition_slices(
    table: pa.Table, keys: np.ndarray, partitions: int, *, by_key: bool = False
) -> list[pa.RecordBatch]:
    """The rows of a table as a record batch for each partition of their keys, in their order; some are empty.

    Args:
        table: M rows.
        keys, partitions: as for `partition_order`.
        by_key: sorts them by key, for `rows_between`.
    """
    order, bounds = partition_order(keys, partitions)
    return _slices(table, np.argsort(keys, kind="stable") if by_key else order, bounds)


def slices_by_number(table: pa.Table, numbers: np.ndarray, count: int) -> list[pa.RecordBatch]:
    """The rows of a table as a record batch for each number from 0 to `count` - 1; rows keep their order.

    Args:
        table: M rows.
        numbers: int64 of shape (M,), each below `count`.
    """
    order = np.argsort(numbers, kind="stable")
    return _slices(table, order, np.searchsorted(numbers[order], np.arange(count + 1)))


def _slices(table: pa.Table, order: np.ndarray, bounds: np.ndarray) -> list[pa.RecordBatch]:
    taken = table.take(pa.array(order)).combine_chunks()
    columns = [column.combine_chunks() for column in taken]
    whole = pa.RecordBatch.from_arrays(columns, schema=table.schema)
    return [whole.slice(start, stop - start) for start, stop in pairwise(bounds.tolist())]


def spread(addresses: np.ndarray) -> np.ndarray:
    """Keys to partition by for numbers that are not hashes, such as labels: uint64, a bijection of them."""
    return addresses.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


_schemas: dict[int, pa.Schema] = {}
"""Those that were read, by their checksums; a process meets a handful."""


def key_ranges(partition: int, partitions: int, passes: int) -> list[tuple[int, int]]:
    """(first, stop) keys of each pass through a partition, which together are all of it."""
    fine = partitions * passes
    bounds = [-(-(number << 32) // fine) << 32 for number in range(partition * passes, (partition + 1) * passes + 1)]
    return list(pairwise(bounds))


def rows_between(batch: pa.RecordBatch, column: str, first: int, stop: int) -> pa.RecordBatch:
    """The slice of a batch, sorted by a column of keys, that has keys from `first` up to `stop`, which is not in it."""
    keys = batch.column(column).to_numpy()
    start = int(np.searchsorted(keys, np.uint64(first)))
    end = len(keys) if stop > 0xFFFFFFFFFFFFFFFF else int(np.searchsorted(keys, np.uint64(stop)))
    return batch.slice(start, end - start)


def write_partitions(path: str, batches: Iterable[pa.RecordBatch]) -> tuple[int, str]:
    """Commits a file of P batches, number k for partition k. Returns (bytes, digest); equal rows give equal bytes.

    More rows than a task should hold may come in pieces, P batches after P batches, which `read_pieces` reads.
    """
    coming = iter(batches)
    first = next(coming)
    schema = first.schema.serialize()
    places = [schema.size]
    with commit_file(path) as file:
        file.write(schema)
        for batch in chain([first], coming):
            message = batch.serialize()
            file.write(message)
            places.append(places[-1] + message.size)
        file.write(np.array(places, "<u8").tobytes())
        file.write(_TRAILER.pack(schema.size, xxhash.xxh3_64_intdigest(schema), len(places) - 1, MAGIC))
    return file.bytes, file.digest


def read_pieces(path: str, partition: int, partitions: int) -> list[pa.RecordBatch]:
    """The batches of one of P partitions in a file that was written in pieces, in their order."""
    first = read_partition(path, partition)
    return [
        first,
        *(read_partition(path, number) for number in range(partition + partitions, batches_in(path), partitions)),
    ]


def batches_in(path: str) -> int:
    """How many batches a file holds. Raises UserError for one that is not ours."""
    with _sound(path, "its end"):
        read = _ranges(path)
        *_, count, magic = _TRAILER.unpack(read(-_TRAILER.size, _TRAILER.size))
        if magic != MAGIC:
            raise ValueError("its end marker is missing")
        return int(count)


def read_partition(path: str, partition: int) -> pa.RecordBatch:
    """Batch `partition` of a file; of a local file a view of the memory map, which costs no memory of its own.

    Raises UserError when the file is missing, truncated or not one of ours.
    """
    with _sound(path, f"partition {partition}"):
        read = _ranges(path)
        schema_bytes, checksum, partitions, magic = _TRAILER.unpack(read(-_TRAILER.size, _TRAILER.size))
        if magic != MAGIC or not 0 <= partition < partitions:
            raise ValueError("no such partition" if magic == MAGIC else "its end marker is missing")
        place = np.frombuffer(read(-_TRAILER.size - 8 * (partitions + 1 - partition), 16), "<u8").astype(np.int64)
        schema = _schemas.get(checksum)
        if schema is None:
            described = read(0, schema_bytes)
            if xxhash.xxh3_64_intdigest(described) != checksum:
                raise ValueError("its schema is not as it was written")
            schema = _schemas[checksum] = pa.ipc.read_schema(described)
        return pa.ipc.read_record_batch(read(int(place[0]), int(place[1] - place[0])), schema)


@contextmanager
def _sound(path: str, what: str) -> Iterator[None]:
    """Turns what reading a damaged file raises into a UserError."""
    try:
        yield
    except (pa.ArrowInvalid, OSError, ValueError, struct.error) as error:
        raise UserError(
            f"incomplete or damaged shuffle file, or no {what} ({error})",
            where=path,
            hint="delete it and run the stage again",
        ) from error


def _ranges(path: str) -> Callable[[int, int], pa.Buffer]:
    """Reads (first byte, bytes) of a file, from its end where the first is negative: of a map; or of its last bytes,
    which one request brings, and the rest by a request each."""
    if not is_url(path):
        open_input(path).close()
        mapped = pa.memory_map(path)
        size = mapped.size()

        def read(first: int, count: int) -> pa.Buffer:
            mapped.seek(_start(first, count, size))
            return mapped.read_buffer(count)

        return read
    end = storage.read_end(path, END_BYTES)
    whole = len(end) < END_BYTES
    size = len(end) if whole else _size_by(end, path)

    def fetch(first: int, count: int) -> pa.Buffer:
        start = _start(first, count, size)
        if start >= size - len(end):
            return pa.py_buffer(end).slice(start - (size - len(end)), count)
        return pa.py_buffer(storage.read_range(path, start, count))

    return fetch


def _size_by(end: bytes, path: str) -> int:
    """Bytes of a whole file, by its end: where the last batch ends, and what comes behind it."""
    _, _, partitions, magic = _TRAILER.unpack(end[-_TRAILER.size :])
    if magic != MAGIC:
        raise ValueError("its end marker is missing")
    behind = 8 * (partitions + 1) + _TRAILER.size
    last = end[-_TRAILER.size - 8 : -_TRAILER.size]
    return int(np.frombuffer(last, "<u8")[0]) + behind


def _start(first: int, count: int, size: int) -> int:
    start = size + first if first < 0 else first
    if start < 0 or count < 0 or start + count > size:
        raise ValueError("it is truncated")
    return start
