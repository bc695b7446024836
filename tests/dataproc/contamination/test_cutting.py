"""Stretches cut out of texts with a margin, against a plain-Python cut of characters."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.contamination.cutting import cut_out
from corpusmill.dataproc.text.unicode_tables import MARK, UNSPACED, load_tables
from corpusmill.dataproc.text.words import WORD

CHARACTERS = "ab  \n,.é語หี้ह\u0301\U0001f600"
BLANK = " \t\n\r\v\f"


def inside_word(text: str, place: int) -> bool:
    if not 0 < place < len(text):
        return False
    before, after = (int(load_tables().classes[ord(text[at])]) for at in (place - 1, place))
    if not (before & WORD and after & WORD):
        return False
    return bool(after & MARK) or not (before | after) & UNSPACED


def oracle(text: str, spans: list[tuple[int, int]], margin: int, least: int) -> tuple[str, int, int]:
    """(text, pieces, pieces left), with spans in characters."""
    if not spans:
        return text, 1, 1
    gone = [False] * len(text)
    for start, stop in spans:
        start, stop = max(0, start - margin), min(len(text), stop + margin)
        while inside_word(text, start):
            start -= 1
        while inside_word(text, stop):
            stop += 1
        gone[start:stop] = [True] * (stop - start)
    pieces, open_piece = [], ""
    borders = []
    for place in range(len(text) + 1):
        if place < len(text) and not gone[place]:
            if not open_piece:
                borders.append(place)
            open_piece += text[place]
        elif open_piece:
            after_cut, before_cut = borders[-1] > 0, place < len(text)
            open_piece = open_piece.lstrip(BLANK) if after_cut else open_piece
            pieces.append(open_piece.rstrip(BLANK) if before_cut else open_piece)
            open_piece = ""
    pieces = [piece for piece in pieces if piece]
    left = [piece for piece in pieces if len(piece) >= least]
    return "\n\n".join(left), len(pieces), len(left)


@st.composite
def documents(draw: st.DrawFn) -> list[tuple[str, list[tuple[int, int]]]]:
    cases = []
    for text in draw(st.lists(st.text(CHARACTERS, max_size=30), min_size=1, max_size=3)):
        points = draw(st.lists(st.tuples(*[st.integers(0, len(text))] * 2), max_size=3))
        cases.append((text, [(min(pair), max(pair)) for pair in points if pair[0] != pair[1]]))
    return cases


@settings(max_examples=200, deadline=None)
@given(documents(), st.integers(0, 4), st.integers(0, 5))
def test_pieces_are_those_of_the_definition(
    given_texts: list[tuple[str, list[tuple[int, int]]]], margin: int, least: int
) -> None:
    spans = [
        (row, len(text[:start].encode()), len(text[:stop].encode()))
        for row, (text, stretches) in enumerate(given_texts)
        for start, stop in stretches
    ]
    rows, starts, stops = ([span[column] for span in spans] for column in range(3))
    batch = pa.array(["sliced off", *(text for text, _ in given_texts)], pa.large_string()).slice(1)
    done = cut_out(batch, rows, starts, stops, margin=margin, least_piece=least)
    expected = [oracle(text, stretches, margin, least) for text, stretches in given_texts]
    assert done.texts.to_pylist() == [text for text, _, _ in expected]
    done.texts.validate(full=True)
    assert list(zip(done.pieces.tolist(), done.pieces_left.tolist(), strict=True)) == [cut[1:] for cut in expected]


@pytest.mark.parametrize(("least", "expected"), [(5, "first words\n\nlast ones"), (10, "first words"), (20, "")])
def test_small_pieces_go_with_what_was_cut(least: int, expected: str) -> None:
    text = "first words QQQQ last ones"
    done = cut_out(pa.array([text], pa.large_string()), [0], [12], [16], margin=0, least_piece=least)
    assert done.texts.to_pylist() == [expected]
    assert done.pieces.tolist() == [2]
