"""Rows of two sides by their keys: nothing is lost, nothing is paired twice, and partitions leave no trace."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc import pairing
from corpusmill.dataproc.pairing import Pairing, column_hashes, combined, keys_of, pair, row_type

ROW = row_type(("number", "<u4"))
KEYS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=30)


def _rows(keys: list[tuple[int, int]]) -> np.ndarray:
    rows = np.zeros(len(keys), ROW)
    rows["high"] = [high << 62 for high, _ in keys]
    rows["low"] = [low for _, low in keys]
    rows["number"] = np.arange(len(keys))
    return rows


@given(KEYS, KEYS)
def test_the_nth_row_with_a_key_goes_with_the_nth_of_the_other_side(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    pairs = pair(_rows(first), _rows(second))
    expected, later = [], {key: [n for n, other in enumerate(second) if other == key] for key in second}
    alone = []
    for number, key in enumerate(first):
        if later.get(key):
            expected.append((number, later[key].pop(0)))
        else:
            alone.append(number)
    assert sorted(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected
    assert sorted(pairs.only_first.tolist()) == alone
    assert sorted(pairs.only_second.tolist()) == sorted(number for left in later.values() for number in left)
    assert pairs.repeated == (len(first) - len(set(first)), len(second) - len(set(second)))


@given(KEYS, KEYS, st.integers(1, 5))
def test_partitions_on_disk_give_what_one_in_memory_does(
    first: list[tuple[int, int]], second: list[tuple[int, int]], size: int
) -> None:
    waiting, pairing.WAITING_BYTES = pairing.WAITING_BYTES, 100
    try:
        results = []
        for partition_bytes in (1 << 20, size * ROW.itemsize):
            with Pairing(ROW, len(first) + len(second), partition_bytes) as rows:
                for side, keys in enumerate((first, second)):
                    whole = _rows(keys)
                    for start in range(0, len(whole), 7):
                        rows.add(side, whole[start : start + 7])
                results.append([(one[np.argsort(one, order=["high", "low", "number"])].tolist(),
                                 other[np.argsort(other, order=["high", "low", "number"])].tolist())
                                for one, other in rows.partitions()])  # fmt: skip
        whole, divided = results
        assert [row for one, _ in divided for row in one] == whole[0][0]
        assert [row for _, other in divided for row in other] == whole[0][1]
    finally:
        pairing.WAITING_BYTES = waiting


def test_the_files_are_removed_also_after_an_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pairing, "WAITING_BYTES", 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        with Pairing(ROW, 100, 48) as rows:
            rows.add(0, _rows([(1, 1), (2, 2)]))
            assert list(tmp_path.iterdir())
            raise KeyError
    except KeyError:
        pass
    assert not list(tmp_path.iterdir())


def test_equal_values_have_equal_hashes_and_null_is_a_value() -> None:
    for column in (
        ["a", None, "a", "b", ""],
        [1, None, 1, 2, 0],
        [0.5, None, 0.5, 1.5, 0.0],
        [[1], None, [1], [2], []],
    ):
        for array in (pa.array(column), pa.chunked_array([column[:2], column[2:]], pa.array(column).type)):
            hashes = column_hashes(array).tolist()
            assert hashes[0] == hashes[2]
            assert len(set(hashes)) == 4
    assert len(set(column_hashes(pa.array([True, False, None])).tolist())) == 3
    assert (
        column_hashes(pa.array(["x", "y"])).tolist() == column_hashes(pa.array(["x", "y"], pa.large_string())).tolist()
    )


def test_columns_of_strings_that_repeat_are_hashed_as_others_are() -> None:
    repeating = pa.array(["web", "code", "web", "web"])
    assert column_hashes(repeating).tolist() == keys_of(repeating)[:, 1].tolist()


def test_a_row_has_another_hash_where_columns_change_places() -> None:
    one, other = column_hashes(pa.array(["a"])), column_hashes(pa.array(["b"]))
    assert combined([one, other], 1) != combined([other, one], 1)
    assert Counter(combined([one], 1).tolist()) != Counter(combined([other], 1).tolist())
