"""Signatures equal datasketch's, slot by slot, over shingles made in Python; estimates follow the true Jaccard."""

import functools
import random
import re
import statistics
import string
import sys
import unicodedata
from pathlib import Path

import datasketch
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup import bands
from corpusmill.dataproc.dedup.jaccard import true_similarity
from corpusmill.dataproc.dedup.minhash import EMPTY, MinHashSettings, signatures, similarity, to_lean_minhash
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.text.unicode_tables import load_tables
from corpusmill.dataproc.text.words import identifier_word_hashes

SETTINGS = MinHashSettings(permutations=64, ngram=5, seed=7)
MASK = (1 << 64) - 1


def mix(value: int) -> int:
    for _ in range(2):
        value ^= value >> 32
        value = value * 0xD6E8FEB86659FD93 & MASK
    return value ^ (value >> 32)


def word_units(text: str) -> list[int]:
    """From the shared kernel, whose own tests say what a word is."""
    data, tables = np.frombuffer(text.encode(), np.uint8), load_tables()
    out = np.empty(len(data) + 1, np.uint64)
    return out[: identifier_word_hashes(data, 0, len(data), tables.classes, tables.lower, out)].tolist()


def character_units(text: str) -> list[int]:
    """Letters, marks and numbers in lower case; whatever else lies between two of them is one space."""
    kept = [chr(load_tables().lower[ord(c)]) if unicodedata.category(c)[0] in "LMN" else " " for c in text]
    return [mix(ord(c)) for c in re.sub(" +", " ", "".join(kept)).strip(" ")]


def shingles(text: str, ngram: int, shingle: str = "word") -> list[int]:
    """64-bit shingle hashes by the definition."""
    units = word_units(text) if shingle == "word" else character_units(text)
    width = min(ngram, len(units))
    grams = [units[i : i + width] for i in range(len(units) - width + 1)] if units else []
    return [mix(functools.reduce(lambda h, unit: (h * 0x9E3779B97F4A7C15 + unit) & MASK, gram)) for gram in grams]


def expected_signature(text: str, choice: MinHashSettings) -> np.ndarray:
    peer = datasketch.MinHash(
        num_perm=choice.permutations, seed=choice.seed, hashfunc=lambda h: h >> 32, scheme="affine32"
    )
    peer.update_batch(shingles(text, choice.ngram, choice.shingle))
    return peer.hashvalues


def real_texts(count: int) -> list[str]:
    return [path.read_text("utf-8") for path in sorted(Path(string.__file__).parent.glob("[a-d]*.py"))[:count]]


MIXED = [
    "",
    "one",
    "Two words",
    "a b c d e",
    "a b c d e f",
    "天地玄黃宇宙洪荒",
    "日本語のテキスト abc 五",
    "...",
    "é " * 9,
    "x" * 500,
]


def test_signatures_equal_datasketch_on_mixed_and_real_text():
    texts = MIXED + [text[:3000] for text in real_texts(8)]
    for choice in (
        SETTINGS,
        MinHashSettings(permutations=13, ngram=1, seed=0),
        MinHashSettings(permutations=8, ngram=3),
        MinHashSettings(permutations=33, ngram=12, shingle="character"),
        MinHashSettings(permutations=16, ngram=1, seed=2, shingle="character"),
    ):
        got = signatures(pa.array(texts, pa.large_string()), choice)
        assert np.array_equal(got, np.array([expected_signature(text, choice) for text in texts]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="ab é漢_\n🙂", max_size=40), min_size=1, max_size=6),
    st.integers(1, 5),
    st.sampled_from([SETTINGS, MinHashSettings(64, 3, 7, shingle="character")]),
)
def test_a_signature_depends_on_its_own_text_alone(texts, batch, choice):
    whole = signatures(pa.array(texts, pa.large_string()), choice)
    array = pa.array(texts, pa.string())
    parts = [signatures(array.slice(row, batch), choice) for row in range(0, len(texts), batch)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert np.array_equal(whole[0], expected_signature(texts[0], choice))


def test_signatures_on_disk_stay_the_same_between_versions():
    """Indexes hang on this arithmetic: it may change only with a new `MinHashSettings.version`."""
    text = pa.array(["The quick brown fox jumps over the lazy dog, 天地玄黃宇宙洪荒, snake_case. Déjà vu!"])
    four = {"permutations": 4, "seed": 3}
    assert signatures(text, MinHashSettings(**four)).tolist() == [[21827716, 475614780, 421311096, 60954425]]
    assert signatures(text, MinHashSettings(**four, ngram=9, shingle="character")).tolist() == [
        [56070204, 75683532, 127362324, 9773653]
    ]


def test_case_and_punctuation_do_not_count_but_order_does():
    rows = signatures(pa.array(["The cat sat, on a mat!", "the CAT sat on: a mat", "mat a on sat cat the"]), SETTINGS)
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])


