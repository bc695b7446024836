"""Ranking: digits of ranks, counted part by part, lead to the very documents that sorting all of them would take."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.quality import ranking
from corpusmill.dataproc.quality.ranking import Search, begins, digit, reaches, score_keys, score_of_key

scores = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 0.5, 1.0])


@given(st.lists(scores, min_size=1, max_size=30))
def test_keys_are_in_the_order_of_scores_and_give_them_back(values: list[float]) -> None:
    array = np.array(values)
    keys = score_keys(array)
    for one, key in zip(values, keys.tolist(), strict=True):
        for two, other in zip(values, keys.tolist(), strict=True):
            assert (key < other) == (one < two)
        assert score_of_key(key) == one


def search(keys: np.ndarray, draws: np.ndarray, wanted: int, parts: int) -> Search:
    """The search as the stage makes it, over parts."""
    searched = Search(wanted)
    for _ in range(20):
        if searched.is_done:
            return searched
        if searched.wants_ranks:
            inside = begins(keys, draws, searched.prefix)
            searched.settle(keys[inside], draws[inside])
            continue
        counts: dict[int, int] = {}
        for part in range(parts):
            rows = np.arange(len(keys)) % parts == part
            inside = begins(keys[rows], draws[rows], searched.prefix)
            digits = digit(keys[rows][inside], draws[rows][inside], len(searched.prefix))
            for value in digits.tolist():
                counts[value] = counts.get(value, 0) + 1
        searched.narrow(counts)
    raise AssertionError("the search does not end")


ranked = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.5000001, 0.9]), st.integers(0, 3)), max_size=30)


@pytest.mark.parametrize("few", [0, 3, 1 << 16])
@given(pairs=ranked, wanted=st.integers(0, 35), parts=st.integers(1, 4))
def test_the_cutoff_takes_what_sorting_takes(few: int, pairs: list[tuple[float, int]], wanted: int, parts: int) -> None:
    keys = score_keys(np.array([score for score, _ in pairs], float))
    draws = np.array([draw << 40 | draw for _, draw in pairs], np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "FEW", few)
        searched = search(keys, draws, wanted, parts)
    taken = reaches(keys, draws, searched.cutoff)
    order = sorted(zip(keys.tolist(), draws.tolist(), strict=True), reverse=True)
    if wanted == 0 or not pairs:
        assert not taken.any()
        return
    last = order[min(wanted, len(order)) - 1]
    assert taken.tolist() == [(key, draw) >= last for key, draw in zip(keys.tolist(), draws.tolist(), strict=True)]


def test_distinct_ranks_are_taken_exactly_as_many_as_wanted() -> None:
    draw = np.random.default_rng(0)
    keys = score_keys(draw.integers(0, 50, 5000) / 50)
    draws = draw.integers(0, 1 << 63, 5000).astype(np.uint64)
    for wanted in (1, 17, 2500, 4999, 5000):
        assert reaches(keys, draws, search(keys, draws, wanted, 3).cutoff).sum() == wanted


def test_a_digit_is_sixteen_bits_from_the_top() -> None:
    (key,) = struct.unpack("<Q", struct.pack("<Q", 0x0123456789ABCDEF))
    keys, draws = np.array([key], np.uint64), np.array([0xF], np.uint64)
    assert [int(digit(keys, draws, number)[0]) for number in range(8)] == [0x123, 0x4567, 0x89AB, 0xCDEF, 0, 0, 0, 0xF]
