"""The word kernel against a regular-expression oracle, and the UTF-8 decoder against Python's."""

import contextlib
import random
import re
import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.unicode_tables import UNSPACED, load_tables
from corpusmill.dataproc.text.words import identifier_word_hashes, word_hashes

GUARD = 64


def split_words(text: str) -> list[str]:
    """The definition: runs of letters, marks and numbers; in scripts without spaces a letter with its marks."""
    words: list[str] = []
    previous = "other"
    for character in text:
        category = unicodedata.category(character)[0]
        kind = "other" if category not in "LMN" else "mark" if category == "M" else "run"
        unspaced = bool(load_tables().classes[ord(character)] & UNSPACED)
        if unspaced and kind == "run":
            kind = "alone"
        joins = (kind == "mark" and previous != "other") or (kind == "run" and previous == "run")
        if kind != "other":
            words[-1:] = [words[-1] + character] if joins else [*words[-1:], character]
        if kind != "mark" or previous == "other":
            previous = ("alone" if unspaced else "run") if kind == "mark" else kind
    return words


def hashes(data: bytes, start: int = 0, stop: int | None = None, kernel: Callable = word_hashes) -> list[int]:
    stop = len(data) if stop is None else stop
    array = np.frombuffer(data, np.uint8)
    tables = load_tables()
    out = np.zeros(stop - start + GUARD, np.uint64)
    count = kernel(array, start, stop, tables.classes, tables.lower, out)
    assert count <= (stop - start + 1) // 2
    assert not out[(stop - start + 1) // 2 :].any()
    return out[:count].tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop", ["Don", "t", "stop"]),
        ("snake_case-2", ["snake", "case", "2"]),
        ("3个苹果", ["3", "个", "苹", "果"]),
        ("カタカナ", ["カ", "タ", "カ", "ナ"]),
        ("か\u3099x", ["か\u3099", "x"]),
        ("한국어 문서", ["한국어", "문서"]),
        ("नमस्ते", ["नमस्ते"]),
        ("ที่นี่ x", ["ที่", "นี่", "x"]),
        ("ภาษาไทย๑๒ab", ["ภ", "า", "ษ", "า", "ไ", "ท", "ย", "๑๒ab"]),
        ("ພາສາ", ["ພ", "າ", "ສ", "າ"]),
        ("ភាសាខ្មែរ", ["ភា", "សា", "ខ្", "មែ", "រ"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("བོད་སྐད", ["བོ", "ད", "སྐ", "ད"]),
        ("ꦧꦱꦗꦮ", list("ꦧꦱꦗꦮ")),
        ("ᬩᬮᬶ", ["ᬩ", "ᬮᬶ"]),
        ("ꆈꌠꁱꂷ", list("ꆈꌠꁱꂷ")),
        ("ㄅㄆ", ["ㄅ", "ㄆ"]),
        ("\u0e35a", ["\u0e35", "a"]),
        ("e\u0301a", ["e\u0301a"]),
        ("😀a…", ["a"]),
        ("", []),
    ],
)
def test_words(text, words):
    assert split_words(text) == words
    assert hashes(text.encode()) == [hash_ for word in words for hash_ in hashes(word.encode())]
    assert len(hashes(text.encode())) == len(words)


CHARACTERS = st.one_of(
    st.sampled_from("aB é\u0301ท\u0e35\u0e48าမ\u103c漢か\u3099カ1٣_ .\nกّ한😀İ"),
    st.characters(exclude_categories=["Cs"]),
)


@settings(max_examples=300, deadline=None)
@given(st.text(CHARACTERS, max_size=40))
def test_hashes_are_those_of_the_words_in_lower_case(text):
    lower = load_tables().lower
    words = ["".join(chr(lower[ord(c)]) for c in word) for word in split_words(text)]
    digests = hashes(text.encode())
    assert len(digests) == len(words)
    assert len(set(digests)) == len(set(words))
    assert digests == [hashes(word.encode())[0] for word in words]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.0005, 0.01]), st.sampled_from([0.02, 0.15, 0.6]))
def test_long_stretches_of_ascii_are_hashed_as_short_ones(seed, foreign, gaps):
    draw = random.Random(seed)
    letters = ["é" if draw.random() < foreign else " " if draw.random() < gaps else "a" for _ in range(3000)]
    text = "".join(letters[: draw.randrange(3000)])
    digests = {word: hashes(word.encode())[0] for word in set(split_words(text))}
    assert hashes(text.encode()) == [digests[word] for word in split_words(text)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_of_identifiers_an_underscore_is_a_letter(seed):
    """So words in ASCII are those of Python's regular expressions, in long texts as in short ones."""
    draw = random.Random(seed)
    text = "".join(draw.choices("aB1_ -.(", k=draw.randrange(3000)))
    words = re.findall(r"\w+", text.lower())
    digests = {word: hashes(word.encode(), kernel=identifier_word_hashes)[0] for word in set(words)}
    assert hashes(text.encode(), kernel=identifier_word_hashes) == [digests[word] for word in words]
    assert len(set(digests.values())) == len(digests)


def test_case_does_not_matter():
    assert hashes("ÉCOLE Straße ЖУК".encode()) == hashes("école straße жук".encode())


@pytest.mark.parametrize("word", ["the", "漢", "ж3ق", "é"])
def test_hashes_stay_the_same_between_versions(word):
    """Signatures on disk hang on this arithmetic: it may change only with a new format version."""
    value, limit = 0xCBF29CE484222325, 1 << 64
    for character in word:
        value = (value ^ ord(character)) * 0x9E3779B97F4A7C15 % limit
    for _ in range(2):
        value ^= value >> 32
        value = value * 0xD6E8FEB86659FD93 % limit
    assert hashes(word.encode()) == [value ^ (value >> 32)]


def test_only_the_bytes_asked_for_are_read():
    data = "abc déf ghi".encode()
    assert hashes(data, 4, 8) == hashes("déf".encode())
    assert hashes(data, 4, 6) != hashes("dé".encode())  # cut within é: a replacement character, which is no letter
    assert hashes(data, 4, 6) == hashes(b"d")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_malformed_bytes_are_decoded_within_bounds(data):
    array = np.frombuffer(data + b"\xbf" * GUARD, np.uint8)
    position, codes = 0, []
    while position < len(data):
        code, length = decode(array, position, len(data))
        assert 0 <= code < 0x110000
        assert 1 <= length <= len(data) - position
        codes.append(code)
        position += length
    assert position == len(data)
    hashes(data)
    with contextlib.suppress(UnicodeDecodeError):
        assert codes == [ord(character) for character in data.decode()]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_valid_text_is_decoded_as_python_does(text):
    data = np.frombuffer(text.encode(), np.uint8)
    position, decoded = 0, ""
    while position < len(data):
        code, length = decode(data, position, len(data))
        decoded += chr(code)
        position += length
    assert decoded == text
