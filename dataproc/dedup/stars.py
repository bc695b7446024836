"""Connected components out of core: alternating large-star and small-star over edge files, in bounded memory.

Where addresses do not fit into memory (`dataproc.dedup.components`: 16 bytes each), the graph is rewritten on disk
until nothing is left of it. With m(u) the smallest of u and its neighbours (Kiveris et al. 2014, "Connected Components
in MapReduce and Beyond"):

    large-star   every neighbour of u that is greater than u is joined to m(u) instead
    small-star   every neighbour of u that is smaller than u, and u itself, is joined to m(u) instead

Neither changes components, and each round of the two roughly halves the nodes that are the smaller end of any edge.
Their paper keeps every edge in every round. We set leaves aside (as Lulli et al. 2017 do): a node that is nobody's
smaller end before a small-star is left by it with one edge, to m(u); it stays attached there, so (m(u), u) is
written aside and u leaves the graph. So rounds shrink geometrically, and all of them cost about what the first two
do. When the edges that are left fit one task they are solved in core. Labels then run back: a round's leaves are
labelled from the labels of later rounds; a node without a label there is a root, its component's smallest address.

Each step is a reduce over a partition of nodes by hash, and reads the files of the step before (`routed`). It passes
over its rows twice, once for a table of each node's smallest neighbour and once to rewrite the rows. So its memory is
by node and never by edge: a node with a hundred million neighbours is one entry of the table and a long stream.
Such a node costs time in the one task that reads its stream, in the first two rounds; by then its leaves have left.

Memory of a task (`Bounds`): 72 bytes a node of its partition while the table grows, and 160 a row of a chunk. With
512 MiB a task has 3.1 million nodes and batches of 470,000 rows over all partitions; beyond some ten billion edges a
few GiB a worker keep partitions to a thousand or so, and batches from becoming tiny.
Disk: 32 bytes an edge that is left, twice, and 16 a node set aside. Every file is a function of the edges, their order
and the bounds; labels are a function of the edges alone.
Time: 1.9 us an edge of one core for 100 million edges, half of them in long chains, in 5 rounds; the first round and
the contraction before it are most of that (benchmarks/components.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.components import components, edge_blocks
from corpusmill.dataproc.dedup.routed import RoutedRows, RoutedWriter, Rows
from corpusmill.dataproc.dedup.shuffle import MAX_PARTITIONS
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.randomness import random_bits
from corpusmill.dataproc.storage import commit_file

BASE_BYTES = 224 << 20
"""What a worker holds before it does anything: Python, NumPy, Arrow and compiled kernels."""

LEAST_BYTES = 320 << 20
NODE_BYTES, CHUNK_ROW_BYTES, BLOCK_EDGE_BYTES, CORE_EDGE_BYTES = 72, 160, 160, 128

EMPTY, PLAIN, UPHELD = 0, 1, 2
"""States of a table's slot: UPHELD has a neighbour at or above itself."""

