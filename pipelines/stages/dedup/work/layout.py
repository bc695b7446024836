"""Where documents are: parts, and blocks of consecutive parts, which are what a task works on and a file is made for.

A document's address is its part's number and its row (`dataproc.documents.address`). Parts may be many (450,000 for
60 TB), and every file that the phases hand on would be read by every partition; so files are made by block, and there
are some ten thousand of those at the most. The layout is written once, as a file, since a task's arguments are kept
for each of them.
"""

from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import batches_of_part
from corpusmill.dataproc.documents import split_address
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.blocks import LayoutWork
from corpusmill.pipelines.stages.dedup.arguments import SigningWork

LAYOUT = "layout.arrow"
AnySigning = TypeVar("AnySigning", bound=SigningWork)


def write_layout(task: TaskContext[LayoutWork]) -> dict[str, Any]:
    """The layout as a file of the stage's work folder: a row a part."""
    table = pa.table(asdict(task.arguments))
    write_ipc(task.work_path(LAYOUT), table)
    return {"parts": table.num_rows}


@lru_cache(maxsize=1)
def _read_layout(path: str, driver: str) -> pa.Table:
    """The layout as this driver's run has it: read once by a worker, and not by each of its tasks."""
    return read_ipc(path)


class Layout:
    """The layout, as a task of a later phase reads it.

    Attributes:
        path: of each part.
        rows, block: of each part, int64.
        protected: of each part, whether its documents stay whatever they are like.
        first_row: int64, the row of its block at which each part begins.
    """

    def __init__(self, task: TaskContext) -> None:
        table = _read_layout(task.work_path(LAYOUT), task.call.lease)
        self.path: list[str] = table["path"].to_pylist()
        self.rows = table["rows"].to_numpy()
        self.block = table["block"].to_numpy()
        self.protected = table["protected"].to_numpy()
        before = np.cumsum(self.rows) - self.rows
        self.first_row = before - before[np.searchsorted(self.block, self.block)]

    @cached_property
    def blocks(self) -> int:
        """How many blocks there are."""
        return int(self.block[-1]) + 1 if len(self.block) else 0

    def parts_of(self, block: int) -> range:
        """Numbers of a block's parts."""
        return range(*np.searchsorted(self.block, (block, block + 1)).tolist())

    def rows_of(self, block: int) -> int:
        """Rows of all its parts."""
        return int(self.rows[list(self.parts_of(block))].sum())

    def place(self, addresses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(block, row of the block) of addresses, both int64."""
        part, row = split_address(addresses)
        return self.block[part], self.first_row[part] + row

    def is_protected(self, addresses: np.ndarray) -> np.ndarray:
        """Whether the documents at these addresses are of a protected dataset: bool."""
        return self.protected[split_address(addresses)[0]]


def block_name(block: int) -> str:
    """What the files of a block are called, without their ending."""
    return f"block-{block:05d}"


def partition_name(partition: int) -> str:
    """What the files of a partition are called, without their ending."""
    return f"partition-{partition:04d}"


def write_ipc(path: str, table: pa.Table) -> int:
    """Commits a table as an Arrow IPC file; gives its bytes."""
    with storage.commit_file(path) as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.bytes


def read_ipc(path: str) -> pa.Table:
    """A whole Arrow IPC file; a local one as views of its memory map."""
    if storage.is_url(path):
        return pa.ipc.open_file(pa.BufferReader(storage.read_bytes(path))).read_all()
    return pa.ipc.open_file(pa.memory_map(path)).read_all()


def batches_of(file: pq.ParquetFile, path: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a part that is open, after a batch without any: a part that has no rows still tells its columns."""
    fields = [file.schema_arrow.field(name) for name in columns]
    yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in fields], names=columns)
    yield from batches_of_part(file, path, columns)


class BlockRows:
    """A fixed number of bytes for each row of every block, in one file a block, read by address.

    Args:
        folder: of the work folder.
        dtype, width: of a row's values.
    """

    def __init__(self, task: TaskContext, layout: Layout, folder: str, dtype: Any, width: int) -> None:
        self._task, self._layout, self._folder = task, layout, folder
        self._dtype, self._width = dtype, width

    def path(self, block: int) -> str:
        return self._task.work_path(self._folder, f"{block_name(block)}.bin")

    def write(self, block: int, rows: np.ndarray) -> None:
        """Commits a block's rows, in the order of its parts."""
        with storage.commit_file(self.path(block)) as out:
            out.write(np.ascontiguousarray(rows, self._dtype).reshape(-1).data)

    def take(self, addresses: np.ndarray) -> np.ndarray:
        """The rows at these addresses: (N, width); one read for each block that has some of them."""
        block, row = self._layout.place(addresses)
        taken = np.empty((len(addresses), self._width), self._dtype)
        for number in np.flatnonzero(np.bincount(block)).tolist():
            here = np.flatnonzero(block == number)
            path = self.path(number)
            if storage.is_url(path):
                flat = np.frombuffer(storage.read_bytes(path), self._dtype)
            else:
                flat = np.memmap(path, self._dtype, "r")
            taken[here] = flat.reshape(-1, self._width)[row[here]]
        return taken


def signature_rows(task: TaskContext[AnySigning], layout: Layout) -> BlockRows:
    """Signatures, uint32 (N, permutations)."""
    return BlockRows(task, layout, "signatures", np.uint32, task.arguments.permutations)


def digest_rows(task: TaskContext, layout: Layout) -> BlockRows:
    """128-bit digests, uint64 (N, 2)."""
    return BlockRows(task, layout, "digests_by_row", np.uint64, 2)


def number_rows(task: TaskContext, layout: Layout) -> BlockRows:
    """A number of each document that follows from its id, uint64 (N, 1): what buckets are ordered by."""
    return BlockRows(task, layout, "numbers", np.uint64, 1)
