"""Normalisation before exact comparison: held against plain Python, character by character."""

import unicodedata
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.exact import text_digests
from corpusmill.dataproc.dedup.normalise import NORMALISATIONS, normalised
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import text_buffers

CHOICES = st.lists(st.sampled_from(NORMALISATIONS), unique=True)


def slow(text: str, names: list[str]) -> str:
    if "punctuation" in names:
        text = "".join(c for c in text if unicodedata.category(c)[0] not in "PS")
    if "case" in names:
        text = "".join(c.lower()[0] for c in text)
    return " ".join(text.split()) if "space" in names else text


@settings(deadline=None)
@given(st.lists(st.text(max_size=20) | st.text("aÀß İK.,!\u3000\n\t $漢ȺΣ", max_size=12), max_size=6), CHOICES)
def test_normalised_texts_are_those_of_plain_python(texts, names):
    offsets, data = normalised(*text_buffers(pa.array(texts, pa.large_string())), names)
    results = [bytes(data[start:stop]).decode() for start, stop in pairwise(offsets)]
    assert results == [slow(text, names) for text in texts]


def test_what_differs_in_what_is_normalised_is_equal_and_nothing_else():
    texts = pa.array(["Hello,  World!", "hello world", "hello worlds", " HELLO\nWORLD "], pa.large_string())
    digests = [tuple(row) for row in text_digests(texts, ("case", "space", "punctuation")).tolist()]
    assert digests[0] == digests[1] == digests[3] != digests[2]
    assert len({tuple(row) for row in text_digests(texts, ("case",)).tolist()}) == 4


def test_a_slice_is_normalised_from_its_own_first_byte():
    texts = pa.array(["skipped", "A b", "C"], pa.large_string()).slice(1)
    offsets, data = normalised(*text_buffers(texts), ("case",))
    assert bytes(data) == b"a bc" and offsets.tolist() == [0, 3, 4]


def test_an_unknown_normalisation_is_a_users_mistake():
    with pytest.raises(UserError, match="unknown normalisation 'stem'; use some of case, space, punctuation"):
        text_digests(pa.array(["a"]), ("stem",))
