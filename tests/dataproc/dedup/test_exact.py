"""Exact digests: those of the xxhash library, and groups that any row order finds."""

import numpy as np
import pyarrow as pa
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.exact import duplicate_pairs, text_digests


@settings(deadline=None)
@given(st.lists(st.text(max_size=20), max_size=12), st.integers(0, 3))
def test_digests_are_xxh3_of_the_bytes_also_in_a_slice(texts, skip):
    array = pa.array(texts, pa.large_string()).slice(min(skip, len(texts)))
    digests = text_digests(array)
    expected = [xxhash.xxh3_128_intdigest(text.as_py().encode()) for text in array]
    assert [(int(high) << 64) | int(low) for high, low in digests] == expected


def test_plain_strings_and_no_documents():
    assert np.array_equal(text_digests(pa.array(["a", "b"])), text_digests(pa.array(["a", "b"], pa.large_string())))
    assert text_digests(pa.array([], pa.string())).shape == (0, 2)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcde"), max_size=20), st.randoms(use_true_random=False))
def test_every_repeated_text_is_paired_with_its_smallest_address(texts, random):
    rows = list(range(len(texts)))
    random.shuffle(rows)
    digests = text_digests(pa.array([texts[row] for row in rows], pa.large_string()))
    kept, duplicates = duplicate_pairs(digests, np.array(rows, np.uint64))
    expected = sorted((texts.index(text), row) for row, text in enumerate(texts) if texts.index(text) != row)
    assert list(zip(kept.tolist(), duplicates.tolist(), strict=True)) == expected


def test_equal_upper_halves_are_not_enough():
    digests = np.array([[1, 1], [1, 2], [1, 1]], np.uint64)
    kept, duplicates = duplicate_pairs(digests, np.arange(3, dtype=np.uint64))
    assert (kept.tolist(), duplicates.tolist()) == ([0], [2])
