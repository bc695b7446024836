"""Words: fastText's hash, and a vocabulary whose numbers do not depend on how lines arrive."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.quality.lines import to_lines
from corpusmill.dataproc.quality.words import WordNumbers, hash_whole_word


def slow_hash(word: bytes) -> int:
    """FNV-1a as fastText computes it: a byte is a signed char that is widened before it is mixed in."""
    value = 2166136261
    for byte in word:
        value = ((value ^ (byte if byte < 128 else 0xFFFFFF00 | byte)) * 16777619) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


@given(st.binary(max_size=40))
def test_the_short_hash_is_fasttexts(word: bytes) -> None:
    assert int(hash_whole_word(np.frombuffer(word, np.uint8))[0]) == slow_hash(word)


texts = st.lists(st.lists(st.sampled_from(["a", "b", "é", "漢字", "dd"]), max_size=6).map(" ".join), max_size=8)


@given(texts, st.integers(0, 8))
def test_words_are_numbered_and_counted_as_they_are_first_seen(lines: list[str], cut: int) -> None:
    numbers: dict[str, int] = {"</s>": 0}
    expected, counts = [], {0: 0}
    for line in lines:
        for word in [*line.split(), "</s>"]:
            number = numbers.setdefault(word, len(numbers))
            counts[number] = counts.get(number, 0) + 1
            expected.append(number)
    words = WordNumbers()
    pieces = [
        words.number(*to_lines(pa.array(piece, pa.large_string())))[0].tolist() for piece in (lines[:cut], lines[cut:])
    ]
    assert pieces[0] + pieces[1] == expected
    assert words.spellings == [word.encode() for word in numbers]
    assert words.counts.tolist() == [counts.get(number, 0) for number in range(len(numbers))]
    assert words.short_hashes.tolist() == [slow_hash(word.encode()) for word in numbers]


def test_a_vocabulary_grows_beyond_its_first_table() -> None:
    words = [f"w{number}" for number in range(100_000)]
    numbers, ends = WordNumbers().number(*to_lines(pa.array([" ".join(words)] * 2, pa.large_string())))
    assert ends.tolist() == [100_001, 200_002]
    assert numbers[:100_000].tolist() == list(range(1, 100_001))
    assert np.array_equal(numbers[:100_001], numbers[100_001:])
