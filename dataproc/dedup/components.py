"""Connected components in core: a union-find over edges in memory or from files; labels are smallest addresses.

A component's label is its smallest address. Links always go from the greater root to the smaller one, so the root of a
tree is its smallest node at any time and the labels are a function of the edge set alone; path halving keeps finds near
constant and needs neither recursion nor a second pass (Tarjan and van Leeuwen 1984 give O(log n) amortised for linking
by any fixed order with halving).

Edges pass by twice, in blocks. The first pass merges each block's ends into one rising array of addresses, in its own
buffer; the second turns the ends of a block into places in that array and unites them. Both sort a block and then
walk the array beside it, which is several times faster than a search for each end.

Memory: 16 bytes a node (address and parent, which becomes the label in place), 80 an edge of a block (80 MiB for
`EDGE_BLOCK`), and one record batch of a file. 100 million edges over 95 million nodes, in blocks of 4 Mi edges, peak at
1.9 GiB resident. Time: 0.5 us an edge there, on one core (benchmarks/components.py). Each block costs a walk over all
addresses, so larger graphs want wider blocks. Where 16 bytes a node are too many, `dataproc.dedup.stars` gives the same
labels from disk.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel

EDGE_BLOCK = 1 << 20
"""Edges whose ends are turned into node numbers at a time, where the caller does not say."""

Edges = tuple[np.ndarray, np.ndarray]
"""Two uint64 arrays of shape (E,): the addresses that each edge joins."""


@kernel
def _join(parent, left, right):
    """Unites the two nodes of every edge in `parent` (int64 of shape (N,)); parents are never greater than children."""
    for edge in range(left.shape[0]):
        a, b = left[edge], right[edge]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        else:
            parent[a] = b


@kernel
def _flatten(parent):
    """Points every node at its root, in one rising pass: a parent is smaller and therefore done before its children."""
    for node in range(parent.shape[0]):
        parent[node] = parent[parent[node]]


@kernel
def _name(roots, addresses, labels):
    """`labels[i] = addresses[roots[i]]`; `labels` may be the memory of `roots`."""
    for node in range(roots.shape[0]):
        labels[node] = addresses[roots[node]]


@kernel
def _keep_fresh(known, ends):
    """Moves the distinct values of `ends` (rising) that `known` (strictly rising) lacks to its front; how many."""
    at, fresh, last = 0, 0, np.uint64(0)
    for i in range(ends.shape[0]):
        end = ends[i]
        if i > 0 and end == last:
            continue
        last = end
        while at < known.shape[0] and known[at] < end:
            at += 1
        if at == known.shape[0] or known[at] != end:
            ends[fresh] = end
            fresh += 1
    return fresh


@kernel
def _merge(addresses, known, fresh):
    """Merges `fresh` (rising) into the first `known` values of `addresses`, from the back, so no other buffer is
    needed; both have no value in common, and `addresses` has room for exactly both."""
    a, b = known - 1, fresh.shape[0] - 1
    for place in range(addresses.shape[0] - 1, -1, -1):
        if b < 0:
            break
        if a >= 0 and addresses[a] > fresh[b]:
            addresses[place] = addresses[a]
            a -= 1
        else:
            addresses[place] = fresh[b]
            b -= 1


@kernel
def _number(addresses, ends, order, numbers):
    """`numbers[order[i]]` is the place of `ends[order[i]]` in `addresses`; both are walked in rising order."""
    at = 0
    for i in range(order.shape[0]):
        end = ends[order[i]]
        while addresses[at] < end:
            at += 1
        numbers[order[i]] = at


def component_labels(nodes: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The smallest node of each node's component: int64 of shape (nodes,).

    Args:
        nodes: how many nodes there are, numbered from 0.
        left, right: int64 of shape (E,), the nodes of each edge; loops and repeated edges are harmless.
    """
    parent = np.arange(nodes, dtype=np.int64)
    _join(parent, read_only(left, np.int64), read_only(right, np.int64))
    _flatten(parent)
    return parent


