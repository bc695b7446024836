"""Draws are pure functions of (seed, purpose, name): the fast forms equal the plain ones, and none changes for ever."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.randomness import random_bits, random_key, random_keys, random_uniform, uniforms

MASK = (1 << 64) - 1


def splitmix(key: int, counter: int) -> int:
    """SplitMix64 in Python's own integers."""
    z = (key + (counter + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@given(st.integers(0, 1 << 40), st.sampled_from(["fim", "boundary"]), st.lists(st.text(max_size=20), max_size=20))
def test_keys_of_many_are_the_keys_of_each(seed: int, purpose: str, names: list[str]) -> None:
    keys = random_keys(seed, purpose, pa.array(names, pa.string()))
    assert keys.dtype == np.uint64
    assert keys.tolist() == [random_key(seed, purpose, name) for name in names]


@given(st.integers(0, MASK), st.integers(0, 1 << 40))
def test_bits_are_splitmix(key: int, counter: int) -> None:
    with np.errstate(over="ignore"):
        assert random_bits.py_func(np.uint64(key), np.uint64(counter)) == splitmix(key, counter)


@given(st.lists(st.integers(0, MASK), max_size=20), st.integers(0, 1 << 40))
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_uniforms_of_many_are_the_uniforms_of_each(keys: list[int], counter: int) -> None:
    drawn = uniforms(np.array(keys, np.uint64), counter)
    assert drawn.tolist() == [(splitmix(key, counter) >> 11) * 2.0**-53 for key in keys]
    with np.errstate(over="ignore"):
        one_by_one = [random_uniform.py_func(np.uint64(key), np.uint64(counter)) for key in keys]
    assert drawn.tolist() == one_by_one
    assert all(0 <= value < 1 for value in drawn)


def test_the_compiled_form_draws_the_same() -> None:
    assert random_uniform(np.uint64(7), np.uint64(3)) == uniforms(np.array([7], np.uint64), 3)[0]


def test_nothing_changes_from_version_to_version() -> None:
    assert random_key(1, "fim", "corpus/a.jsonl#0") == 8360497310052315418
    assert splitmix(0, 0) == 0xE220A8397B1DCDAF  # the first output of the published SplitMix64 for seed 0


def test_seed_purpose_and_name_do_not_run_together() -> None:
    keys = {random_key(1, "fim", "2"), random_key(1, "fim2", ""), random_key(12, "fim", ""), random_key(1, "", "fim2")}
    assert len(keys) == 4


def test_draws_are_even() -> None:
    keys = random_keys(0, "test", pa.array([str(i) for i in range(20_000)]))
    counts, _ = np.histogram(uniforms(keys), bins=10, range=(0, 1))
    assert np.abs(counts - 2000).max() < 200
