"""Ids are Hugging Face's, bytes come back, and text never becomes a special token."""

import json
import threading
import time
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer import Tokenizer, encoder
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.patterns import PATTERNS, Pattern
from corpusmill.tokenizer.special import SpecialToken, SpecialTokens, layout_named
from corpusmill.tokenizer.vocabulary import Vocabulary

TELLING = "aZé中ー・゛ぁ１5٣'.,_-$€。、！ \t\r\n\u00a0\u3000\u200b\u0301\x00\U0001f600\U00020000한"
PIECES = st.sampled_from(["<｜end▁of▁sentence｜>", "<|EOT|>", "<｜User｜>", " the", "import ", "    ", ".\n", "12345"])
TEXTS = st.lists(st.one_of(st.text(TELLING, max_size=12), st.text(max_size=12), PIECES), max_size=8).map("".join)


@pytest.fixture(scope="module")
def ours(folder: str) -> Tokenizer:
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def peer(folder: str) -> tokenizers.Tokenizer:
    """Hugging Face's encoder of the same model, told of no special tokens, so that it reads text as text."""
    with open(folder + "/tokenizer.json") as file:  # noqa: PTH123
        content = json.load(file)
    content["added_tokens"] = []
    return tokenizers.Tokenizer.from_str(json.dumps(content))


