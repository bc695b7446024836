"""Ids that stand more than once are found in any range of hashes, and renamed by order alone."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.dataproc import ids as module
from corpusmill.dataproc.ids import find_repeated, find_repeated_by_ranges, group_parts, longest_run, new_ids

IDS = st.lists(
    st.lists(st.sampled_from(["a", "b", "a~2", "a~~2", "~3", "c", "é", ""]), max_size=6), min_size=1, max_size=4
)


def write(folder: Path, parts: list[list[str]]) -> list[str]:
    paths = []
    for number, part in enumerate(parts):
        pq.write_table(pa.table({"id": pa.array(part, pa.string())}), folder / f"{number}.parquet", row_group_size=2)
        paths.append(str(folder / f"{number}.parquet"))
    return paths


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(IDS, st.integers(1, 3))
def test_renamed_ids_are_unique_and_the_first_keeps_its_own(
    tmp_path: Path, parts: list[list[str]], ranges: int
) -> None:
    paths = write(tmp_path, parts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MOST_IDS", -(-sum(map(len, parts)) // ranges) or 1)
        actual = list(find_repeated_by_ranges(paths, [len(part) for part in parts]))
    tildes = 1 + max(one.tildes for one in actual)
    counted = Counter(name for part in parts for name in part)
    assert Counter(name for one in actual for name in one.places.column("id").to_pylist()) == {
        name: count for name, count in counted.items() if count > 1
    }
    named = [list(part) for part in parts]
    for one in actual:
        for row in new_ids(one.places, tildes).to_pylist():
            named[row["part"]][row["row"]] = row["id"]
    after = [name for part in named for name in part]
    assert len(set(after)) == len(after)
    seen: Counter[str] = Counter()
    for name, now in zip((name for part in parts for name in part), after, strict=True):
        seen[name] += 1
        assert now == (name if seen[name] == 1 else f"{name}{'~' * tildes}{seen[name]}")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(IDS, st.data())
def test_across_sets_only_ids_of_two_sets_count(tmp_path: Path, parts: list[list[str]], data: st.DataObject) -> None:
    sets = sorted(data.draw(st.lists(st.integers(0, 2), min_size=len(parts), max_size=len(parts))))
    owners: dict[str, set[int]] = {}
    for part, own in zip(parts, sets, strict=True):
        for name in part:
            owners.setdefault(name, set()).add(own)
    paths, most = write(tmp_path, parts), data.draw(st.sampled_from([3, 100]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MOST_IDS", most)
        ranges = list(find_repeated_by_ranges(paths, [len(part) for part in parts], sets))
    actual = [name for one in ranges for name in one.places.column("id").to_pylist()]
    assert set(actual) == {name for name, own in owners.items() if len(own) > 1}


def test_ids_of_one_hash_are_compared_as_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_hashes", lambda ids: np.zeros(len(ids), np.uint64))
    paths = write(tmp_path, [["a", "b"], ["c", "b"]])
    assert find_repeated(paths).places.column("id").to_pylist() == ["b", "b"]
    assert find_repeated(paths, sets=[0, 1]).places.column("row").to_pylist() == [1, 1]


def test_the_longest_run_of_tildes() -> None:
    assert longest_run(pa.array(["a~~2", "b~~~x", "c~9", "~~~~"])) == 2
    assert longest_run(pa.array([], pa.string())) == 0


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_groups_are_all_parts_in_their_order(rows: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MOST_IDS", 10)
        groups = group_parts(rows)
    assert [part for group in groups for part in group] == list(range(len(rows)))
    assert all(sum(rows[part] for part in group[:-1]) < 10 for group in groups)
