"""The two-phase file shuffle: rows that share a key meet in one task, whoever made them.

Each map task writes one Arrow IPC file that holds P record batches, one a partition; reduce task k maps batch k of all
those files and reads nothing else. The files are resume state as well: a map task that has its file is done. There is
no sort in the map phase, because the reduce task has to sort the union anyway.

A partition is a range of the key's upper 32 bits. Keys here are hashes, hence uniform, so partitions are even without a
sampling pass, and P may be any number from 1 to 65,536. `key` alone is a hash of a band or the upper half of a
digest; a file may carry further columns (the digest's lower half), which travel with their row.

Cost: partitioning is a stable radix sort of 16-bit partition numbers plus one gather a column. Memory: twice the rows
of one map task; a reduce task holds M * (bytes a row) / P. On disk 16 bytes a row and about 300 bytes a batch.
"""

from itertools import pairwise

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commit_file, is_url, open_input

ROW_SCHEMA = pa.schema([pa.field("key", pa.uint64(), nullable=False), pa.field("address", pa.uint64(), nullable=False)])
"""What a shuffled row is: a key, and the 64-bit address of the document that has it."""

MAX_PARTITIONS = 1 << 16


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


def partition_slices(table: pa.Table, keys: np.ndarray, partitions: int) -> list[pa.RecordBatch]:
    """The rows of a table as a record batch for each partition of their keys, in their order; some are empty.

    Args:
        table: M rows.
        keys, partitions: as for `partition_order`.
    """
    return _slices(table, *partition_order(keys, partitions))


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


def write_partitions(path: str, batches: list[pa.RecordBatch]) -> tuple[int, str]:
    """Commits a file of P batches, number k for partition k. Returns (bytes, digest); equal rows give equal bytes."""
    with commit_file(path) as file, pa.ipc.new_file(file, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return file.bytes, file.digest


def read_partition(path: str, partition: int) -> pa.RecordBatch:
    """Batch `partition` of a file; of a local file a view of the memory map, which costs no memory of its own.

    Raises UserError when the file is missing, truncated or not one of ours.
    """
    source = open_input(path)
    if not is_url(path):
        source.close()
        source = pa.memory_map(path)
    try:
        return pa.ipc.open_file(source).get_batch(partition)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise UserError(
            f"incomplete or damaged shuffle file, or no partition {partition} ({error})",
            where=path,
            hint="delete it and run the stage again",
        ) from error
