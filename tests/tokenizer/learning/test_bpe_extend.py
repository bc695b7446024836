"""A vocabulary grows without moving an id, and what was learned at once is what was learned in steps."""

from collections import Counter as Tally
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.counts import PretokenCounts, count_pretokens, in_order
from corpusmill.tokenizer.learning.bpe import extend_merges, train_merges
from corpusmill.tokenizer.vocabulary import Vocabulary

SPECIALS = ["<begin of text>", "<end of text>"]
WORDS = st.dictionaries(st.text("abc", min_size=1, max_size=9), st.integers(1, 9), max_size=12)


def table_of(words: dict[str, int]) -> PretokenCounts:
    spelled = pa.array([word.encode() for word in words], pa.large_binary())
    return in_order(spelled, np.array([*words.values()], np.int64))


def assert_same(one: Vocabulary, other: Vocabulary) -> None:
    assert one.tokens == other.tokens
    assert one.merges.tolist() == other.merges.tolist()
    assert one.specials == other.specials


def extended_plainly(vocabulary: Vocabulary, words: dict[str, int], vocab_size: int) -> list[tuple[int, int, int]]:
    """New merges by counting all pairs again for each, once the old ones are applied one after the other."""
    byte_ids = vocabulary.byte_ids()
    split = {word: [int(byte_ids[byte]) for byte in word.encode()] for word in words}

    def apply(left: int, right: int, new: int) -> None:
        for word, ids in split.items():
            joined: list[int] = []
            while ids:
                width = 2 if ids[:2] == [left, right] else 1
                joined.append(new if width == 2 else ids[0])
                ids = ids[width:]
            split[word] = joined

    for merge in vocabulary.merges.tolist():
        apply(*merge)
    made: list[tuple[int, int, int]] = []
    for new in range(len(vocabulary), vocab_size):
        pairs: Tally[tuple[int, int]] = Tally()
        for word, ids in split.items():
            for pair in pairwise(ids):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        made.append((*best, new))
        apply(*best, new)
    return made


@pytest.fixture(scope="module")
def counts(source_texts: list[str]) -> PretokenCounts:
    return count_pretokens(pa.array(source_texts[:60], pa.large_string()))


@pytest.fixture(scope="module")
def large(counts: PretokenCounts) -> Vocabulary:
    return train_merges(counts, 3000, SPECIALS)


def test_extending_by_the_same_counts_is_training_at_once(counts: PretokenCounts, large: Vocabulary) -> None:
    small = train_merges(counts, 2000, SPECIALS)
    assert_same(extend_merges(small, counts, 3000), large)
    assert_same(extend_merges(train_merges(counts, 258, SPECIALS), counts, 3000), large)
    assert_same(extend_merges(large, counts, 3000), large)


@pytest.mark.parametrize("size", [258, 259, 1000, 2999, 3000])
def test_every_smaller_vocabulary_is_a_prefix(counts: PretokenCounts, large: Vocabulary, size: int) -> None:
    assert_same(train_merges(counts, size, SPECIALS), large.prefix(size))


@settings(max_examples=100)
@given(WORDS, st.integers(0, 12), st.integers(0, 12), st.sampled_from([None, 3, 4, 6]), st.integers(0, 4))
def test_in_two_steps_as_in_one(words: dict[str, int], first: int, more: int, longest: int | None, least: int) -> None:
    table, size = table_of(words), 257 + first + more
    limits = {"min_frequency": least, "max_token_length": longest}
    at_once = train_merges(table, size, ["<s>"], **limits)
    assert_same(extend_merges(train_merges(table, 257 + first, ["<s>"], **limits), table, size, **limits), at_once)
    if len(at_once) >= 257 + first:
        assert_same(train_merges(table, 257 + first, ["<s>"], **limits), at_once.prefix(257 + first))


@settings(max_examples=100)
@given(WORDS, WORDS, st.integers(0, 12), st.integers(0, 12))
def test_other_counts_go_on_from_the_old_merges(
    old: dict[str, int], words: dict[str, int], first: int, more: int
) -> None:
    start = train_merges(table_of(old), 257 + first, ["<s>"])
    grown = extend_merges(start, table_of(words), len(start) + more)
    assert grown.tokens[: len(start)] == start.tokens
    assert grown.merges[: len(start.merges)].tolist() == start.merges.tolist()
    made = [tuple(merge) for merge in grown.merges[len(start.merges) :].tolist()]
    assert made == extended_plainly(start, words, len(start) + more)


def test_new_ids_come_behind_special_tokens_that_stand_behind(counts: PretokenCounts, large: Vocabulary) -> None:
    small = train_merges(counts, 2000, SPECIALS)
    grown = extend_merges(small, counts, 3003, added={2002: "<user>", 2001: "<call>", 2000: "<|EOT|>"})
    assert len(grown) == 3003
    assert grown.tokens[:2000] == small.tokens
    assert grown.tokens[2000:2003].to_pylist() == [None] * 3
    assert grown.tokens[2003:] == large.tokens[2000:]
    moved = np.where(large.merges >= 2000, large.merges + 3, large.merges)
    assert grown.merges.tolist() == moved.tolist()
    again = extend_merges(
        extend_merges(small, counts, 2500, added={2002: "<user>"}), counts, 3003, added={2002: "<user>"}
    )
    assert_same(again, grown)


def test_a_pretoken_that_stays_whole_has_no_pairs() -> None:
    start = train_merges(table_of({"ab": 1}), 257, [])
    words = table_of({"ab": 9, "xab": 1, "xy": 3})
    tokens = pa.concat_arrays([start.tokens, pa.array([b"xab"], pa.large_binary())])
    whole = Vocabulary(tokens, start.merges, 0, whole_first=True)
    assert extend_merges(whole, words, 259).tokens.to_pylist()[258:] == [b"xy"]
    assert len(extend_merges(whole, words, 270)) == 259  # what could be merged is a token already, or whole


def test_a_token_that_no_merge_made_keeps_its_id() -> None:
    start = train_merges(table_of({}), 256, [])
    tokens = pa.concat_arrays([start.tokens, pa.array([b"ab", b"abc"], pa.large_binary())])
    grown = extend_merges(Vocabulary(tokens, start.merges, 0), table_of({"abcd": 5, "bc": 1}), 260)
    spelled = tokens.to_pylist()
    a, b, c, d = (spelled.index(letter) for letter in (b"a", b"b", b"c", b"d"))
    assert grown.merges.tolist() == [[b, c, 258], [a, 258, 257], [257, d, 259]]
    assert grown.tokens[256:].to_pylist() == [b"ab", b"abc", b"bc", b"abcd"]


def test_mistakes() -> None:
    table = table_of({"eot": 5, "ab": 2})
    start = train_merges(table, 257, ["<s>"])
    with pytest.raises(UserError, match="257 ids cannot be extended to 256"):
        extend_merges(start, table, 256)
    with pytest.raises(UserError, match="261 ids cannot be extended to 260"):
        extend_merges(start, table, 260, added={260: "<e>"})
    with pytest.raises(UserError, match="ordinary text can contain this special token"):
        extend_merges(start, table, 262, added={257: "eot"})
