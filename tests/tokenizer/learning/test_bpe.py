"""Merges and ids are those of Hugging Face's trainer; where that one overflows, those of a plain re-count."""

import json
from collections import Counter as Tally
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

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.counts import PretokenCounts, count_pretokens, in_order
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.patterns import DEEPSEEK_V3
from corpusmill.tokenizer.vocabulary import Vocabulary, alphabet, byte_characters

SPECIALS = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
SPLITS = [Split(Regex(regex), "isolated") for regex in DEEPSEEK_V3.splits]
Spelled = tuple[list[str], list[tuple[str, str]]]


def trained_by_hugging_face(texts: list[str], vocab_size: int, split: bool, **settings: int) -> Spelled:
    """(tokens in the order of ids, merges), in byte-level characters."""
    peer = Tokenizer(BPE())
    peer.pre_tokenizer = Sequence([*(SPLITS if split else []), ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet_seen = ByteLevel.alphabet()
    peer.train_from_iterator(
        texts,
        BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=SPECIALS,
            initial_alphabet=alphabet_seen,
            show_progress=False,
            **settings,
        ),
    )
    model = json.loads(peer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [tuple(pair) for pair in model["merges"]]


def spelled(vocabulary: Vocabulary) -> Spelled:
    characters = byte_characters()
    tokens = [token.decode() for token in vocabulary.tokens[: vocabulary.specials].to_pylist()]
    tokens += ["".join(characters[b] for b in token) for token in vocabulary.tokens[vocabulary.specials :].to_pylist()]
    for left, right, new in vocabulary.merges.tolist():
        assert tokens[new] == tokens[left] + tokens[right]
    return tokens, [(tokens[left], tokens[right]) for left, right, _ in vocabulary.merges.tolist()]


def table_of(words: dict[str, int]) -> PretokenCounts:
    return in_order(
        pa.array([word.encode() for word in words], pa.large_binary()), np.array([*words.values()], np.int64)
    )


def trained_by_recounting(words: dict[str, int], merges: int) -> list[tuple[bytes, bytes]]:
    """Byte-pair encoding as it is explained: count all pairs, merge the commonest, again. Ids as in `train_merges`."""
    ids = {bytes([byte]): number for number, byte in enumerate(alphabet())}
    split = {word: [bytes([byte]) for byte in word.encode()] for word in words}
    made = []
    while len(made) < merges:
        pairs: Tally[tuple[bytes, bytes]] = Tally()
        for word, parts in split.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        ids.setdefault(b"".join(best), len(ids))
        made.append(best)
        for word, parts in split.items():
            joined: list[bytes] = []
            place = 0
            while place < len(parts):
                if tuple(parts[place : place + 2]) == best:
                    joined.append(b"".join(best))
                    place += 2
                else:
                    joined.append(parts[place])
                    place += 1
            split[word] = joined
    return made


def merged_bytes(vocabulary: Vocabulary) -> list[tuple[bytes, bytes]]:
    tokens = vocabulary.tokens.to_pylist()
    return [(tokens[left], tokens[right]) for left, right, _ in vocabulary.merges.tolist()]


@pytest.mark.parametrize("vocab_size", [2000, 4000])
def test_equals_hugging_face_on_sources(source_texts: list[str], vocab_size: int) -> None:
    texts = source_texts[:90]
    counts = count_pretokens(pa.array(texts, pa.large_string()))
    ours = spelled(train_merges(counts, vocab_size, SPECIALS))
    assert len(ours[0]) == vocab_size
    assert ours == trained_by_hugging_face(texts, vocab_size, split=True)


@pytest.mark.parametrize("settings", [{"min_frequency": 40}, {"max_token_length": 5}, {"max_token_length": 2}])
def test_settings_mean_what_they_mean_there(source_texts: list[str], settings: dict[str, int]) -> None:
    texts = source_texts[:12]
    counts = count_pretokens(pa.array(texts, pa.large_string()))
    ours = spelled(train_merges(counts, 1500, SPECIALS, **settings))
    assert ours == trained_by_hugging_face(texts, 1500, split=True, **settings)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=9), st.integers(1, 9), max_size=12), st.integers(0, 25))
def test_equals_hugging_face_on_ties_and_overlaps(words: dict[str, int], merges: int) -> None:
    ours = spelled(train_merges(table_of(words), 259 + merges, SPECIALS))
    texts = [word for word, count in words.items() for _ in range(count)]
    assert ours == trained_by_hugging_face(texts, 259 + merges, split=False)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("ab", min_size=1, max_size=14), st.integers(1, 1 << 40), max_size=8), st.integers(0, 20))
def test_equals_a_plain_recount(words: dict[str, int], tokens: int) -> None:
    vocabulary = train_merges(table_of(words), 256 + tokens, [])
    made = merged_bytes(vocabulary)
    assert made == trained_by_recounting(words, len(made))
    if len(vocabulary) < 256 + tokens:  # nothing was left to merge
        assert made == trained_by_recounting(words, len(made) + 1)


def test_counts_past_two_billion() -> None:
    words = {"xy": (1 << 31) + 5, "yz": (1 << 31) + 6, "zx": 1 << 33, "xxx": 1 << 60}
    assert merged_bytes(train_merges(table_of(words), 260, []))[:4] == [
        *[(b"x", b"x"), (b"xx", b"x"), (b"z", b"x"), (b"y", b"z")]
    ]


def test_text_without_pairs_gives_the_bytes_alone() -> None:
    vocabulary = train_merges(table_of({"a": 3}), 1000, SPECIALS)
    assert len(vocabulary) == 259 and vocabulary.merges.shape == (0, 3)
    assert len(train_merges(table_of({}), 1000, [])) == 256
    assert vocabulary.tokens.to_pylist()[:4] == [*(special.encode() for special in SPECIALS), b"!"]
    assert vocabulary.byte_ids()[ord("!")] == 3


def test_long_repeats_spell_long_tokens() -> None:
    words = {"=" * 5000: 3, "ab": 2}
    made = merged_bytes(train_merges(table_of(words), 280, []))
    assert made == trained_by_recounting(words, len(made))
    assert max(len(left + right) for left, right in made) == 5000


def test_mistakes() -> None:
    counts = table_of({"pad": 9, "pa": 3})
    for size, specials in ((255, []), (258, SPECIALS)):
        with pytest.raises(UserError, match="vocab_size must be"):
            train_merges(counts, size, specials)
    with pytest.raises(UserError, match="distinct"):
        train_merges(counts, 300, ["<x>", "<x>"])
    with pytest.raises(UserError, match="like a byte"):
        train_merges(counts, 300, ["a"])
    with pytest.raises(UserError, match="ordinary text can contain"):
        train_merges(counts, 300, ["pad"])


def test_alphabet_is_the_byte_level_one() -> None:
    assert sorted(byte_characters()) == sorted(ByteLevel.alphabet())
    assert [byte_characters()[byte] for byte in alphabet()] == sorted(ByteLevel.alphabet())
