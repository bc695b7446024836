"""Words and phrases of lists, found in texts: the walk over hashed beginnings against slow Python over characters."""

import itertools
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.lists.phrase_table import make_table
from corpusmill.dataproc.lists.phrases import DISTINCT, FOUND, FOUND_WORDS, WORDS, count_phrases
from corpusmill.dataproc.text.unicode_tables import MARK, SPACE, TERMINAL, UNSPACED, load_tables
from corpusmill.dataproc.text.words import WORD


def flags_of(character: str) -> int:
    return int(load_tables().classes[ord(character)])


def lowered(character: str) -> str:
    return chr(load_tables().lower[ord(character)])


def cut(text: str) -> list[str]:
    """Characters of words in lower case; every run of others is one string by itself, as it is."""
    pieces: list[str] = []
    for character in text:
        if flags_of(character) & WORD:
            pieces.append(lowered(character))
        elif pieces and not flags_of(pieces[-1][0]) & WORD:
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def is_word(piece: str) -> bool:
    return bool(flags_of(piece[0]) & WORD)


def joins(separator: str) -> bool:
    """Whether what stands between two words ends no sentence."""
    ends = [mark for mark in separator if flags_of(mark) & TERMINAL]
    return not (any(ord(mark) > 127 for mark in ends) or (ends and any(flags_of(mark) & SPACE for mark in separator)))


def weigh(pieces: list[str]) -> int:
    """Words of scripts with spaces, and characters of the others."""
    words = 0
    for place, piece in enumerate(pieces):
        if not is_word(piece):
            continue
        flags = flags_of(piece)
        before = pieces[place - 1] if place and is_word(pieces[place - 1]) else None
        goes_on = before and not flags & UNSPACED and (not flags_of(before) & UNSPACED or flags & MARK)
        words += not goes_on
    return words


def slow_counts(text: str, entries: list[str], joined: bool = False) -> list[int]:
    normal: dict[tuple[str, ...], int] = {}
    for entry in entries:
        pieces = cut(entry)
        if joined:
            pieces = [piece for piece in pieces if is_word(piece)]
        while pieces and not is_word(pieces[0]):
            pieces.pop(0)
        while pieces and not is_word(pieces[-1]):
            pieces.pop()
        if pieces:
            key = tuple(piece if is_word(piece) else " " for piece in pieces)
            normal.setdefault(key, weigh(pieces))
    pieces = cut(text)
    if joined:
        pieces = [piece for piece in pieces if is_word(piece)]
    canonical = [piece if is_word(piece) else (" " if joins(piece) else "\0") for piece in pieces]
    actual, place = [], 0
    while place < len(pieces):
        if not is_word(pieces[place]):
            place += 1
            continue
        hits = [key for key in normal if tuple(canonical[place : place + len(key)]) == key]
        before = pieces[place - 1] if place else " "
        if not joined and is_word(before) and not (flags_of(before) & UNSPACED and not flags_of(pieces[place]) & MARK):
            hits = [key for key in hits if flags_of(key[0]) & UNSPACED]
        for key in list(hits):
            behind = pieces[place + len(key)] if place + len(key) < len(pieces) else " "
            if joined or not is_word(behind):
                continue
            both = not flags_of(key[-1]) & UNSPACED and not flags_of(behind) & UNSPACED
            if flags_of(behind) & MARK or both:
                hits.remove(key)
        if hits:
            longest = max(hits, key=len)
            actual.append(longest)
            place += len(longest)
        else:
            place += 1
    return [len(actual), len(set(actual)), sum(normal[key] for key in actual), weigh(pieces)]


def counts(text: str, entries: list[str], joined: bool = False) -> list[int]:
    table, _ = make_table([entries], joined=joined)
    return count_phrases(pa.array([text], pa.large_string()), np.zeros(1, np.int64), table)[0].tolist()


