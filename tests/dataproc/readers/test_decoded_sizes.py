"""Rows are weighed by what they decode to: the same as their plain values, however these are stored or sliced."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.readers.decoded_sizes import VALUE_BYTES, decoded_bytes, spelled_bytes
from tests.memory import peak_growth

WORDS = ["", "a", "long " * 9, None, "é", "a"]


def weigh(value: Any) -> int:
    if isinstance(value, dict):
        return VALUE_BYTES + sum(map(weigh, value.values()))
    if isinstance(value, list):
        return VALUE_BYTES + sum(map(weigh, value))
    return VALUE_BYTES + (len(value.encode()) if isinstance(value, str) else 0)


COLUMNS = {
    "string": pa.array(WORDS),
    "large": pa.array(WORDS, pa.large_string()),
    "view": pa.array(WORDS, pa.string_view()),
    "int": pa.array(range(6), pa.int8()),
    "null": pa.nulls(6),
    "list": pa.array([[1, 2], [], [3], [4, 5, 6], [7], []]),
    "strings": pa.array([["a", "bc"], [], ["def"], ["g"], [], [""]]),
    "lists": pa.array([[["a"], []], [], [["bc", "d"]], [[]], [["e"]], []]),
    "fixed": pa.array([["a", "bc"]] * 6, pa.list_(pa.string(), 2)),
    "struct": pa.array([{"a": word or "", "b": {"c": 1}} for word in WORDS]),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(("first", "count"), [(0, 6), (2, 3), (5, 1), (3, 0)])
def test_a_row_weighs_its_plain_values(name: str, first: int, count: int) -> None:
    batch = pa.record_batch({"x": COLUMNS[name]}).slice(first, count)
    assert decoded_bytes(batch).tolist() == [weigh(value) for value in batch.column(0).to_pylist()]


def test_what_is_stored_once_weighs_in_each_row() -> None:
    words = pa.array(["a", "long " * 9])
    columns = {
        "dictionary": pa.DictionaryArray.from_arrays([1, 0, 1], words),
        "runs": pa.RunEndEncodedArray.from_arrays([1, 2, 3], pa.array(["long " * 9, "a", "long " * 9])),
        "list": pa.ListArray.from_arrays([0, 1, 2, 3], pa.DictionaryArray.from_arrays([1, 0, 1], words)),
    }
    for column in columns.values():
        for first in range(3):
            batch = pa.record_batch({"x": column}).slice(first)
            assert (np.diff(decoded_bytes(batch)) == [-44, 44][first:]).all()
            assert (decoded_bytes(batch) >= [weigh(value) for value in batch.column(0).to_pylist()]).all()
    mapped = pa.array([[("a", 1)], [], [("bc", 2), ("d", 3)]], pa.map_(pa.string(), pa.int64()))
    assert decoded_bytes(pa.record_batch({"x": mapped})).tolist() == [25, 8, 43]
    assert decoded_bytes(pa.record_batch({"x": mapped}).slice(2)).tolist() == [43]


def test_lists_without_buffers_are_weighed_in_little_memory() -> None:
    nulls = pa.ListArray.from_arrays([0, 300_000_000, 300_000_001], pa.nulls(300_000_001))
    peak = peak_growth()
    assert decoded_bytes(pa.record_batch({"x": nulls})).tolist() == [8 + 8 * 300_000_000, 16]
    assert peak() < 64 << 20


CONTROLS = "a\x00\x01b\x1f"
SPELLED: dict[str, tuple[pa.Array, int]] = {
    "string": (pa.array(["plain", CONTROLS, None, "é漢"]), 3),
    "large": (pa.array([CONTROLS, "", CONTROLS], pa.large_string()), 6),
    "view": (pa.array([CONTROLS * 9, "x"], pa.string_view()), 27),
    "binary": (pa.array([b"\xff\x00plain~", b" "], pa.binary()), 2),
    "fixed": (pa.array([b"\x00\x01a", b"abc"], pa.binary(3)), 2),
    "dictionary": (pa.DictionaryArray.from_arrays([1, 0, 1], pa.array(["a", CONTROLS])), 6),
    "runs": (pa.RunEndEncodedArray.from_arrays([2, 3], pa.array([CONTROLS, "a"])), 6),
    "list": (pa.array([[CONTROLS, "a"], [], [CONTROLS]]), 6),
    "struct": (pa.array([{"x": CONTROLS, "y": 1}, None]), 3),
    "map": (pa.array([[("k", CONTROLS)], []], pa.map_(pa.string(), pa.string())), 3),
    "fixed list": (pa.array([[CONTROLS, "a"]], pa.list_(pa.string(), 2)), 3),
    "numbers": (pa.array([1, 2]), 0),
}


@pytest.mark.parametrize("name", SPELLED)
def test_what_json_spells_is_counted_of_a_slice_too(name: str) -> None:
    column, spelled = SPELLED[name]
    assert spelled_bytes(column) == 5 * spelled
    around = pa.concat_arrays([column, column, column]).slice(len(column), len(column))
    assert spelled_bytes(around) == 5 * spelled
    assert spelled_bytes(column.slice(0, 0)) == 0
