"""Components: labels of a breadth-first search, whatever the order of edges."""

from collections import defaultdict, deque

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataproc.dedup import components as module
from dataproc.dedup.components import component_labels, components


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