@pytest.mark.parametrize(
    ("text", "entries", "actual"),
    [
        ("A Foo, a food, foo.", ["foo"], 2),
        ("foo_foo foo-foo FOO", ["Foo"], 5),
        ("up  yours; up\nyours; up, yours", ["up yours"], 3),
        ("Give it up. Yours, Ann", ["up yours"], 0),
        ("s.o.b and s o b", ["s.o.b."], 2),
        ("a b c", ["a b", "a b c", "b"], 1),
        ("foo bar foo", ["foo", "foo bar baz"], 2),
        ("3foo foo3 3", ["foo", "3"], 1),
        ("去公园玩，公园。", ["公园"], 2),
        ("公。园", ["公园"], 0),
        ("ขาหมู หมูขา", ["หมู"], 2),
        ("หมี่ หมี", ["หมี"], 1),
        ("sm女の子 smile", ["sm"], 1),
        ("ΟΔΌΣ οδός", ["οδός"], 1),
        ("ПЛОХО плохой", ["плохо"], 1),
        ("", ["foo"], 0),
        ("... !", ["foo"], 0),
        ("a foo", ["a"], 1),
        ("a, foo", ["a foo"], 1),
    ],
)
def test_what_is_found(text, entries, actual):
    assert counts(text, entries)[FOUND] == actual
    assert slow_counts(text, entries)[0] == actual


def test_what_is_counted():
    assert counts("The bad dog and the bad, bad cat", ["bad", "the bad", "cat"]) == [4, 3, 6, 8]
    assert counts("去公园玩 today", ["公园"]) == [1, 1, 2, 5]
    assert (FOUND, DISTINCT, FOUND_WORDS, WORDS) == (0, 1, 2, 3)


def test_joined_texts_are_taken_without_what_stands_between():
    entries = ["foobar", "2 girls", "Ölig"]
    assert counts("my-foo.bars/2%girls?x=ölige", entries, joined=True)[:2] == [3, 3]
    assert counts("my-foo.bars/2girls", entries)[:2] == [0, 0]


ALPHABET = st.sampled_from(list("abAB1 .,\n-_éÉ女の子。หม゙ู่́ñ"))


@settings(max_examples=500, deadline=None)
@given(
    st.text(ALPHABET, max_size=40),
    st.lists(st.text(ALPHABET, min_size=1, max_size=5), min_size=1, max_size=6),
    st.booleans(),
)
def test_any_text_and_list_are_counted_as_by_the_slow_way(text, entries, joined):
    entries = [unicodedata.normalize("NFC", entry) for entry in entries]
    fast, slow = counts(text, entries, joined), slow_counts(text, entries, joined)
    assert (fast[:2] if joined else fast) == (slow[:2] if joined else slow)


def test_each_text_has_its_own_list_and_none_has_no_counts():
    table, _ = make_table([["gift"], ["fart"], []])
    texts = pa.array(["gift fart"] * 4, pa.large_string())
    actual = count_phrases(texts, np.array([0, 1, 2, -1]), table)
    assert actual.tolist() == [[1, 1, 1, 2], [1, 1, 1, 2], [0, 0, 0, 2], [0, 0, 0, 0]]


@settings(max_examples=200, deadline=None)
@given(
    st.text(ALPHABET, max_size=30),
    st.lists(st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=4), min_size=2, max_size=4),
)
def test_lists_of_one_table_know_nothing_of_each_other(text, lists):
    lists = [[unicodedata.normalize("NFC", entry) for entry in entries] for entries in lists]
    table, _ = make_table(lists)
    texts = pa.array([text] * len(lists), pa.large_string())
    assert count_phrases(texts, np.arange(len(lists)), table).tolist() == [slow_counts(text, list_) for list_ in lists]


def test_long_lists_of_one_table_are_held_apart():
    words = ["".join(letters) for letters in itertools.product("abcdefghijklmnop", repeat=3)]
    lists = [words[number::5] for number in range(5)]
    table, _ = make_table(lists)
    actual = count_phrases(pa.array([" ".join(words)] * 5, pa.large_string()), np.arange(5), table)
    assert actual[:, DISTINCT].tolist() == [len(list_) for list_ in lists]


def test_counts_do_not_depend_on_the_batch():
    table, _ = make_table([["a b", "b", "c"]])
    texts = pa.array(["a b c", "b a", "", "c c c"], pa.large_string())
    together = count_phrases(texts, np.zeros(4, np.int64), table)
    for row in range(4):
        assert count_phrases(texts[row : row + 1], np.zeros(1, np.int64), table).tolist() == [together[row].tolist()]


def test_entries_without_a_letter_or_number_are_told():
    _, empty = make_table([["foo", "..."], ["!", "女"]])
    assert empty.tolist() == [False, True, True, False]


def test_malformed_bytes_end_a_word_and_break_nothing():
    table, _ = make_table([["foo"]])
    texts = pa.array([b"foo\xff foo\xe5\xa5", b"\xf0\x9f"], pa.large_binary())
    assert count_phrases(texts, np.zeros(2, np.int64), table)[:, FOUND].tolist() == [2, 0]
