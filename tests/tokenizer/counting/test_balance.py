"""Groups get the share that their size, weight and the temperature give; counts stay whole and on average right."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.balance import ONE, group_scales
from corpusmill.tokenizer.counting.rows import CountRows, sorted_rows
from corpusmill.tokenizer.counting.weighing import Dropped, weigh

SIZES = st.dictionaries(st.sampled_from(["", "en", "ja", "zh", "de"]), st.integers(1, 10**12), min_size=1)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.floats(0.2, 50), st.data())
def test_shares_are_those_of_the_formula(sizes: dict[str, int], temperature: float, data: st.DataObject) -> None:
    weights = {name: data.draw(st.floats(0.1, 9)) for name in sizes if data.draw(st.booleans())}
    scales = group_scales(sizes, weights, temperature)
    wanted = {name: weights.get(name, 1.0) * size ** (1 / temperature) for name, size in sizes.items()}
    for name, size in sizes.items():
        exact = wanted[name] / sum(wanted.values()) * sum(sizes.values()) / size
        assert scales[name] == pytest.approx(min(exact * ONE, 1 << 40), rel=1e-9, abs=0.5 + 1e-6)


def test_without_weights_or_temperature_counts_stay_as_they_are() -> None:
    assert group_scales({"en": 10**11, "zh": 3, "none": 0}) == dict.fromkeys(["en", "zh", "none"], ONE)
    assert group_scales({"en": 7, "zh": 3}, {"en": 2.0, "zh": 2.0}) == {"en": ONE, "zh": ONE}
    assert group_scales({}) == {}


def test_temperature_two_counts_by_square_roots_and_without_end_all_alike() -> None:
    two = group_scales({"en": 900, "zh": 100}, temperature=2)
    assert (two["en"] / ONE * 900) / (two["zh"] / ONE * 100) == pytest.approx(3, rel=1e-4)
    equal = group_scales({"en": 900, "zh": 100}, temperature=1e9)
    assert equal["en"] * 900 == pytest.approx(equal["zh"] * 100, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "temperature", "match"),
    [
        ({"fr": 1.0}, 1.0, "unknown group 'fr'"),
        ({"en": -1.0}, 1.0, "not a valid weight"),
        ({"en": math.nan}, 1.0, "not a valid weight"),
        ({"en": 0.0, "zh": 0.0}, 1.0, "no text is left"),
        ({}, 0.0, "not a valid temperature"),
    ],
)
def test_mistakes(weights: dict[str, float], temperature: float, match: str) -> None:
    with pytest.raises(UserError, match=match):
        group_scales({"en": 5, "zh": 5}, weights, temperature)


def rows_of(rows: dict[tuple[bytes, int], int]) -> CountRows:
    words = pa.array([word for word, _ in rows], pa.large_binary())
    groups, counts = [group for _, group in rows], [*rows.values()]
    return sorted_rows(words, np.array(groups, np.int32), np.array(counts, np.int64))


ROWS = st.dictionaries(
    st.tuples(st.binary(min_size=1, max_size=20), st.integers(0, 2)), st.integers(1, 1 << 42), max_size=30
)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.lists(st.integers(0, 1 << 40), min_size=3, max_size=3), st.integers(1, 1 << 42))
def test_a_weighed_count_is_the_exact_one_cut_up_or_down(
    rows: dict[tuple[bytes, int], int], scales: list[int], min_count: int
) -> None:
    exact, seen = {}, {}
    for (word, group), count in rows.items():
        exact[word] = exact.get(word, 0) + count * scales[group]
        seen[word] = seen.get(word, 0) + count
    rare = [word for word, count in seen.items() if count < min_count]
    if any(value >= ONE * (2**63 - 1) for value in exact.values()):
        with pytest.raises(UserError, match="exceeds 2"):
            weigh(rows_of(rows), np.array(scales, np.int64), min_count)
        return
    done = weigh(rows_of(rows), np.array(scales, np.int64), min_count)
    counts_by_word = dict(zip(done.rows.pretokens.to_pylist(), done.rows.counts.tolist(), strict=True))
    assert done.dropped.unique == len(rare) and done.dropped.pretokens == sum(seen[word] for word in rare)
    for word, value in exact.items():
        given = counts_by_word.get(word, 0)
        if word in rare:
            assert word not in counts_by_word
        elif value % ONE == 0:
            assert given == value // ONE
        else:
            assert given in (value // ONE, value // ONE + 1)


def test_ones_that_count_a_third_come_out_as_a_third_of_them() -> None:
    rows = rows_of({(f"w{number}".encode(), 0): 1 for number in range(9_000)})
    done = weigh(rows, np.array([ONE // 3]))
    assert set(done.rows.counts.tolist()) == {1}
    assert 2_800 < len(done.rows) < 3_200
    assert done.dropped == Dropped()