def encoded(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    rows = tokenizer.encode(pa.array(texts, pa.large_string()))
    rows.validate(full=True)
    assert rows.type == pa.large_list(pa.int32())
    return rows.to_pylist()


def test_equals_hugging_face_on_sources(ours: Tokenizer, peer: tokenizers.Tokenizer, source_texts: list[str]) -> None:
    some = source_texts[:100]
    expected = [encoding.ids for encoding in peer.encode_batch(some)]
    assert encoded(ours, some) == expected
    assert encoded(ours, some) == expected  # from the cache


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_equals_hugging_face_on_any_text(ours: Tokenizer, peer: tokenizers.Tokenizer, texts: list[str]) -> None:
    rows = encoded(ours, texts)
    assert rows == [peer.encode(text).ids for text in texts]
    for text, row in zip(texts, rows, strict=True):
        assert ours.decode(np.array(row, np.int32)) == text.encode()
        assert not set(row) & set(ours.special.ids.values())


@pytest.mark.parametrize(
    "text", ["a" * 3000, "=" * 3000, " " * 3000, "漢字" * 700, "abcde" * 600, "the" * 1000, "\n" * 999]
)
def test_long_pretokens_equal_hugging_face(ours: Tokenizer, peer: tokenizers.Tokenizer, text: str) -> None:
    for length in (47, 48, 49, 255, 256, len(text)):
        assert encoded(ours, [text[:length]]) == [peer.encode(text[:length]).ids]


@settings(max_examples=150, deadline=None)
@given(st.text("ab", min_size=49, max_size=400))
def test_the_heap_merges_as_a_plain_scan_does(ours: Tokenizer, text: str) -> None:
    left = ours.vocabulary.byte_ids()[np.frombuffer(text.encode(), np.uint8)].tolist()
    ranks = {(a, b): (rank, new) for rank, (a, b, new) in enumerate(ours.vocabulary.merges.tolist())}
    while best := min(
        ((*ranks[pair], place) for place, pair in enumerate(pairwise(left)) if pair in ranks),
        key=lambda item: (item[0], item[2]),
        default=None,
    ):
        left[best[2] : best[2] + 2] = [best[1]]
    assert ours.encode_pieces(pa.array([text])).to_pylist() == [left]


PATHOLOGICAL = ["a", "漢", "漢字", " ", "=", "\n", "가", "ab1_", "q\u0301", "。", "x" * 60 + " "]


def seconds_to_encode(tokenizer: Tokenizer, text: str) -> float:
    texts = pa.array([text], pa.large_string())
    best = float("inf")
    for _ in range(3):
        tokenizer._idle_caches.clear()
        started = time.thread_time()
        (row,) = tokenizer.encode(texts)
        best = min(best, time.thread_time() - started)
    assert tokenizer.decode(row.values.to_numpy()) == text.encode()
    return best


@pytest.mark.parametrize("unit", PATHOLOGICAL)
def test_time_grows_with_the_text_and_not_with_its_square(ours: Tokenizer, unit: str) -> None:
    small = unit * (1_000_000 // len(unit.encode()))
    one, two = seconds_to_encode(ours, small), seconds_to_encode(ours, small + small)
    assert two < 3 * one + 0.05
    assert one < 3


@pytest.mark.parametrize("unit", PATHOLOGICAL)
def test_pathological_text_equals_hugging_face(ours: Tokenizer, peer: tokenizers.Tokenizer, unit: str) -> None:
    texts = [unit * times for times in (7, 100, 3000)]
    assert encoded(ours, texts) == [peer.encode(text).ids for text in texts]


def test_a_model_without_special_tokens_and_with_gaps(ours: Tokenizer) -> None:
    plain = ours.vocabulary
    gaps = pa.array([None], pa.large_binary()), pa.array([None, b"ab"], pa.large_binary())
    tokens = pa.concat_arrays([gaps[0], plain.tokens[3:259], gaps[1]])
    byte = {raw: number for number, raw in enumerate(tokens.to_pylist())}
    merges = np.array([[byte[b"a"], byte[b"b"], 258]], np.int32)
    token = SpecialToken(257, "<stop>", True)
    special = SpecialTokens((token,), {}, 260, 260)
    tokenizer = Tokenizer(Vocabulary(tokens, merges, 0), special, PATTERNS["gpt2"], "")
    (row,) = encoded(tokenizer, ["ab<stop>"])
    assert row[0] == 258 and len(row) == 7
    assert tokenizer.decode(np.array([*row, 257])) == b"ab<stop><stop>"
    for missing in (0, 259):
        with pytest.raises(UserError, match=f"no token has the id {missing}"):
            tokenizer.decode(np.array([5, missing]))


def test_a_pattern_may_be_given_as_it_is(ours: Tokenizer) -> None:
    words = Pattern("custom", ("a+",))
    tokenizer = Tokenizer(ours.vocabulary, ours.special, words, "")
    assert tokenizer.pattern is words
    expected = ours.encode_pieces(pa.array(["the", "aa", "the"])).flatten().to_pylist()
    assert encoded(tokenizer, ["theaathe"]) == [expected]


def test_a_full_cache_starts_anew(
    ours: Tokenizer, folder: str, source_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = encoded(ours, source_texts[:40])
    for slots, arena in ((1 << 8, 1 << 16), (1 << 14, 1 << 10)):
        monkeypatch.setattr(encoder, "SLOTS", slots)
        monkeypatch.setattr(encoder, "ARENA", arena)
        small = Tokenizer.load(folder)
        assert encoded(small, source_texts[:40]) == expected
        assert encoded(small, source_texts[:40]) == expected


def test_rows_are_independent_of_the_batch(ours: Tokenizer, source_texts: list[str]) -> None:
    texts = ["", *source_texts[:5], "", "", *source_texts[5:8], ""]
    whole = encoded(ours, texts)
    assert whole == [encoded(ours, [text])[0] for text in texts]
    array = pa.array(texts, pa.string())
    assert ours.encode(array.slice(2, 5)).to_pylist() == whole[2:7]
    assert encoded(ours, []) == [] and encoded(ours, ["", ""]) == [[], []]
    with pytest.raises(ValueError, match="null"):
        ours.encode(pa.array(["a", None], pa.large_string()))


def test_threads_do_not_disturb_each_other(ours: Tokenizer, source_texts: list[str]) -> None:
    texts = source_texts[:60]
    expected = encoded(ours, texts)
    results: list[list[list[int]]] = []
    threads = [threading.Thread(target=lambda: results.append(encoded(ours, texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_the_spelling_of_a_special_token_is_text(ours: Tokenizer) -> None:
    spellings = [token.text for token in ours.special.tokens]
    for spelling, row in zip(spellings, encoded(ours, spellings), strict=True):
        assert len(row) > 1 and not set(row) & set(ours.special.ids.values())
        assert ours.decode(np.array(row)) == spelling.encode()


def test_decoding(ours: Tokenizer) -> None:
    assert ours.decode(np.array([], np.int32)) == b""
    assert ours.token_bytes(ours.special.eos) == "<｜end▁of▁sentence｜>".encode()
    assert ours.token_bytes(3) == b"!"
    assert ours.token_bytes(ours.vocab_size - 1) == "<｜tool▁sep｜>".encode()
    assert sorted(ours.decode(np.arange(3, 259))) == list(range(256))
    for wrong in (-1, ours.vocab_size):
        with pytest.raises(UserError, match="token ids"):
            ours.decode(np.array([5, wrong]))


def test_what_a_model_needs_to_know(ours: Tokenizer) -> None:
    assert (ours.vocab_size, ours.model_rows, ours.special.fim_begin) == (3815, 3840, 3801)
    assert len(ours.fingerprint) == 32


def test_a_vocabulary_of_bytes_alone() -> None:
    layout = layout_named("compact")
    vocabulary = train_merges(count_pretokens(pa.array(["a"])), layout.model_size(500), list(layout.first))
    tokenizer = Tokenizer(vocabulary, layout.tokens(len(vocabulary)), "deepseek-v3", fingerprint="")
    (row,) = encoded(tokenizer, ["hé 中"])
    assert len(row) == len("hé 中".encode()) and tokenizer.decode(np.array(row)) == "hé 中".encode()
    assert tokenizer.vocab_size == 259 + 15
