"""The filter of keys holds none back, and lets as few others through as it says."""

import numpy as np
import pytest

from corpusmill.dataproc.contamination.key_filter import filter_bits, filter_of, shift_to


def knows(words: np.ndarray, keys: np.ndarray) -> np.ndarray:
    bits = np.array([filter_bits(key) for key in keys], np.uint64)
    return words[keys >> shift_to(len(words))] & bits == bits


@pytest.mark.parametrize("keys", [1, 5, 2049, 4096])
def test_every_key_is_known_and_few_others(keys: int) -> None:
    draw = np.random.default_rng(keys)
    known, others = (draw.integers(0, 2**64, size, np.uint64) for size in (keys, 20_000))
    words = filter_of(known, 1 << (keys - 1).bit_length())
    assert knows(words, known).all()
    assert knows(words, others).mean() < 0.012


def test_without_keys_nothing_is_known() -> None:
    assert not knows(filter_of(np.zeros(0, np.uint64), 4), np.arange(1000, dtype=np.uint64)).any()
