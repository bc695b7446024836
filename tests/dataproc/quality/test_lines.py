"""Lines: white space is blanks, no text ends its line or is a label, and scripts without spaces are cut on request."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.quality.lines import LineSettings, as_strings, to_lines

SPACES = " \n\r\t\v\f\0"


def lines(texts: list[str], **settings: object) -> list[str]:
    return as_strings(*to_lines(pa.array(texts, pa.large_string()), LineSettings(**settings))).to_pylist()  # type: ignore[arg-type]


def words(text: str) -> list[str]:
    """fastText's tokens of a text, slowly."""
    for space in SPACES:
        text = text.replace(space, "\n")
    return [word for word in text.split("\n") if word]


def test_white_space_becomes_blanks_and_nothing_else_moves() -> None:
    assert lines(["one\ntwo\r\n\tthree\vfour\ffive\0six", ""]) == ["one two   three four five six", ""]


def test_a_no_break_space_does_not_part_words_as_it_does_not_for_fasttext() -> None:
    assert lines(["10\u00a0km"]) == ["10\u00a0km"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("</s>", "</s "),
        ("a </s> b", "a </s  b"),
        ("a\n</s>\nb", "a </s  b"),
        ("</s>x y</s>", "</s>x y</s>"),
        ("__label__hq and", " _label__hq and"),
        ("__label____label__x", " _label____label__x"),
        ("not__label__x", "not__label__x"),
        ("___label__x", "___label__x"),
    ],
)
def test_what_fasttext_takes_for_more_than_text_is_broken_by_a_blank(text: str, line: str) -> None:
    assert lines([text]) == [line]


tricky = st.lists(
    st.sampled_from(["</s>", "__label__", "_", "a", "é", "漢", "<", "/", "s>", *SPACES]), max_size=30
).map("".join)


@given(st.lists(tricky, max_size=5), st.booleans())
def test_no_token_is_the_end_of_a_line_or_a_label(texts: list[str], split_unspaced: bool) -> None:
    for line in lines(texts, split_unspaced=split_unspaced):
        assert not set(line) & set(SPACES[1:])
        for word in line.split(" "):
            assert word != "</s>"
            assert not word.startswith("__label__")


@given(st.lists(st.text(max_size=20).filter(lambda text: "_" not in text and "<" not in text), max_size=5))
def test_the_tokens_of_plain_text_are_those_that_fasttext_reads(texts: list[str]) -> None:
    assert [[word for word in line.split(" ") if word] for line in lines(texts)] == [words(text) for text in texts]


def test_characters_of_scripts_without_spaces_are_tokens_with_their_marks() -> None:
    text = "git 分支merge。ไม่มี が゙ 한국어 word"
    assert lines([text], split_unspaced=True) == ["git 分 支 merge。 ไ ม่ มี が゙ 한국어 word"]


def test_letters_become_lower_case_and_texts_are_cut_by_characters() -> None:
    assert lines(["ÉTÉ Straße", "ABC"], lowercase=True, characters=4) == ["été ", "abc"]


def test_a_slice_of_an_array_gives_the_lines_of_its_own_texts() -> None:
    texts = pa.array(["zero", "one\n1", "two </s>", "three"], pa.large_string())
    assert as_strings(*to_lines(texts.slice(1, 2))).to_pylist() == ["one 1", "two </s "]
    assert texts.to_pylist() == ["zero", "one\n1", "two </s>", "three"]
