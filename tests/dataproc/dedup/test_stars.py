"""Stars: each step keeps components, all of them together give the labels of a union-find, in whatever partitions."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup import stars
from corpusmill.dataproc.dedup.routed import RoutedRows, by_hash, by_range, routed_file
from corpusmill.dataproc.dedup.stars import Bounds, SmallestNeighbours
from corpusmill.dataproc.errors import UserError

MOST = 2**64 - 1
NODES = st.one_of(st.integers(0, 12), st.integers(MOST - 3, MOST), st.integers(0, MOST))
EDGES = st.lists(st.tuples(NODES, NODES), max_size=40)


def slow_labels(edges):
    """The smallest node of each node's component, by a union-find of ten lines."""
    parent = {node: node for edge in edges for node in edge}

    def root(node):
        while parent[node] != node:
            node = parent[node]
        return node

    for a, b in edges:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return {node: root(node) for node in sorted(parent)}


class Kept:
    """Rows in memory, in place of a routed file."""

    def __init__(self, pairs=()):
        self.pieces = []
        self.add(*columns(pairs))

    def add(self, nodes, others):
        self.pieces.append((nodes.copy(), others.copy()))

    def __iter__(self):
        return iter(self.pieces)

    def pairs(self):
        return [pair for nodes, others in self.pieces for pair in zip(nodes.tolist(), others.tolist(), strict=True)]

    def partition(self, number, count):
        return Kept([pair for pair in self.pairs() if pair[0] % count == number])


def columns(pairs):
    return [np.array([pair[i] for pair in pairs], np.uint64) for i in (0, 1)]


def write_edges(path, pairs, batch_rows=3):
    left, right = columns(pairs)
    with pa.ipc.new_file(str(path), pa.schema([("left", pa.uint64()), ("right", pa.uint64())])) as writer:
        writer.write_table(pa.table({"left": left, "right": right}), max_chunksize=batch_rows)
    return str(path)


def both_ways(edges):
    return [pair for a, b in edges if a != b for pair in ((a, b), (b, a))]


def one_round(edges, partitions):
    linked, left, leaves = Kept(), Kept(), Kept()
    for number in range(partitions):
        stars.large_star(edges.partition(number, partitions), linked, 1000)
    for number in range(partitions):
        stars.small_star(linked.partition(number, partitions), left, leaves, 1000)
    return linked, left, leaves


@given(EDGES, st.integers(1, 4))
def test_large_star_keeps_components_and_joins_all_nodes_downwards(edges, partitions):
    linked, _, _ = one_round(Kept(both_ways(edges)), partitions)
    assert all(node >= other for node, other in linked.pairs())
    expected = slow_labels(both_ways(edges))
    assert slow_labels(linked.pairs()) == expected


@given(EDGES, st.integers(1, 4))
def test_small_star_gives_edges_and_leaves_that_together_keep_components(edges, partitions):
    _, left, leaves = one_round(Kept(both_ways(edges)), partitions)
    assert slow_labels([*left.pairs(), *leaves.pairs()]) == slow_labels(both_ways(edges))
    gone = [leaf for _, leaf in leaves.pairs()]
    assert len(set(gone)) == len(gone) and not set(gone) & {node for node, _ in left.pairs()}
    assert sorted(left.pairs()) == sorted((b, a) for a, b in left.pairs())


@given(EDGES, st.integers(1, 4))
def test_rounds_end_and_leaves_labelled_backwards_have_smallest_addresses(edges, partitions):
    left, rounds = Kept(both_ways(edges)), []
    while left.pairs():
        _, left, leaves = one_round(left, partitions)
        rounds.append(leaves)
    labels, result = Kept(), Kept()
    for leaves in reversed(rounds):
        known, later = Kept(labels.pairs()), labels
        for number in range(partitions):
            stars.label_leaves(leaves.partition(number, partitions), known.partition(number, partitions), later, result)
    assert dict(result.pairs()) == slow_labels(both_ways(edges))
    assert len(rounds) <= 8


def test_nodes_halve_in_each_round_of_a_long_chain():
    size = 20_000
    node = np.random.default_rng(0).permutation(size).tolist()
    left, nodes, rounds = Kept(both_ways(list(zip(node[1:], node[:-1], strict=True)))), [size], 0
    while left.pairs():
        _, left, _ = one_round(left, 1)
        nodes.append(len({a for a, _ in left.pairs()}))
        rounds += 1
    assert all(after < 0.7 * before for before, after in pairwise(nodes))
    assert rounds <= 16


@pytest.mark.parametrize(("hub", "rounds"), [(0, 1), (2500, 2), (5000, 2)])
def test_a_giant_star_is_done_in_one_round_or_two(hub, rounds):
    left, gone = Kept(both_ways([(hub, leaf) for leaf in range(5001)])), 0
    for _ in range(rounds):
        assert left.pairs()
        _, left, leaves = one_round(left, 2)
        assert {above for above, _ in leaves.pairs()} == {0}
        gone += len(leaves.pairs())
    assert left.pairs() == [] and gone == 5000


