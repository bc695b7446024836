"""Patterns without a walker are cut by the expressions themselves, in bytes, whatever the bytes are."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.tokenizer.patterns import PATTERNS, Pattern
from corpusmill.tokenizer.pretokens import is_fast, pretoken_blocks, pretokens, read_text
from corpusmill.tokenizer.regexes import piece_ends, regex_blocks

WORDS = (r"\p{Lu}?\p{Ll}+",)


def pieces_of(raw: bytes, splits: tuple[str, ...]) -> list[bytes]:
    ends = piece_ends(raw, splits).tolist()
    return [raw[start:end] for start, end in pairwise([0, *ends])]


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=30), max_size=4))
def test_presets_are_cut_as_by_their_walkers(pattern: Pattern, texts: list[str]) -> None:
    offsets, data = read_text(pa.array(texts, pa.large_string()))
    by_walker = [end for _, ends in pretoken_blocks(offsets, data, pattern) for end in ends.tolist()]
    by_regex = [end for _, ends in regex_blocks(offsets, data, pattern.splits, 8) for end in ends.tolist()]
    assert by_regex == by_walker


def test_what_no_expression_matches_stays_together() -> None:
    assert pretokens("Hello, WORLD  straße!1", Pattern("custom", WORDS)) == ["Hello", ", WORLD  ", "straße", "!1"]
    assert pretokens("one two", Pattern("custom", ())) == ["one two"]


def test_blocks_follow_each_other_inside_documents() -> None:
    pattern = Pattern("custom", ("[a-z]",))
    assert not is_fast(pattern)
    offsets, data = read_text(pa.array(["", "abcde", "", "中é", "fg"], pa.large_string()))
    blocks = [(start, ends.tolist()) for start, ends in regex_blocks(offsets, data, pattern.splits, 2)]
    assert blocks == [(0, [1, 2]), (2, [3, 4]), (4, [5]), (5, [10]), (10, [11, 12])]


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(min_size=1, max_size=40))
def test_each_damaged_byte_is_seen_as_a_noncharacter(raw: bytes) -> None:
    """Held against a decoder of one character at a time."""
    text, lengths, place = "", [], 0
    while place < len(raw):
        for length in (1, 2, 3, 4):
            try:
                text += raw[place : place + length].decode()
                break
            except UnicodeDecodeError:
                continue
        else:
            text += "\uffff"
            length = 1
        lengths.append(length)
        place += length
    shown = [len(piece.decode()) for piece in pieces_of(text.encode(), WORDS)]
    edges = np.cumsum([0, *lengths])[np.cumsum([0, *shown])].tolist()
    expected = [raw[start:end] for start, end in pairwise(edges)]
    assert pieces_of(raw, WORDS) == expected


def test_damaged_bytes_and_noncharacters_keep_their_own_lengths() -> None:
    raw = b"ab\xff\xfecd\xef\xbf\xbfe\xed\xa0\x80f\xf0\x9f"
    assert pieces_of(raw, WORDS) == [
        b"ab",
        b"\xff\xfe",
        b"cd",
        b"\xef\xbf\xbf",
        b"e",
        b"\xed\xa0\x80",
        b"f",
        b"\xf0\x9f",
    ]
