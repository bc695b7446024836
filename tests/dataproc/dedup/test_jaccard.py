"""Sets of shingles and the similarity of pairs of them, against Python's own sets."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.jaccard import set_similarity, shingle_sets, true_similarity
from corpusmill.dataproc.dedup.minhash import EMPTY, MinHashSettings, signatures
from tests.dataproc.dedup.test_minhash import shingles

WORDS = MinHashSettings(ngram=3)
CHARACTERS = MinHashSettings(ngram=4, shingle="character")
TEXTS = st.lists(st.text(alphabet="ab é漢_\n", max_size=40), min_size=1, max_size=8)


def slow_sets(texts: list[str], choice: MinHashSettings) -> list[set[int]]:
    return [set(shingles(text, choice.ngram, choice.shingle)) for text in texts]


def slow_similarity(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a & b else 0.0


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.sampled_from([WORDS, CHARACTERS]))
def test_sets_and_similarities_are_those_of_python(texts, choice):
    expected = slow_sets(texts, choice)
    offsets, hashes = shingle_sets(pa.array(texts), choice)
    assert [hashes[a:b].tolist() for a, b in pairwise(offsets)] == list(map(sorted, expected))
    a, b = (index.ravel() for index in np.indices((len(texts), len(texts))))
    wanted = [slow_similarity(expected[i], expected[j]) for i, j in zip(a, b, strict=True)]
    assert set_similarity(offsets, hashes, a, b).tolist() == wanted
    assert true_similarity(pa.array(texts), choice.ngram, a, b, choice.shingle).tolist() == wanted


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_a_set_depends_on_its_own_text_alone(texts, batch):
    array = pa.array(texts, pa.large_string())
    parts = [shingle_sets(array.slice(row, batch), WORDS) for row in range(0, len(texts), batch)]
    offsets, hashes = shingle_sets(array, WORDS)
    assert np.array_equal(hashes, np.concatenate([values for _, values in parts]))
    assert np.array_equal(np.diff(offsets), np.concatenate([np.diff(bounds) for bounds, _ in parts]))


def test_sets_may_be_a_slice_of_a_larger_collection():
    offsets, hashes = shingle_sets(pa.array(["a b c d", "b c d e", "b c d", "x"]), WORDS)
    rows = np.array([0, 0]), np.array([1, 2])
    assert set_similarity(offsets[1:], hashes, *rows).tolist() == [0.5, 0.0]


def test_short_documents_are_alike_and_wordless_ones_like_nothing():
    texts = pa.array(["a b", "A, b", "a b c", "", "?"])
    rows = np.array([0, 0, 3, 3]), np.array([1, 2, 4, 0])
    assert true_similarity(texts, 5, *rows).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert true_similarity(texts, 5, *rows, "character").tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("choice", [WORDS, CHARACTERS])
def test_documents_with_a_signature_are_those_with_shingles(choice):
    texts = pa.array(["", "?!", "a", "漢", "a b c d e f g"])
    signed = (signatures(texts, choice) != EMPTY).any(axis=1)
    assert np.array_equal(signed, np.diff(shingle_sets(texts, choice)[0]) > 0)
