"""Counting in bounded memory: by group, to the same sums whatever the bound, and all of a batch or nothing."""

from collections import Counter as Tally
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting import counter as module
from corpusmill.tokenizer.counting.counter import Counter
from corpusmill.tokenizer.counting.counts import counts_of
from corpusmill.tokenizer.counting.rows import CountRows
from corpusmill.tokenizer.patterns import pattern_named
from corpusmill.tokenizer.pretokens import pretoken_blocks

Rows = list[tuple[bytes, str, int]]

REFERENCE = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(Regex(split), "isolated") for split in pattern_named("deepseek-v3").splits]
)


def texts_of(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def listed(rows: CountRows, names: list[str]) -> Rows:
    columns = (rows.pretokens.to_pylist(), rows.groups.tolist(), rows.counts.tolist())
    return [(word, names[group], count) for word, group, count in zip(*columns, strict=True)]


def spelled_out(texts: list[str], groups: list[str]) -> Rows:
    """What `tokenizers` cuts the texts into, counted one by one."""
    tally: Tally[tuple[bytes, str]] = Tally()
    for text, group in zip(texts, groups, strict=True):
        tally.update((piece.encode(), group) for piece, _ in REFERENCE.pre_tokenize_str(text))
    return sorted((word, group, count) for (word, group), count in tally.items())


def added_up(pieces: list[Rows]) -> Rows:
    tally: Tally[tuple[bytes, str]] = Tally()
    for word, group, count in (row for rows in pieces for row in rows):
        tally[word, group] += count
    return sorted((word, group, count) for (word, group), count in tally.items() if count)


DOCUMENTS = st.lists(
    st.tuples(st.text("ab .\n中1é", max_size=60), st.sampled_from(["", "en", "ja", "zh"])), min_size=1, max_size=8
)


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, st.integers(1, 20_000), st.integers(0, 8))
def test_any_bound_gives_the_counts_of_the_library_tokenizers(
    documents: list[tuple[str, str]], memory: int, cut: int
) -> None:
    handed_over: list[Rows] = []
    counter = Counter(memory=memory, spill=lambda rows, names: handed_over.append(listed(rows, names)))
    for some in (documents[:cut], documents[cut:]):
        counter.add_texts(texts_of([text for text, _ in some]), pa.array([group for _, group in some], pa.string()))
    counter.hand_over()
    assert all(rows == sorted(rows) for rows in handed_over)
    assert added_up(handed_over) == spelled_out(*(list(column) for column in zip(*documents, strict=True)))


def test_a_full_table_is_handed_over_within_its_bound(source_texts: list[str]) -> None:
    memory_used, pieces = [], []

    def spill(rows: CountRows, names: list[str]) -> None:
        memory_used.append(counter.memory_bytes)
        pieces.append(listed(rows, names))

    memory = 1 << 20
    counter = Counter(memory=memory, spill=spill)
    counter.add_texts(texts_of(source_texts))
    counter.hand_over()
    assert len(memory_used) > 10
    assert memory / 4 < max(memory_used) < memory
    free = Counter()
    free.add_texts(texts_of(source_texts))
    assert added_up(pieces) == listed(free.rows(), free.group_names)


def test_a_pretoken_larger_than_the_bound_is_counted_all_the_same() -> None:
    handed_over: list[Rows] = []
    counter = Counter(memory=20_000, spill=lambda rows, names: handed_over.append(listed(rows, names)))
    counter.add_texts(texts_of(["a b " + "x" * 100_000 + " c", "y" * 50_000]))
    counter.hand_over()
    long = {word: count for word, _, count in added_up(handed_over)}
    assert long[b" " + b"x" * 100_000] == long[b"y" * 50_000] == long[b"a"] == 1


def test_a_table_grows_within_what_is_said_of_it() -> None:
    counter = Counter()
    for first in range(0, 200_000, 40_000):
        words = [
            f"q{number}".translate(str.maketrans("0123456789", "abcdefghij")) for number in range(first, first + 40_000)
        ]
        counter.add_texts(texts_of(["\n".join(words)] * 2))
    assert counter.unique == 200_001
    assert counter.memory_bytes < 180 * counter.unique
    table = counts_of(counter.rows())
    assert table.counts[0] == 2 * 5 * 39_999 and set(table.counts[1:].tolist()) == {2}
    counter.add_texts(texts_of(["qa"]))
    assert counts_of(counter.rows()).counts[1] == 3


def test_strings_at_the_end_of_a_buffer_are_what_they_are_elsewhere() -> None:
    words = ["x" * length for length in range(1, 19)]
    counter = Counter()
    for word in words:
        counter.add_texts(texts_of([f"{word}\n", word]))
    assert {word: count for word, _, count in listed(counter.rows(), [""])} == {
        b"\n": len(words), **{word.encode(): 2 for word in words}
    }  # fmt: skip


def test_what_raises_leaves_the_counts_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    handed_over: list[Rows] = []
    counter = Counter(memory=20_000, spill=lambda rows, names: handed_over.append(listed(rows, names)))
    counter.add_texts(texts_of(["one two"]), pa.array(["en"]))
    before = listed(counter.rows(), counter.group_names)

    def stumbling(offsets: np.ndarray, data: np.ndarray, pattern: Any) -> Iterator[tuple[int, np.ndarray]]:
        for number, (start, ends) in enumerate(pretoken_blocks(offsets, data, pattern)):
            if b"bad" in bytes(data) and number == 1:
                raise RuntimeError("a bad document")
            yield start, ends

    monkeypatch.setattr(module, "pretoken_blocks", stumbling)
    many = " ".join(f"w{number}" for number in range(9_000))
    with pytest.raises(RuntimeError, match="a bad document"):
        counter.add_texts(texts_of(["fine one", f"{many} bad"]), pa.array(["ja", "en"]))
    assert len(handed_over) > 1, "the table was full in between"
    counter.hand_over()
    assert added_up(handed_over) == before


def test_more_groups_than_allowed_are_a_mistake() -> None:
    counter = Counter(most_groups=2)
    counter.add_texts(texts_of(["a", "b", "c"]), pa.array(["x", None, "x"]))
    assert counter.group_names == ["", "x"]
    with pytest.raises(UserError, match=r"more than 2 groups of documents \('y' is one more\)"):
        counter.add_texts(texts_of(["d"]), pa.array(["y"]))


def test_an_unknown_pattern_is_a_mistake() -> None:
    with pytest.raises(UserError, match="deepseek-v3"):
        Counter("nothing known")