LABELS_SCHEMA = pa.schema(
    [pa.field("address", pa.uint64(), nullable=False), pa.field("label", pa.uint64(), nullable=False)]
)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What one task may hold.

    Attributes:
        partition_nodes: nodes of a partition.
        chunk_rows: rows of a chunk of a routed file.
        block_edges: edges of a block of the input.
        core_edges: edges that are solved in core, by one task.
    """

    partition_nodes: int
    chunk_rows: int
    block_edges: int
    core_edges: int

    @classmethod
    def for_memory(cls, memory_bytes: int) -> "Bounds":
        """The bounds by which a worker's resident memory stays below `memory_bytes`. Raises UserError for too few."""
        if memory_bytes < LEAST_BYTES:
            what = f"{memory_bytes >> 20} MiB are too few for components out of core"
            raise UserError(what, hint=f"give each worker at least {LEAST_BYTES >> 20} MiB")
        free = memory_bytes - BASE_BYTES
        most = free * 3 // 4
        return cls(
            partition_nodes=most // NODE_BYTES,
            chunk_rows=free // 4 // CHUNK_ROW_BYTES,
            block_edges=most // BLOCK_EDGE_BYTES,
            core_edges=most // CORE_EDGE_BYTES,
        )

    def partitions(self, edges: int) -> int:
        """How many partitions hold the nodes of so many edges, were every edge to bring two nodes of its own."""
        return min(MAX_PARTITIONS, max(1, -(-2 * edges // self.partition_nodes)))

    def partitions_a_task(self, partitions: int, rows: int) -> int:
        """How many partitions one task takes together when `rows` rows, thus at most so many nodes, are left."""
        return max(1, min(partitions, self.partition_nodes * partitions // max(rows, 1)))


@kernel_part
def _slot(node, entries, state):
    """The slot of a node, or the empty one where it would be.

    The hash differs by the table's size: rows come in the order of another table's slots, and by the same hash they
    would all crowd into one end of a table that is still growing, in quadratic time.
    """
    slots = state.shape[0]
    low = random_bits(node, np.uint64(slots)) & np.uint64(0xFFFFFFFF)
    slot = np.int64((low * np.uint64(slots)) >> np.uint64(32))
    while state[slot] != EMPTY and entries[slot, 0] != node:
        slot += 1
        if slot == slots:
            slot = np.int64(0)
    return slot


@kernel
def _insert(nodes, others, first, entries, state, used):
    """Takes rows from number `first` on until the table is three quarters full: (rows done, slots used)."""
    room = state.shape[0] * 3 // 4
    for row in range(first, nodes.shape[0]):
        node, other = nodes[row], others[row]
        slot = _slot(node, entries, state)
        if state[slot] == EMPTY:
            if used == room:
                return row, used
            entries[slot, 0] = node
            entries[slot, 1] = node
            state[slot] = PLAIN
            used += 1
        if other < entries[slot, 1]:
            entries[slot, 1] = other
        if other >= node:
            state[slot] = UPHELD
    return nodes.shape[0], used


@kernel
def _move(entries, state, new_entries, new_state):
    for old in range(state.shape[0]):
        if state[old] != EMPTY:
            slot = _slot(entries[old, 0], new_entries, new_state)
            new_entries[slot, 0] = entries[old, 0]
            new_entries[slot, 1] = entries[old, 1]
            new_state[slot] = state[old]


@kernel
def _find(nodes, entries, state, smallest):
    for row in range(nodes.shape[0]):
        slot = _slot(nodes[row], entries, state)
        smallest[row] = nodes[row] if state[slot] == EMPTY else entries[slot, 1]


class SmallestNeighbours:
    """A hash table from each node to the smallest of it and its neighbours: 17 bytes a slot, doubled when 3/4 full."""

    def __init__(self, rows: Iterable[Rows], slots: int = 1 << 12) -> None:
        self._entries, self._state = np.empty((slots, 2), np.uint64), np.zeros(slots, np.uint8)
        used = 0
        for nodes, others in rows:
            nodes, others = read_only(nodes, np.uint64), read_only(others, np.uint64)
            done, used = _insert(nodes, others, 0, self._entries, self._state, used)
            while done < len(nodes):
                self._grow()
                done, used = _insert(nodes, others, done, self._entries, self._state, used)

    def _grow(self) -> None:
        slots = 2 * len(self._state)
        entries, state = np.empty((slots, 2), np.uint64), np.zeros(slots, np.uint8)
        _move(self._entries, self._state, entries, state)
        self._entries, self._state = entries, state

    def smallest(self, nodes: np.ndarray) -> np.ndarray:
        """m(u) of each node, uint64 of shape (M,); the node itself where the table has none."""
        smallest = np.empty(len(nodes), np.uint64)
        _find(read_only(nodes, np.uint64), self._entries, self._state, smallest)
        return smallest

    def blocks(self, slots: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(nodes, smallest, upheld) of so many slots at a time; `upheld` says which have a neighbour at or above."""
        for first in range(0, len(self._state), slots):
            state = self._state[first : first + slots]
            entries = self._entries[first : first + slots][state != EMPTY]
            yield entries[:, 0], entries[:, 1], state[state != EMPTY] == UPHELD

    def quantiles(self, count: int) -> np.ndarray:
        """At most `count` distinct nodes, rising, that cut the nodes into parts of equal size."""
        return quantiles(self._entries[self._state != EMPTY, 0], count)


def quantiles(nodes: np.ndarray, count: int) -> np.ndarray:
    """At most `count` distinct nodes, rising, that cut `nodes` (uint64) into count + 1 parts of equal size."""
    if not len(nodes) or not count:
        return np.empty(0, np.uint64)
    return distinct(np.sort(nodes)[np.arange(1, count + 1) * len(nodes) // (count + 1)])


def distinct(nodes: np.ndarray) -> np.ndarray:
    """Every value once, rising, by a sort: NumPy 2.4's `unique` hashes, and took twenty times as long for addresses."""
    ordered = np.sort(nodes)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def contract(paths: list[str], block_edges: int, edges: RoutedWriter, aside: RoutedWriter) -> None:
    """Writes the edges of files as rows in both directions, each block as stars: what joins its nodes, and no more.

    Pairs are found in several bands, so a block repeats itself, and clusters that it holds whole are done here. A node
    with loops alone is written aside as its own leaf.
    """
    for left, right in edge_blocks(paths, block_edges):
        addresses, labels = components(left, right)
        leaf = addresses != labels
        addresses, labels, roots = addresses[leaf], labels[leaf], addresses[~leaf]
        edges.add(addresses, labels)
        edges.add(labels, addresses)
        alone = np.delete(roots, np.searchsorted(roots, distinct(labels)))
        aside.add(alone, alone)


def large_star(rows: RoutedRows, out: RoutedWriter, chunk_rows: int) -> SmallestNeighbours:
    """From rows of edges in both directions to rows (v, m(u)) with v > m(u), and (m, m) for every m among them."""
    table = SmallestNeighbours(rows)
    for nodes, others in rows:
        up = others > nodes
        out.add(others[up], table.smallest(nodes[up]))
    for _, smallest, upheld in table.blocks(chunk_rows):
        ends = distinct(smallest[upheld])
        out.add(ends, ends)
    return table


def small_star(rows: RoutedRows, edges: RoutedWriter, aside: RoutedWriter, chunk_rows: int) -> None:
    """From the rows of a large-star to the edges that are left, in both directions, and the leaves: rows (m(u), u)."""
    table = SmallestNeighbours(rows)
    for nodes, others in rows:
        smallest = table.smallest(nodes)
        moved = (others < nodes) & (others != smallest)
        edges.add(others[moved], smallest[moved])
        edges.add(smallest[moved], others[moved])
    for nodes, smallest, upheld in table.blocks(chunk_rows):
        linked, leaf = upheld & (smallest < nodes), ~upheld
        edges.add(nodes[linked], smallest[linked])
        edges.add(smallest[linked], nodes[linked])
        aside.add(smallest[leaf], nodes[leaf])


def solve(rows: Iterable[Rows]) -> tuple[np.ndarray, np.ndarray]:
    """(addresses, labels) of the edges that are left, in core."""
    none = np.empty(0, np.uint64)
    left, right = [none], [none]
    for nodes, others in rows:
        up = nodes > others  # each edge is there in both directions
        left.append(nodes[up])
        right.append(others[up])
    return components(np.concatenate(left), np.concatenate(right))


def put_labels(nodes: np.ndarray, labels: np.ndarray, later: RoutedWriter | None, result: RoutedWriter) -> None:
    """Writes labels as results, with their roots, and for the rounds before, where a node without one is a root."""
    if later is not None:
        later.add(nodes, labels)
    result.add(nodes, labels)
    roots = distinct(labels)
    result.add(roots, roots)


def label_leaves(
    leaves: Iterable[Rows], labels: Iterable[Rows], later: RoutedWriter | None, result: RoutedWriter
) -> None:
    """Labels a round's leaves, given as rows (m, leaf), from all labels of later rounds, rows (node, label)."""
    table = SmallestNeighbours(labels)
    for hubs, nodes in leaves:
        put_labels(nodes, table.smallest(hubs), later, result)


def write_labels(path: str, rows: Iterable[Rows]) -> dict[str, int | str]:
    """Commits the labels of one range of addresses: one record batch, rising addresses, each once.

    Holds the range: 72 bytes a row. Returns rows, the first and last address (where there is one), bytes and digest.
    """
    none = np.empty(0, np.uint64)
    pieces = [(none, none), *((nodes.copy(), labels.copy()) for nodes, labels in rows)]
    addresses, labels = (np.concatenate([piece[i] for piece in pieces]) for i in (0, 1))
    del pieces
    order = np.argsort(addresses)
    addresses, labels = addresses[order], labels[order]
    # A root comes with every chunk that has leaves of it, a node with a loop also as its own leaf: the least is right.
    starts = np.flatnonzero(np.concatenate([[True], addresses[1:] != addresses[:-1]])) if len(addresses) else order
    addresses, labels = addresses[starts], np.minimum.reduceat(labels, starts) if len(starts) else labels
    batch = pa.RecordBatch.from_arrays([pa.array(addresses), pa.array(labels)], schema=LABELS_SCHEMA)
    with commit_file(path) as file, pa.ipc.new_file(file, LABELS_SCHEMA) as writer:
        writer.write_batch(batch)
    ends = {"first": int(addresses[0]), "last": int(addresses[-1])} if len(addresses) else {}
    return {"rows": len(addresses), "bytes": file.bytes, "digest": file.digest, **ends}
