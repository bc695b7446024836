"""Decoding: arrays of lists at once, damaged bytes by a rule, and the same text however a stream is cut."""

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.decoders import DecodeStream

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer import Tokenizer
from corpusmill.tokenizer.decoding import StreamDecoder, decode_lists, decode_texts, hidden_ids
from tests.tokenizer.conftest import SCRIPTS

IDS = st.lists(st.one_of(st.integers(0, 258), st.integers(0, 3814)), max_size=40)
"""Ids of the test's tokenizer, single bytes often, so that most lists are no UTF-8."""


@pytest.fixture(scope="module")
def tokenizer(folder: str) -> Tokenizer:
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def theirs(folder: str) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")


def lists(rows: list[list[int]]) -> pa.Array:
    return pa.array(rows, pa.large_list(pa.int32()))


@settings(max_examples=200, deadline=None)
@given(st.lists(IDS, max_size=6), st.booleans())
def test_each_list_gives_the_bytes_of_its_ids(tokenizer, rows, hide) -> None:
    hidden = set(np.flatnonzero(hidden_ids(tokenizer))) if hide else set()
    expected = [b"".join(tokenizer.token_bytes(number) for number in row if number not in hidden) for row in rows]
    assert decode_lists(tokenizer, lists(rows), hide_special=hide).to_pylist() == expected
    texts = decode_texts(tokenizer, lists(rows), hide_special=hide)
    assert texts.type == pa.large_string()
    assert texts.to_pylist() == [text.decode(errors="replace") for text in expected]


@settings(max_examples=200, deadline=None)
@given(IDS, st.booleans())
def test_damaged_bytes_show_as_hugging_face_shows_them(tokenizer, theirs, row, hide) -> None:
    # Theirs turns a token's characters to bytes, and those of a special token are no byte's: they fall out of its way.
    row = [number for number in row if number not in tokenizer.special.ids.values()]
    assert decode_texts(tokenizer, lists([row]), hide_special=hide).to_pylist() == [theirs.decode(row)]


def test_hidden_are_the_ids_that_hugging_face_skips(tokenizer, theirs) -> None:
    row = sorted(tokenizer.special.ids.values())
    assert decode_texts(tokenizer, lists([row]), hide_special=True)[0].as_py() == theirs.decode(row)
    assert decode_texts(tokenizer, lists([row]))[0].as_py() == theirs.decode(row, skip_special_tokens=False)
    assert 0 < hidden_ids(tokenizer).sum() < len(row)


@settings(max_examples=300, deadline=None)
@given(IDS, st.data(), st.booleans())
def test_any_cutting_of_the_ids_gives_the_text_of_all_at_once(tokenizer, row, data, hide) -> None:
    decoder = StreamDecoder(tokenizer, hide_special=hide)
    for _ in range(2):  # `finish` leaves it as new
        parts, at = [], 0
        while at < len(row):
            size = data.draw(st.integers(0, 3))
            parts.append(decoder.push(row[at] if size == 0 else row[at : at + size]))
            at += max(size, 1)
        parts.append(decoder.finish())
        assert "".join(parts) == decode_texts(tokenizer, lists([row]), hide_special=hide)[0].as_py()


@pytest.mark.parametrize("text", [*SCRIPTS, "plain"])
def test_a_stream_gives_text_when_hugging_faces_does(tokenizer, theirs, text) -> None:
    row = tokenizer.encode(pa.array([text]))[0].as_py()
    ours, peer = StreamDecoder(tokenizer), DecodeStream(skip_special_tokens=False)
    given, expected = "", ""
    for number in row:
        given += ours.push(number)
        expected += peer.step(theirs, number) or ""
        assert given.startswith(expected), "ours waits for a character that theirs gave"
    assert given + ours.finish() == expected == text


def test_an_unfinished_character_waits_and_is_shown_at_the_end(tokenizer) -> None:
    halves = tokenizer.vocabulary.byte_ids()[list("é".encode())]
    decoder = StreamDecoder(tokenizer)
    assert decoder.push(int(halves[0])) == ""
    assert decoder.push(int(halves[1])) == "é"
    assert decoder.push(halves[:1]) == "" and decoder.finish() == "\ufffd"
    assert decoder.push([]) == "" and decoder.finish() == ""


def test_what_cannot_be_decoded_is_named(tokenizer) -> None:
    with pytest.raises(UserError, match=r"3,815 token ids.*-1 to 3815"):
        decode_lists(tokenizer, lists([[1], [-1, 3815]]))
    with pytest.raises(UserError, match="3,815 token ids"):
        StreamDecoder(tokenizer).push(3815)
    broken = int(tokenizer.vocabulary.byte_ids()[0xFF])
    fine = tokenizer.encode(pa.array(["fine"]))[0].as_py()
    with pytest.raises(UserError, match="document 2: the ids do not spell UTF-8"):
        decode_texts(tokenizer, lists([fine, [], [broken], fine]), errors="strict")


def test_slices_and_short_lists_are_decoded_too(tokenizer) -> None:
    rows = tokenizer.encode(pa.array(["one", "", "two and", "three"])).cast(pa.list_(pa.int32()))
    assert decode_texts(tokenizer, rows.slice(1, 2)).to_pylist() == ["", "two and"]
    assert decode_texts(tokenizer, rows.slice(4)).to_pylist() == []
