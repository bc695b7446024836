"""A share of the tokens that join punctuation and line breaks is split; the text stays as it is."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.randomness import random_keys, random_uniform
from corpusmill.tokenizer import Tokenizer
from corpusmill.tokenizer.boundary import BoundaryTable, boundary_table, split_joined


@pytest.fixture(scope="module")
def tokenizer(folder: str) -> Tokenizer:
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def table(tokenizer: Tokenizer) -> BoundaryTable:
    return boundary_table(tokenizer)


def plain(
    rows: list[list[int]], keys: np.ndarray, probability: float, table: BoundaryTable
) -> tuple[list[list[int]], int]:
    touched = 0
    result = []
    for row, key in zip(rows, keys, strict=True):
        split: list[int] = []
        for place, token in enumerate(row):
            first, second = table.parts(token)
            if first and random_uniform.py_func(key, np.uint64(place)) < probability:
                split += first + second
                touched += 1
            else:
                split.append(token)
        result.append(split)
    return result, touched


def test_which_tokens_take_part(tokenizer: Tokenizer, table: BoundaryTable) -> None:
    tokens = tokenizer.vocabulary.tokens.to_pylist()
    taking_part = {token for number, token in enumerate(tokens) if table.parts(number)[0]}
    assert len(table) == len(taking_part) > 10
    assert {b":\n", b")\n", b"):\n"} <= taking_part
    assert not {b"\n", b"\n\n", b" \n", b".", b" the"} & taking_part
    for token in taking_part:
        assert token.strip(b"\r\n") and token[-1:] in b"\r\n" and not token[:-1].isspace()


def test_parts_are_the_token(tokenizer: Tokenizer, table: BoundaryTable) -> None:
    for number in range(tokenizer.vocab_size):
        first, second = table.parts(number)
        if first:
            assert tokenizer.decode(np.array(first + second)) == tokenizer.token_bytes(number)
            assert set(tokenizer.decode(np.array(second))) <= set(b"\r\n")
            assert not set(tokenizer.decode(np.array(first))) & set(b"\r\n")
            assert number not in first + second


def test_equals_the_plain_split_on_sources(tokenizer: Tokenizer, table: BoundaryTable, source_texts: list[str]) -> None:
    texts = [*source_texts[:20], ""]
    rows = tokenizer.encode(pa.array(texts, pa.large_string()))
    keys = random_keys(7, "boundary", pa.array([f"document {number}" for number in range(len(texts))]))
    split, touched = split_joined(rows, keys, 0.1, table)
    with np.errstate(over="ignore"):
        expected, count = plain(rows.to_pylist(), keys, 0.1, table)
    assert (split.to_pylist(), touched) == (expected, count)
    joined = sum(bool(table.parts(token)[0]) for row in rows.to_pylist() for token in row)
    assert joined > 1000 and 0.07 < touched / joined < 0.13
    for text, row in zip(texts, split.to_pylist(), strict=True):
        assert tokenizer.decode(np.array(row, np.int32)) == text.encode()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([":\n", ").\n\n", "x", " =\r\n", "。\n", "\n"]), max_size=9), max_size=5),
    st.integers(0, 2**64 - 1),
    st.floats(0, 1),
)
def test_bytes_never_change(
    tokenizer: Tokenizer, table: BoundaryTable, texts: list[list[str]], key: int, probability: float
) -> None:
    written = ["".join(parts) for parts in texts]
    rows = tokenizer.encode(pa.array(written, pa.large_string()))
    split, touched = split_joined(rows, np.full(len(rows), key, np.uint64), probability, table)
    assert [tokenizer.decode(np.array(row, np.int32)).decode() for row in split.to_pylist()] == written
    if probability == 0:
        assert touched == 0 and split.equals(rows)


def test_all_or_nothing(tokenizer: Tokenizer, table: BoundaryTable) -> None:
    rows = tokenizer.encode(pa.array(["if x:\n    f(x)\n" * 5, "):\n"], pa.large_string()))
    keys = np.arange(2, dtype=np.uint64)
    assert split_joined(rows, keys, 0.0, table)[0].equals(rows)
    split, touched = split_joined(rows, keys, 1.0, table)
    assert touched == 11
    assert not any(table.parts(token)[0] for row in split.to_pylist() for token in row)
    with pytest.raises(ValueError):
        split_joined(rows, keys, 1.5, table)


def test_a_draw_belongs_to_its_document(tokenizer: Tokenizer, table: BoundaryTable) -> None:
    rows = tokenizer.encode(pa.array(["a:\nb:\nc):\n" * 20] * 3 + ["", "x:\n" * 50], pa.large_string()))
    keys = random_keys(1, "boundary", pa.array(list("abcde")))
    whole, touched = split_joined(rows, keys, 0.5, table)
    parts = [split_joined(rows.slice(row, 1), keys[row : row + 1], 0.5, table) for row in range(5)]
    assert [part.to_pylist()[0] for part, _ in parts] == whole.to_pylist()
    assert sum(count for _, count in parts) == touched
    assert whole[0] != whole[1]
    short = rows.cast(pa.list_(pa.int32()))
    assert split_joined(short, keys, 0.5, table)[0].equals(whole)
