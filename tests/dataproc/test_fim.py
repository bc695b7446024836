"""Fill in the middle: cuts at characters, the spelling of DeepSeek, and an exact way back."""

import string
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataproc.errors import UserError
from dataproc.fim import Splits, assemble, draw_splits, piece_texts, restore
from dataproc.randomness import random_keys, random_uniform
from dataproc.shards import SpecialIds

SPECIAL = SpecialIds(eos=300, pad=301, bos=302, fim_begin=303, fim_hole=304, fim_end=305)


def draw(texts: list[str], rate: float = 0.5, low: int = 0, high: int = 10**9, seed: int = 1, kind=pa.large_string()):
    array = pa.array(texts, kind)
    keys = random_keys(seed, "fim", pa.array([f"d{number}" for number in range(len(texts))]))
    return array, keys, draw_splits(array, keys, np.ones(len(texts), bool), rate, low, high)


def tokenise(pieces: pa.Array) -> pa.Array:
    """A tokenizer of bytes: its ids are 0 to 255."""
    return pa.array([list(piece.encode()) for piece in pieces.to_pylist()], pa.list_(pa.int32()))


def slow_split(text: str, key: int, rate: float, low: int, high: int) -> tuple[bool, int, int]:
    uniforms = [random_uniform(np.uint64(key), np.uint64(counter)) for counter in range(3)]
    if uniforms[0] >= rate or not low <= len(text) <= high:
        return False, 0, 0
    cuts = sorted(int(u * (len(text) + 1)) for u in uniforms[1:])
    return True, len(text[: cuts[0]].encode()), len(text[: cuts[1]].encode())


TEXTS = st.lists(st.text(alphabet="ab é漢🙂\n", max_size=30), min_size=1, max_size=10)


@settings(deadline=None)
@given(TEXTS, st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 5), st.integers(5, 40), st.integers(0, 99))
def test_cuts_are_those_of_the_slow_reference(texts, rate, low, high, seed):
    _, keys, splits = draw(texts, rate, low, high, seed)
    expected = [slow_split(text, key, rate, low, high) for text, key in zip(texts, keys, strict=True)]
    assert list(zip(*(column.tolist() for column in splits), strict=True)) == expected


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["psm", "spm"]), st.booleans(), st.integers(0, 99))
def test_every_document_comes_back(texts, mode, bos, seed):
    array, _, splits = draw(texts, 0.6, seed=seed)
    pieces, document = piece_texts(array, splits)
    pieces.validate(full=True)
    documents = assemble(tokenise(pieces), splits, SPECIAL, mode, bos)
    assert np.bincount(document, minlength=len(texts)).tolist() == np.where(splits.fim, 3, 1).tolist()
    for text, tokens in zip(texts, documents.to_pylist(), strict=True):
        assert bytes(restore(np.array(tokens), SPECIAL, mode).tolist()).decode() == text
        assert tokens[-1] == SPECIAL.eos and tokens.count(SPECIAL.eos) == 1
        assert (tokens[0] == SPECIAL.bos) == bos


def test_the_spelling():
    text = "ab漢cd"
    splits = Splits(np.array([True, False]), np.array([2, 0]), np.array([5, 0]))
    pieces, document = piece_texts(pa.array([text, "plain"]), splits)
    assert pieces.to_pylist() == ["ab", "漢", "cd", "plain"] and document.tolist() == [0, 0, 0, 1]
    tokens = pa.array([[1, 2], [3], [4, 5], [6]], pa.list_(pa.int32()))
    assert assemble(tokens, splits, SPECIAL).to_pylist() == [[303, 1, 2, 304, 4, 5, 305, 3, 300], [6, 300]]
    assert assemble(tokens, splits, SPECIAL, "spm", bos=True).to_pylist() == [
        [302, 303, 304, 4, 5, 305, 1, 2, 3, 300],
        [302, 6, 300],
    ]


def test_draws_belong_to_the_document_and_not_to_its_batch():
    texts = [path.read_text("utf-8")[:5000] for path in sorted(Path(string.__file__).parent.glob("[a-f]*.py"))] * 4
    array, keys, splits = draw(texts, 0.1)
    assert 0.02 < splits.fim.mean() < 0.25
    chosen = np.ones(len(texts), bool)
    part = draw_splits(array.slice(7, 20), keys[7:27], chosen[7:27], 0.1, 0, 10**9)
    assert all(np.array_equal(a[7:27], b) for a, b in zip(splits, part, strict=True))
    pieces, _ = piece_texts(array.slice(7, 20), part)
    assert "".join(pieces.to_pylist()) == "".join(texts[7:27])


def test_only_eligible_documents():
    texts = pa.array(["some text"] * 40)
    eligible = np.arange(40) % 2 == 0
    assert np.array_equal(draw_splits(texts, np.arange(40, dtype=np.uint64), eligible, 1.0, 0, 100).fim, eligible)


def test_cuts_are_uniform():
    _, _, splits = draw(["x" * 99] * 4000, 1.0)
    assert splits.first.mean() == pytest.approx(33, abs=1.5) and splits.second.mean() == pytest.approx(66, abs=1.5)
    assert splits.first.min() == 0 and splits.second.max() == 99


def test_large_and_sliced_token_lists():
    splits = Splits(np.array([False, False]), np.zeros(2, np.int64), np.zeros(2, np.int64))
    lists = pa.array([[9], [1, 2], [], [9]], pa.large_list(pa.int32())).slice(1, 2)
    assert assemble(lists, splits, SPECIAL).to_pylist() == [[1, 2, 300], [300]]


def test_mistakes_are_named():
    array, keys, splits = draw(["abc"], 1.0)
    tokens = tokenise(piece_texts(array, splits)[0])
    bare = SpecialIds(eos=0, pad=0)
    for call in (
        lambda: assemble(tokens, splits, bare),
        lambda: assemble(tokens, splits, SPECIAL, "pms"),
        lambda: assemble(tokens, Splits(np.zeros(3, bool), splits.first, splits.second), bare, bos=True),
        lambda: draw_splits(array, keys, np.ones(1, bool), 1.5, 0, 9),
        lambda: draw_splits(array, keys, np.ones(1, bool), 0.5, 9, 3),
    ):
        with pytest.raises(UserError):
            call()
    with pytest.raises(ValueError, match="pieces"):
        assemble(tokens[:2], splits, SPECIAL)
