"""Offsets on request: tokens tile the bytes of a document, and characters are counted as Hugging Face counts them."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.tokenizer import Tokenizer
from corpusmill.tokenizer.offsets import encode_with_offsets, token_offsets
from tests.tokenizer.conftest import SCRIPTS

MIXED = ["", "plain words, 123\n\n", "日本語のテキスト", "😀👩‍👩‍👧 split", "", "a\u0301\u0327 ÿ \U0010ffff", *SCRIPTS]


@pytest.fixture(scope="module")
def tokenizer(folder: str) -> Tokenizer:
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def theirs(folder: str) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")


def pairs(offsets) -> list[list[tuple[int, int]]]:
    both = zip(offsets.starts.to_pylist(), offsets.ends.to_pylist(), strict=True)
    return [list(zip(starts, ends, strict=True)) for starts, ends in both]


def test_characters_are_counted_as_hugging_face_counts_them(tokenizer, theirs, source_texts) -> None:
    texts = [*MIXED, *source_texts[:40]]
    ours = encode_with_offsets(tokenizer, pa.array(texts), "character")
    expected = theirs.encode_batch(texts, add_special_tokens=False)
    assert ours.ids.to_pylist() == [encoding.ids for encoding in expected]
    assert pairs(ours) == [encoding.offsets for encoding in expected]
    spread = [pair for pair in pairs(ours) for left, right in pairwise(pair) if left[1] > right[0]]
    assert len(spread) > 20, "no character was spread over tokens: this test has not looked at one"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_text_has_hugging_faces_characters(tokenizer, theirs, texts) -> None:
    ours = encode_with_offsets(tokenizer, pa.array(texts, pa.string()), "character")
    assert pairs(ours) == [encoding.offsets for encoding in theirs.encode_batch(texts, add_special_tokens=False)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=5))
def test_tokens_tile_the_bytes_of_each_document(tokenizer, texts) -> None:
    ours = encode_with_offsets(tokenizer, pa.array(texts, pa.string()))
    for text, ids, places in zip(texts, ours.ids.to_pylist(), pairs(ours), strict=True):
        raw, at = text.encode(), 0
        for number, (start, end) in zip(ids, places, strict=True):
            assert start == at and raw[start:end] == tokenizer.token_bytes(number)
            at = end
        assert at == len(raw)


@pytest.mark.parametrize("unit", ["byte", "character"])
def test_a_slice_of_documents_has_the_offsets_of_the_whole(tokenizer, unit) -> None:
    texts = pa.array(MIXED * 2)
    whole = encode_with_offsets(tokenizer, texts, unit)
    part = token_offsets(tokenizer, whole.ids.slice(3, 9), unit)
    assert part.starts.to_pylist() == whole.starts.to_pylist()[3:12]
    assert part.ends.to_pylist() == whole.ends.to_pylist()[3:12]
    assert part.ids.to_pylist() == whole.ids.to_pylist()[3:12]


def test_a_special_id_covers_its_spelling(tokenizer) -> None:
    ids = pa.array([[tokenizer.special.eos, *tokenizer.encode(pa.array(["x"]))[0].as_py()]], pa.list_(pa.int32()))
    spelled = "<｜end▁of▁sentence｜>"
    assert pairs(token_offsets(tokenizer, ids, "character")) == [[(0, len(spelled)), (len(spelled), len(spelled) + 1)]]
    size = len(spelled.encode())
    assert pairs(token_offsets(tokenizer, ids)) == [[(0, size), (size, size + 1)]]


def test_another_unit_is_refused(tokenizer) -> None:
    with pytest.raises(ValueError, match="byte, character"):
        encode_with_offsets(tokenizer, pa.array(["x"]), "word")


def test_no_documents_have_no_offsets(tokenizer) -> None:
    ours = encode_with_offsets(tokenizer, pa.array([], pa.string()))
    assert len(ours.starts) == len(ours.ids) == 0 and np.asarray(ours.ends.values).size == 0
