"""Counts past 31 and 32 bits and bounded token lengths: the merges are those of a plain trainer with Python's integers.

`tokenizers` holds the count of a pair in 32 bits, so for tables of large counts it is no reference; nor could it be
given any, since it takes text. Where counts are small it is one, with and without `max_token_length`. What is reported
of that setting there (huggingface/tokenizers#2320: a pair whose count fell below zero is merged first) needs a subword
prefix or suffix, which byte-level models lack; so nothing here has to differ from it.
"""

import json
from collections import Counter as Tally
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

from corpusmill.tokenizer.counting.counts import count_pretokens, in_order
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.patterns import DEEPSEEK_V3
from corpusmill.tokenizer.vocabulary import Vocabulary, alphabet, byte_characters

Merges = list[tuple[bytes, bytes]]
SPLITS = [Split(Regex(regex), "isolated") for regex in DEEPSEEK_V3.splits]
EDGES = [1 << 31, 1 << 32, 3 << 31, 1 << 33, 1 << 48]
LARGE = st.builds(int.__add__, st.sampled_from(EDGES), st.integers(-2, 2))
WORDS = st.text("abc", min_size=1, max_size=9)


def in_32_bits(count: int) -> int:
    """What is left of a count in a signed integer of 32 bits that wraps."""
    return (count + (1 << 31)) % (1 << 32) - (1 << 31)


def plainly_trained(
    words: dict[str, int],
    vocab_size: int,
    min_frequency: int = 0,
    max_token_length: int | None = None,
    kept: Callable[[int], int] = int,
) -> Merges:
    """Byte-pair encoding as it is explained: count all pairs, merge the commonest, again. `kept`: a count as held."""
    ids = {bytes([byte]): number for number, byte in enumerate(alphabet())}
    split = {word: [bytes([byte]) for byte in word.encode()] for word in words}
    made: Merges = []
    while len(ids) < vocab_size:
        pairs: Tally[tuple[bytes, bytes]] = Tally()
        for word, parts in split.items():
            for left, right in pairwise(parts):
                size = len(left) + len(right)
                if max_token_length is None or size < max_token_length or size == 2:
                    pairs[left, right] += words[word]
        frequent = {pair: kept(count) for pair, count in pairs.items() if kept(count) >= max(1, min_frequency)}
        if not frequent:
            break
        best = min(frequent, key=lambda pair: (-frequent[pair], ids[pair[0]], ids[pair[1]]))
        ids.setdefault(b"".join(best), len(ids))
        made.append(best)
        for word, parts in split.items():
            split[word] = joined(parts, best)
    return made


def joined(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    done: list[bytes] = []
    place = 0
    while place < len(parts):
        width = 2 if tuple(parts[place : place + 2]) == pair else 1
        done.append(b"".join(parts[place : place + width]))
        place += width
    return done


def merged_bytes(vocabulary: Vocabulary) -> Merges:
    tokens = vocabulary.tokens.to_pylist()
    return [(tokens[left], tokens[right]) for left, right, _ in vocabulary.merges.tolist()]


def ours(words: dict[str, int], vocab_size: int, **limits: int | None) -> Merges:
    spelled = pa.array([word.encode() for word in words], pa.large_binary())
    table = in_order(spelled, np.array([*words.values()], np.int64))
    return merged_bytes(train_merges(table, vocab_size, [], **limits))


def trained_by_hugging_face(texts: list[str], vocab_size: int, split: bool, **limits: int) -> Merges:
    peer = Tokenizer(BPE())
    peer.pre_tokenizer = Sequence([*(SPLITS if split else []), ByteLevel(add_prefix_space=False, use_regex=False)])
    letters = ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=vocab_size, initial_alphabet=letters, show_progress=False, **limits)
    peer.train_from_iterator(texts, trainer)
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    merges = json.loads(peer.to_str())["model"]["merges"]
    return [(bytes(byte_of[c] for c in left), bytes(byte_of[c] for c in right)) for left, right in merges]


@pytest.mark.parametrize(
    "words",
    [
        {"ab": (1 << 31) + 5, "cd": 1 << 30},  # would turn negative
        {"ab": (1 << 32) + 5, "cd": 7},  # would turn into 5
        {"ab": 1 << 32, "cd": 7},  # would vanish
        {"ab": 1 << 30, "xab": 1 << 30, "yab": 1 << 30, "cd": 5},  # each fits, the sum does not
        {"aab": (1 << 31) - 1, "caa": 1, "cd": 3},  # passes the bound by one
    ],
)
def test_merges_are_right_where_counts_of_32_bits_go_wrong(words: dict[str, int]) -> None:
    right = plainly_trained(words, 262)
    assert ours(words, 262) == right
    assert plainly_trained(words, 262, kept=in_32_bits) != right


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(WORDS, LARGE | st.integers(1, 9), max_size=9), st.integers(0, 20))
def test_equals_a_plain_trainer_around_the_bounds(words: dict[str, int], tokens: int) -> None:
    assert ours(words, 256 + tokens) == plainly_trained(words, 256 + tokens)


def test_equals_a_plain_trainer_on_a_vocabulary_of_large_counts(source_texts: list[str]) -> None:
    table = count_pretokens(pa.array(source_texts[:3], pa.large_string()))
    factor = (1 << 32) // 3 + 1  # so that what was 2 and 4, 3 and 6 pass the bounds, and the low bits differ
    pretokens = [pretoken.decode("latin-1") for pretoken in table.pretokens.to_pylist()]
    words = {
        word: int(count) * factor
        for word, count in zip(pretokens, table.counts, strict=True)
        if word.isascii() and count > 1
    }
    right = plainly_trained(words, 400)
    assert len(right) == 144
    assert ours(words, 400) == right
    assert plainly_trained(words, 400, kept=in_32_bits) != right


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(WORDS, LARGE | st.integers(1, 9), max_size=9), LARGE)
def test_a_least_frequency_past_the_bounds_is_exact(words: dict[str, int], least: int) -> None:
    assert ours(words, 276, min_frequency=least) == plainly_trained(words, 276, min_frequency=least)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(WORDS, LARGE | st.integers(1, 9), max_size=9), st.integers(1, 8))
def test_a_bounded_length_equals_a_plain_trainer(words: dict[str, int], longest: int) -> None:
    made = ours(words, 276, max_token_length=longest)
    assert made == plainly_trained(words, 276, max_token_length=longest)
    assert all(len(left + right) < max(longest, 3) for left, right in made)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(WORDS, st.integers(1, 9), max_size=12), st.integers(1, 8))
def test_a_bounded_length_equals_hugging_face_on_overlaps(words: dict[str, int], longest: int) -> None:
    texts = [word for word, count in words.items() for _ in range(count)]
    made = trained_by_hugging_face(texts, 281, split=False, max_token_length=longest)
    assert ours(words, 281, max_token_length=longest) == made


@pytest.mark.parametrize("longest", [1, 3, 4, 8, 16])
def test_a_bounded_length_equals_hugging_face_on_text(source_texts: list[str], longest: int) -> None:
    texts = source_texts[:40]
    table = count_pretokens(pa.array(texts, pa.large_string()))
    made = merged_bytes(train_merges(table, 3000, [], max_token_length=longest))
    assert made == trained_by_hugging_face(texts, 3000, split=True, max_token_length=longest)
    assert made != merged_bytes(train_merges(table, 3000, []))