def test_short_documents_have_one_shingle_and_wordless_ones_none():
    rows = signatures(pa.array(["alpha beta", "alpha beta", "alpha", "?!", ""]), SETTINGS)
    assert np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[0], rows[2])
    assert (rows[3:] == EMPTY).all()
    a, b = np.array([0, 0, 3, 3]), np.array([1, 2, 4, 3])
    assert similarity(rows, rows, a, b).tolist() == [1.0, 0.0, 0.0, 0.0]
    keys = bands.band_keys(rows, 4, 16)
    assert (keys[3:] == bands.NO_KEY).all() and (keys[:3] != bands.NO_KEY).all()


def test_character_shingles_take_what_parts_words_for_one_space_and_forgive_a_letter():
    texts = pa.array(
        ["The cat sat,  on a mat!", "the CAT sat on: a\nmat", "Thecat sat on a mat", "The bat sat on a mat"]
    )
    choice = MinHashSettings(ngram=4, shingle="character")
    rows = signatures(texts, choice)
    assert np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[0], rows[2])
    assert similarity(rows, rows, np.array([0, 0]), np.array([2, 3])).min() > 0.3
    words = signatures(texts, MinHashSettings(ngram=4))
    assert similarity(words, words, np.array([0]), np.array([3]))[0] < 0.3
    short = signatures(pa.array(["Ab", "ab.", "", "?"]), choice)
    assert np.array_equal(short[0], short[1]) and (short[2:] == EMPTY).all() and (short[0] != EMPTY).any()


def near_duplicates(seed: int, words: int, changes: int) -> tuple[str, str]:
    draw = random.Random(seed)
    original = [f"w{draw.randrange(5000)}" for _ in range(words)]
    copy = list(original)
    for place in draw.sample(range(words), changes):
        copy[place] = f"x{draw.randrange(5000)}"
    return " ".join(original), " ".join(copy)


def true_jaccard(a: str, b: str, ngram: int = 5) -> float:
    def grams(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text)
        return {tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)}

    left, right = grams(a), grams(b)
    return len(left & right) / len(left | right)


def test_estimates_follow_the_true_jaccard_with_the_deviation_of_theory():
    choice = MinHashSettings(permutations=256)
    pairs = [near_duplicates(seed, 300, 1 + seed % 40) for seed in range(120)]
    flat = pa.array([text for pair in pairs for text in pair])
    rows = signatures(flat, choice)
    a, b = np.arange(0, 240, 2), np.arange(1, 240, 2)
    truth = np.array([true_jaccard(*pair) for pair in pairs])
    error = similarity(rows, rows, a, b) - truth
    scaled = error / np.sqrt(truth * (1 - truth) / 256)
    assert abs(statistics.fmean(scaled)) < 0.4 and 0.75 < statistics.pstdev(scaled) < 1.25
    assert np.allclose(true_similarity(flat, 5, a, b), truth, atol=0)


def test_lean_minhash_answers_as_similarity_does():
    texts = pa.array(list(near_duplicates(3, 200, 8)))
    rows = signatures(texts, SETTINGS)
    a, b = (to_lean_minhash(row, SETTINGS) for row in rows)
    assert a.jaccard(b) == similarity(rows, rows, np.array([0]), np.array([1]))[0]
    peer = datasketch.MinHash(num_perm=64, seed=7, hashfunc=lambda h: h >> 32, scheme="affine32")
    peer.update_batch(shingles(texts[0].as_py(), 5))
    assert a.jaccard(datasketch.LeanMinHash(peer)) == 1.0


def test_without_datasketch_a_lean_minhash_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(UserError, match=r"'datasketch'.*pip install 'corpusmill\[datasketch\]'"):
        to_lean_minhash(np.zeros(64, np.uint32), SETTINGS)


def test_settings_are_checked():
    with pytest.raises(UserError, match="seed"):
        MinHashSettings(seed=-1)
    with pytest.raises(UserError, match="permutations"):
        MinHashSettings(permutations=0)
    with pytest.raises(UserError, match="bytes"):
        MinHashSettings(shingle="bytes")
    assert (
        signatures(pa.array(["a b c"]), SETTINGS) != signatures(pa.array(["a b c"]), MinHashSettings(64, 5, 8))
    ).any()
