"""Components: labels of a breadth-first search, whatever the order of edges."""

from collections import defaultdict, deque

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup import components as module
from corpusmill.dataproc.dedup.components import component_labels, components, components_of_files, edge_blocks
from corpusmill.dataproc.errors import UserError


def slow_labels(edges: list[tuple[int, int]]) -> dict[int, int]:
    neighbours = defaultdict(set)
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    labels: dict[int, int] = {}
    for root in sorted(neighbours):
        queue = deque([root] if root not in labels else [])
        while queue:
            node = queue.popleft()
            if node not in labels:
                labels[node] = root
                queue.extend(neighbours[node])
    return labels


EDGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=50)


@settings(deadline=None)
@given(EDGES, st.randoms(use_true_random=False))
def test_labels_are_smallest_addresses_in_any_order_of_edges(edges, random):
    big = [(a * 0x0123_4567_89AB_CDEF % (1 << 64), b * 0x0123_4567_89AB_CDEF % (1 << 64)) for a, b in edges]
    expected = sorted(slow_labels(big).items())
    for _ in range(2):
        left, right = (np.array([edge[i] for edge in big], np.uint64) for i in (0, 1))
        addresses, labels = components(left, right)
        assert list(zip(addresses.tolist(), labels.tolist(), strict=True)) == expected
        big = [edge if random.random() < 0.5 else edge[::-1] for edge in big]
        random.shuffle(big)


@settings(deadline=None)
@given(EDGES)
def test_node_numbers(edges):
    labels = slow_labels(edges)
    left, right = (np.array([edge[i] for edge in edges], np.int64) for i in (0, 1))
    assert component_labels(41, left, right).tolist() == [labels.get(node, node) for node in range(41)]


def test_long_chain_and_giant_star_over_several_blocks(monkeypatch):
    monkeypatch.setattr(module, "EDGE_BLOCK", 1000)
    size = 100_000
    chain = np.arange(size, dtype=np.uint64)
    order = np.random.default_rng(0).permutation(size - 1)
    _, labels = components(chain[1:][order], chain[:-1][order])
    assert (labels == 0).all()
    _, labels = components(np.full(size - 1, size - 1, np.uint64), chain[:-1][::-1])
    assert (labels == 0).all()


def test_no_edges():
    addresses, labels = components(np.empty(0, np.uint64), np.empty(0, np.uint64))
    assert len(addresses) == len(labels) == 0


MOST = 2**64 - 1
WIDE = st.one_of(st.integers(0, 12), st.integers(MOST - 3, MOST), st.integers(0, MOST))


def write_edges(path, edges, batch_rows=3):
    left, right = (np.array([edge[i] for edge in edges], np.uint64) for i in (0, 1))
    table = pa.table({"left": left, "right": right, "similarity": np.ones(len(edges))})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return str(path)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(WIDE, WIDE), max_size=40), st.integers(1, 9), st.integers(1, 5), st.randoms())
def test_edges_of_files_in_any_order_files_batches_and_blocks(tmp_path_factory, edges, block, files, random):
    folder = tmp_path_factory.mktemp("edges")
    expected = sorted(slow_labels(edges).items())
    shuffled = random.sample(edges, len(edges))
    paths = [write_edges(folder / f"{i}.arrow", shuffled[i::files], 1 + i) for i in range(files)]
    random.shuffle(paths)
    addresses, labels = components_of_files(paths, block_edges=block)
    assert addresses.dtype == labels.dtype == np.uint64
    assert list(zip(addresses.tolist(), labels.tolist(), strict=True)) == expected
    sizes = [len(left) for left, _ in edge_blocks(paths, block)]
    assert sum(sizes) == len(edges) and all(size == block for size in sizes[:-1])


def test_clique_given_twice():
    clique = [(MOST - a, MOST - b) for a in range(30) for b in range(30)]
    left, right = (np.array([edge[i] for edge in clique * 2], np.uint64) for i in (0, 1))
    addresses, labels = components(left, right)
    assert addresses.tolist() == list(range(MOST - 29, MOST + 1)) and set(labels.tolist()) == {MOST - 29}


def test_a_file_without_edges_is_a_users_mistake(tmp_path):
    write_edges(tmp_path / "whole.arrow", [(1, 2)])
    cut = tmp_path / "cut.arrow"
    cut.write_bytes((tmp_path / "whole.arrow").read_bytes()[:-20])
    other = tmp_path / "other.arrow"
    with pa.ipc.new_file(str(other), pa.schema([("left", pa.uint64())])) as writer:
        writer.write_table(pa.table({"left": pa.array([1], pa.uint64())}))
    for path, what in ((cut, "damaged file"), (other, "no uint64 columns"), (tmp_path / "none.arrow", "no such")):
        with pytest.raises(UserError, match=what):
            components_of_files([str(path)])
