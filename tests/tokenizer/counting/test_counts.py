"""Counts are exact, and the same however the text is divided."""

from collections import Counter as Tally

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting import counts
from corpusmill.tokenizer.counting.counts import PretokenCounts, count_pretokens, gather, in_order, merge, partition
from corpusmill.tokenizer.pretokens import pretokens


def plain(texts: list[str]) -> list[tuple[bytes, int]]:
    tally = Tally(piece.encode() for text in texts for piece in pretokens(text))
    return sorted(tally.items(), key=lambda item: (-item[1], item[0]))


def listed(table: PretokenCounts) -> list[tuple[bytes, int]]:
    return list(zip(table.pretokens.to_pylist(), table.counts.tolist(), strict=True))


def texts_of(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def test_equals_a_plain_tally(source_texts: list[str]) -> None:
    some = source_texts[:40]
    table = count_pretokens(texts_of(some))
    assert listed(table) == plain(some)
    assert table.total == sum(count for _, count in plain(some))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab .\n中1", max_size=60), max_size=6), st.integers(0, 6))
def test_however_the_text_is_divided(texts: list[str], cut: int) -> None:
    whole = count_pretokens(texts_of(texts))
    assert listed(whole) == plain(texts)
    parts = [count_pretokens(texts_of(texts[:cut])), count_pretokens(texts_of(texts[cut:]))]
    for tables in (parts, parts[::-1]):
        assert merge(tables).digest() == whole.digest()


def test_long_strings_with_equal_ends_are_told_apart() -> None:
    words = [left + middle * 40 + "z" for left in "xy" for middle in "mn"] + [
        "m" * n for n in (8, 9, 15, 16, 17, 24, 300)
    ]
    texts = [" ".join(words)] * 3
    assert listed(count_pretokens(texts_of(texts))) == plain(texts)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.integers(1, 1 << 60), max_size=30), st.integers(1, 5))
def test_partitions_are_disjoint_whole_and_in_order(words: dict[bytes, int], number: int) -> None:
    table = in_order(pa.array([*words], pa.large_binary()), np.array([*words.values()], np.int64))
    parts = partition(table, number)
    assert len(parts) == number
    assert sorted(item for part in parts for item in listed(part)) == sorted(words.items())
    for part in parts:
        assert part.digest() == in_order(part.pretokens, part.counts).digest()
    assert gather(parts[::-1]).digest() == table.digest() == merge(parts).digest()


def test_equal_pretokens_meet_in_equal_partitions() -> None:
    left = partition(count_pretokens(texts_of(["one two three four five six seven"])), 4)
    right = partition(count_pretokens(texts_of(["seven six five four three two one", "and more"])), 4)
    total = gather([merge(pair) for pair in zip(left, right, strict=True)])
    assert listed(total) == plain(
        ["one two three four five six seven", "seven six five four three two one", "and more"]
    )


def test_partitions_never_move() -> None:
    """Files of another version or machine must fall into the same partitions."""
    words = [b"a", b" the", b"12345678", b"123456789abcdefg", b"seventeen bytes!!", bytes(range(256))]
    table = in_order(pa.array(words, pa.large_binary()), np.ones(len(words), np.int64))
    places = {word: number for number, part in enumerate(partition(table, 1000)) for word in part.pretokens.to_pylist()}
    assert [places[word] for word in words] == [51, 736, 453, 366, 727, 452]


def test_tables_round_trip_through_arrow() -> None:
    table = count_pretokens(texts_of(["b a b c", "a b"]))
    stored = table.to_table()
    assert stored.schema == counts.SCHEMA
    assert PretokenCounts.from_table(stored).digest() == table.digest()
    assert PretokenCounts.from_table(stored.to_batches()[0]).digest() == table.digest()
    shuffled = pa.concat_tables([stored.slice(2), stored.slice(0, 2)])
    assert PretokenCounts.from_table(shuffled).digest() == table.digest()
    assert len(PretokenCounts.from_table(stored.slice(0, 0))) == 0
    assert len(merge([])) == len(gather([])) == 0


def test_mistakes() -> None:
    with pytest.raises(UserError, match="deepseek-v3"):
        count_pretokens(texts_of(["a"]), "nothing known")
    most = in_order(pa.array([b"a"], pa.large_binary()), np.array([2**62], np.int64))
    assert listed(merge([most, in_order(most.pretokens, most.counts - 1)])) == [(b"a", 2**63 - 1)]
    with pytest.raises(UserError, match="exceeds 2\\^63"):
        merge([most, most])
    with pytest.raises(ValueError):
        partition(merge([]), 0)
