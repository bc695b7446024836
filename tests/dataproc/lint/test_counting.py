"""The kernel of lint against plain Python, and the sequences that it must tell apart."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.lint.counting import scan

ROWS = st.lists(st.lists(st.integers(-3, 12), max_size=12), min_size=1, max_size=8)
VOCABULARY = 8


@settings(deadline=None)
@given(ROWS, st.integers(0, 3))
def test_ids_are_counted_and_those_outside_by_sequence(rows: list[list[int]], padding: int) -> None:
    tokens = np.array([token for row in rows for token in [*row, *[5] * padding]], np.int32)
    used = np.array([len(row) for row in rows])
    begins = np.append(0, np.cumsum(used + padding))[:-1]
    counts, hashes, outside = scan(tokens, begins, used, VOCABULARY)
    expected = Counter(token for row in rows for token in row)
    assert counts[:VOCABULARY].tolist() == [expected[token] for token in range(VOCABULARY)]
    assert outside.tolist() == [sum(not 0 <= token < VOCABULARY for token in row) for row in rows]
    assert counts[VOCABULARY] == outside.sum()
    assert len(set(hashes.tolist())) == len(set(map(tuple, rows)))  # equal for equal rows, and for no others here


def test_an_id_more_or_two_that_changed_places_is_another_sequence() -> None:
    rows = np.array([[1, 2, 3, 0], [1, 2, 3, 2], [2, 1, 3, 0], [1, 2, 3, 0]], np.int32)
    _, hashes, _ = scan(rows.reshape(-1), np.arange(4) * 4, np.array([4, 4, 4, 3]), VOCABULARY)
    assert len(set(hashes.tolist())) == 4
