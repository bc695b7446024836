"""Files of pairs of addresses routed to partitions: a shuffle whose writer and reader both stream.

A file of `dataproc.dedup.shuffle` holds one record batch a partition, so its writer holds all of its rows. Here a file
holds chunks, each of P record batches: number c * P + k is what chunk c has for partition k. A writer holds one chunk,
a reader one record batch, and one node with a hundred million neighbours is a long file for some partition, not memory.

A route says which rows go where: by a hash of the node, which spreads nodes evenly, whatever they are, or by ranges of
the node, which makes sorted output. Rows keep their order within a partition (by hash) or are sorted (by range), so a
file is a function of what was added and of nothing else.

Cost: 30 ns a row to route by hash and write, 95 by range, most of it the sort. Memory: 66 bytes a row of a chunk. A
record batch has chunk_rows / P rows and costs some 50 us on either side, so more partitions want larger chunks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.shuffle import partition_order
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.randomness import random_bits
from corpusmill.dataproc.storage import commit_file, is_url, open_input

ROUTED_SCHEMA = pa.schema(
    [pa.field("node", pa.uint64(), nullable=False), pa.field("other", pa.uint64(), nullable=False)]
)

Rows = tuple[np.ndarray, np.ndarray]
"""Nodes, and for each the other address in its row: uint64 of shape (M,)."""

Route = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From the nodes (uint64 of shape (M,)) to (order, bounds): `order[bounds[k]:bounds[k + 1]]` are partition k's rows."""


@kernel
def _hash(nodes, hashes):
    for row in range(nodes.shape[0]):
        hashes[row] = random_bits(nodes[row], np.uint64(0))


def by_hash(partitions: int) -> Route:
    """Routes a node by the upper 32 bits of its hash."""

    def route(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hashes = np.empty(len(nodes), np.uint64)
        _hash(read_only(nodes, np.uint64), hashes)
        return partition_order(hashes, partitions)

    return route


def by_range(splitters: np.ndarray) -> Route:
    """Routes a node to the range that it lies in; `splitters` (uint64, rising) are where ranges but the first begin."""

    def route(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(nodes, kind="stable")
        return order, np.concatenate([[0], np.searchsorted(nodes[order], splitters), [len(nodes)]])

    return route


class RoutedWriter:
    """Takes rows, and writes a chunk whenever it has `chunk_rows` of them. `rows` counts them all."""

    def __init__(self, writer: pa.ipc.RecordBatchFileWriter, route: Route, chunk_rows: int) -> None:
        self._writer = writer
        self._route = route
        self._nodes, self._others = np.empty(chunk_rows, np.uint64), np.empty(chunk_rows, np.uint64)
        self._filled = 0
        self.rows = 0

    def add(self, nodes: np.ndarray, others: np.ndarray) -> None:
        """Adds rows (uint64 of shape (M,) each); they are copied."""
        taken = 0
        while taken < len(nodes):
            step = min(len(nodes) - taken, len(self._nodes) - self._filled)
            here, there = slice(self._filled, self._filled + step), slice(taken, taken + step)
            self._nodes[here], self._others[here] = nodes[there], others[there]
            self._filled, taken = self._filled + step, taken + step
            if self._filled == len(self._nodes):
                self.flush()
        self.rows += taken

    def flush(self) -> None:
        """Writes what there is as a chunk."""
        if self._filled:
            nodes, others = self._nodes[: self._filled], self._others[: self._filled]
            order, bounds = self._route(nodes)
            nodes, others = nodes[order], others[order]
            for start, stop in pairwise(bounds.tolist()):
                columns = [pa.array(nodes[start:stop]), pa.array(others[start:stop])]
                self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=ROUTED_SCHEMA))
            self._filled = 0


@contextmanager
def routed_file(path: str, route: Route, chunk_rows: int) -> Iterator[RoutedWriter]:
    """A `RoutedWriter` whose file is committed at the end of the block."""
    with commit_file(path) as file, pa.ipc.new_file(file, ROUTED_SCHEMA) as writer:
        rows = RoutedWriter(writer, route, chunk_rows)
        yield rows
        rows.flush()


@dataclass(frozen=True, kw_only=True)
class RoutedRows:
    """The rows of the partitions first to stop - 1 of routed files; iterable as often as one likes.

    Gives (nodes, others), file by file and at most a chunk at a time: uint64 views, valid until the next are asked for.
    Raises UserError for a file that is missing or not whole.
    """

    paths: list[str]
    partitions: int
    first: int
    stop: int

    def __iter__(self) -> Iterator[Rows]:
        for path in self.paths:
            yield from self._rows_of(path)

    def _rows_of(self, path: str) -> Iterator[Rows]:
        source = open_input(path)
        if not is_url(path):
            source.close()
            source = pa.memory_map(path)
        try:
            with source:
                reader = pa.ipc.open_file(source)
                for chunk in range(0, reader.num_record_batches, self.partitions):
                    for number in range(chunk + self.first, chunk + self.stop):
                        batch = reader.get_batch(number)
                        if batch.num_rows:
                            yield batch.column(0).to_numpy(), batch.column(1).to_numpy()
        except (pa.ArrowInvalid, OSError) as error:
            hint = "delete it and run the stage again"
            raise UserError(f"incomplete or damaged file of routed rows ({error})", where=path, hint=hint) from error