def _distinct_addresses(blocks: Iterable[Edges]) -> np.ndarray:
    """Every address that has an edge, once and rising, in one buffer that grows by what each block adds."""
    addresses = np.empty(0, np.uint64)
    for left, right in blocks:
        ends = np.concatenate([left, right])
        ends.sort()
        fresh = _keep_fresh(addresses, ends)
        known = len(addresses)
        addresses.resize(known + fresh, refcheck=False)  # no copy: the system moves the pages of a large array
        _merge(addresses, known, ends[:fresh])
    return addresses


def _components(blocks: Callable[[], Iterable[Edges]]) -> tuple[np.ndarray, np.ndarray]:
    """(addresses, labels) of the edges that `blocks()` gives, which is called twice."""
    addresses = _distinct_addresses(blocks())
    parent = np.arange(len(addresses), dtype=np.int64)
    for left, right in blocks():
        ends = np.concatenate([left, right])
        numbers = np.empty(len(ends), np.int64)
        _number(addresses, ends, np.argsort(ends), numbers)
        _join(parent, read_only(numbers[: len(left)], np.int64), read_only(numbers[len(left) :], np.int64))
    _flatten(parent)
    labels = parent.view(np.uint64)
    _name(parent, addresses, labels)
    return addresses, labels


def components(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Components of a graph given by edges between addresses.

    Args:
        left, right: uint64 of shape (E,).

    Returns:
        (addresses, labels), uint64 of shape (n,): every address that has an edge, rising, and the smallest address of
        its component. Addresses without an edge are components of their own and are not listed.
    """
    left, right = np.asarray(left, np.uint64), np.asarray(right, np.uint64)

    def blocks() -> Iterator[Edges]:
        for start in range(0, len(left), EDGE_BLOCK):
            yield left[start : start + EDGE_BLOCK], right[start : start + EDGE_BLOCK]

    return _components(blocks)


def components_of_files(paths: Sequence[str], *, block_edges: int = 4 * EDGE_BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """Components of the edges in Arrow IPC files, as `components` gives them; the files are read twice.

    Args:
        paths: files with the columns `left` and `right` (uint64), by path or URL, in any order.
        block_edges: edges held at a time, 80 bytes each.
    """
    return _components(lambda: edge_blocks(paths, block_edges))


def edge_blocks(paths: Iterable[str], block_edges: int) -> Iterator[Edges]:
    """The edges of Arrow IPC files in blocks of `block_edges` (the last may be smaller), whatever their record batches.

    The arrays of a block are filled again for the next one. Also holds one record batch of a file. Raises UserError
    for a file that is not whole, or has no such columns.
    """
    left, right = np.empty(block_edges, np.uint64), np.empty(block_edges, np.uint64)
    filled = 0
    for path in paths:
        for batch in _edge_batches(path):
            ends = batch.column("left").to_numpy(), batch.column("right").to_numpy()
            taken = 0
            while taken < batch.num_rows:
                step = min(batch.num_rows - taken, block_edges - filled)
                left[filled : filled + step] = ends[0][taken : taken + step]
                right[filled : filled + step] = ends[1][taken : taken + step]
                filled, taken = filled + step, taken + step
                if filled == block_edges:
                    yield left, right
                    filled = 0
    if filled:
        yield left[:filled], right[:filled]


def _edge_batches(path: str) -> Iterator[pa.RecordBatch]:
    """The record batches of one file, of which only the two columns are read."""
    hint = "delete it and run the stage again"
    with storage.open_input(path) as file:
        try:
            schema = pa.ipc.open_file(file).schema
            wanted = [schema.get_field_index(name) for name in ("left", "right")]
            if any(i < 0 or schema.field(i).type != pa.uint64() for i in wanted):
                raise UserError("this file has no uint64 columns `left` and `right`", where=path)
            reader = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=wanted))
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"incomplete or damaged file of edges ({error})", where=path, hint=hint) from error