@given(EDGES, st.integers(1, 5))
def test_contraction_keeps_components_and_loops(edges, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stars, "edge_blocks", lambda _, size: blocks_of(edges, size))
        out, aside = Kept(), Kept()
        stars.contract([], block, out, aside)
    assert slow_labels([*out.pairs(), *aside.pairs()]) == slow_labels(edges)
    assert sorted(out.pairs()) == sorted((b, a) for a, b in out.pairs())
    assert all(a == b for a, b in aside.pairs())


def blocks_of(edges, size):
    return (columns(edges[start : start + size]) for start in range(0, len(edges), size))


@given(st.lists(st.tuples(NODES, NODES), max_size=80), st.integers(2, 5))
def test_table_gives_smallest_neighbours_and_grows(pairs, slots):
    table = SmallestNeighbours(blocks_of(pairs, 7), slots=slots)
    expected, upheld = {}, set()
    for node, other in pairs:
        expected[node] = min(node, other, expected.get(node, node))
        upheld |= {node} if other >= node else set()
    nodes = [*expected, 77, MOST // 2]
    smallest = table.smallest(np.array(nodes, np.uint64)).tolist()
    assert smallest == [expected.get(node, node) for node in nodes]
    rows = [row for block in table.blocks(3) for row in zip(*(column.tolist() for column in block), strict=True)]
    assert sorted(rows) == sorted((node, low, node in upheld) for node, low in expected.items())


@settings(max_examples=30)
@given(EDGES, st.integers(1, 4), st.integers(1, 7), st.booleans())
def test_routed_rows_arrive_once_in_their_partition_in_order(tmp_path_factory, pairs, partitions, chunk, hashed):
    path = str(tmp_path_factory.mktemp("routed") / "rows.arrow")
    splitters = np.sort(np.array([5, MOST - 2, 9][: partitions - 1], np.uint64))
    route = by_hash(partitions) if hashed else by_range(splitters)
    with routed_file(path, route, chunk) as writer:
        for piece in blocks_of(pairs, 3):
            writer.add(*piece)
    assert writer.rows == len(pairs)
    arrived = []
    for number in range(partitions):
        here = Kept()
        for nodes, others in RoutedRows(paths=[path], partitions=partitions, first=number, stop=number + 1):
            assert len(nodes) <= chunk
            here.add(nodes, others)
        if hashed:
            assert here.pairs() == [pair for pair in pairs if pair in here.pairs()]
        else:
            assert {np.searchsorted(splitters, np.uint64(node), "right") for node, _ in here.pairs()} <= {number}
        arrived += here.pairs()
    assert sorted(arrived) == sorted(pairs)
    assert sorted(everything_of(path, partitions).pairs()) == sorted(pairs)


def everything_of(path, partitions):
    kept = Kept()
    for nodes, others in RoutedRows(paths=[path], partitions=partitions, first=0, stop=partitions):
        kept.add(nodes, others)
    return kept


def test_a_cut_file_is_a_users_mistake(tmp_path):
    path = tmp_path / "rows.arrow"
    path.write_bytes(b"ARROW1 and no more")
    with pytest.raises(UserError, match=r"rows\.arrow"):
        list(RoutedRows(paths=[str(path)], partitions=1, first=0, stop=1))


def test_range_of_labels_is_sorted_with_the_smallest_label_once(tmp_path):
    path = str(tmp_path / "range.arrow")
    rows = Kept([(9, 9), (MOST, 2), (2, 2), (9, 2), (2, 2)])
    entry = stars.write_labels(path, rows)
    with pa.memory_map(path) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.to_pydict() == {"address": [2, 9, MOST], "label": [2, 2, 2]}
    assert (entry["rows"], entry["first"], entry["last"]) == (3, 2, MOST)
    assert stars.write_labels(path, Kept())["rows"] == 0


def test_quantiles_are_distinct_and_even():
    nodes = np.arange(1000, dtype=np.uint64)[::-1]
    assert stars.quantiles(nodes, 3).tolist() == [250, 500, 750]
    assert stars.quantiles(np.array([7, 7], np.uint64), 3).tolist() == [7]
    assert stars.quantiles(np.empty(0, np.uint64), 3).tolist() == []


def test_bounds_follow_from_memory():
    small, large = Bounds.for_memory(512 << 20), Bounds.for_memory(4 << 30)
    assert small.partition_nodes * stars.NODE_BYTES + small.chunk_rows * stars.CHUNK_ROW_BYTES < 288 << 20
    assert large.partitions(10**8) < small.partitions(10**8) < 100
    assert small.partitions(0) == 1
    assert small.partitions_a_task(60, 10**10) == 1 and small.partitions_a_task(60, 10) == 60
    with pytest.raises(UserError, match="MiB"):
        Bounds.for_memory(100 << 20)
