"""Files come after what they need; the order is a function of the files and never of how they were listed."""

import random

from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.repositories.order import order_files


@st.composite
def graphs(draw: st.DrawFn, cycles: bool) -> list[list[int]]:
    count = draw(st.integers(1, 14))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    needs: list[list[int]] = [[] for _ in range(count)]
    mixed = draw(st.permutations(range(count)))
    for one, two in draw(st.lists(pairs, max_size=40)):
        if cycles or one > two:
            needs[mixed[one]].append(mixed[two])
    return needs


def reaches(needs: list[list[int]], start: int) -> set[int]:
    seen: set[int] = set()
    left = [start]
    while left:
        for other in needs[left.pop()]:
            if other not in seen:
                seen.add(other)
                left.append(other)
    return seen


@given(graphs(cycles=False))
def test_without_cycles_every_dependency_precedes_its_dependant(needs: list[list[int]]) -> None:
    order = [file for subgraph in order_files(needs) for file in subgraph]
    assert sorted(order) == list(range(len(needs)))
    place = {file: at for at, file in enumerate(order)}
    assert all(place[other] < place[file] for file, needed in enumerate(needs) for other in needed)


@given(graphs(cycles=True), st.data())
def test_with_cycles_only_dependencies_inside_of_one_may_come_later(
    needs: list[list[int]], data: st.DataObject
) -> None:
    deferred = [data.draw(st.lists(st.sampled_from(needed))) if needed else [] for needed in needs]
    order = [file for subgraph in order_files(needs, deferred) for file in subgraph]
    place = {file: at for at, file in enumerate(order)}
    firm = [[other for other in needs[file] if other not in deferred[file]] for file in range(len(needs))]
    for file, needed in enumerate(needs):
        for other in needed:
            if file not in reaches(needs, other):
                assert place[other] < place[file]
            if other in firm[file] and file not in reaches(firm, other):
                assert place[other] < place[file]


@given(graphs(cycles=True))
def test_subgraphs_are_the_connected_ones_by_their_first_file(needs: list[list[int]]) -> None:
    both = [list(needed) for needed in needs]
    for file, needed in enumerate(needs):
        for other in needed:
            both[other].append(file)
    expected = {frozenset(reaches(both, file) | {file}) for file in range(len(needs))}
    subgraphs = order_files(needs)
    assert {frozenset(subgraph) for subgraph in subgraphs} == expected and len(subgraphs) == len(expected)
    assert [min(subgraph) for subgraph in subgraphs] == sorted(min(subgraph) for subgraph in subgraphs)


@given(graphs(cycles=True), st.randoms(use_true_random=False))
def test_the_order_of_the_list_of_dependencies_does_not_matter(needs: list[list[int]], chance: random.Random) -> None:
    shuffled = [chance.sample(needed, len(needed)) * 2 for needed in needs]
    assert order_files(needs) == order_files(shuffled)


def slow_algorithm_1(needs: list[list[int]]) -> list[int]:
    """Guo et al. 2024, algorithm 1, as printed, on one subgraph; among equals the first."""
    edges = [set(needed) - {file} for file, needed in enumerate(needs)]
    left = list(range(len(needs)))
    order: list[int] = []
    while left:
        file = min(left, key=lambda file: (len(edges[file] & set(left)), file))
        left.remove(file)
        order.append(file)
    return order


@given(graphs(cycles=False))
def test_without_cycles_it_is_algorithm_1(needs: list[list[int]]) -> None:
    order = slow_algorithm_1(needs)
    for subgraph in order_files(needs):
        assert subgraph == [file for file in order if file in subgraph]


@given(st.integers(2, 9), st.randoms(use_true_random=False))
def test_on_one_cycle_it_is_algorithm_1(count: int, chance: random.Random) -> None:
    ring = chance.sample(range(count), count)
    needs: list[list[int]] = [[] for _ in range(count)]
    for at, file in enumerate(ring):
        needs[file] = [ring[at - 1], *chance.sample(range(count), chance.randrange(count))]
    assert order_files(needs) == [slow_algorithm_1(needs)]


def test_a_file_that_needs_a_cycle_comes_after_it() -> None:
    assert slow_algorithm_1([[1], [2], [1]]) == [0, 1, 2]
    assert order_files([[1], [2], [1]]) == [[1, 2, 0]]


def test_a_cycle_is_broken_at_what_is_deferred() -> None:
    assert order_files([[1], [0]], [[1], []]) == [[0, 1]]
    assert order_files([[1], [0]], [[], [0]]) == [[1, 0]]


def test_a_chain_of_twenty_thousand_files_needs_no_recursion() -> None:
    count = 20_000
    assert order_files([[file + 1] for file in range(count - 1)] + [[]]) == [list(range(count))[::-1]]
