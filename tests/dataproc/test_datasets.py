"""The bytes of parts depend on the rows alone, and a writer that fails leaves no half of a file."""

import errno
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.dataproc import datasets, storage
from corpusmill.dataproc.datasets import PartWriter, open_part, read_batches, row_bytes, sided_writers, write_table
from corpusmill.dataproc.errors import UserError

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.large_string()), ("n", pa.int32())])


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "ROW_GROUP_BYTES", 400)
    monkeypatch.setattr(datasets, "ROW_GROUP_ROWS", 12)


def batch_of(texts: list[str | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"id": f"id-{row}", "text": text, "n": row} for row, text in enumerate(texts)], schema=SCHEMA
    )


def write(folder: Path, batches: list[pa.RecordBatch], part_bytes: int = 1000) -> list[dict[str, Any]]:
    with PartWriter(str(folder), "part", SCHEMA, part_bytes=part_bytes) as writer:
        for batch in batches:
            writer.write(batch)
    return writer.parts


texts = st.lists(st.one_of(st.none(), st.integers(0, 500).map(lambda n: "x" * n)), max_size=60)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, st.lists(st.integers(0, 60), max_size=8))
def test_parts_are_the_same_bytes_for_any_batches(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str | None], cuts: list[int]
) -> None:
    whole = batch_of(rows)
    one, many = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("many")
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    slices = [whole.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    parts = write(one, [whole])
    assert write(many, slices) == parts
    assert sorted(os.listdir(one)) == sorted(os.listdir(many))  # noqa: PTH208
    for part in parts:
        data = (one / part["path"]).read_bytes()
        assert data == (many / part["path"]).read_bytes()
        assert (part["bytes"], part["digest"]) == (len(data), storage.digest_file(str(one / part["path"])))
    read = [row for part in parts for batch in read_batches(str(one / part["path"])) for row in batch.to_pylist()]
    assert read == whole.to_pylist()
    assert sum(part["rows"] for part in parts) == len(rows)


def test_a_full_part_begins_another(tmp_path: Path) -> None:
    parts = write(tmp_path, [batch_of(["x" * 390] * 9)])
    assert [part["path"] for part in parts] == ["part.parquet", "part_001.parquet", "part_002.parquet"]
    assert [part["rows"] for part in parts] == [3, 3, 3]
    assert pq.read_metadata(tmp_path / "part.parquet").num_row_groups == 3


def test_no_rows_make_one_empty_part(tmp_path: Path) -> None:
    (part,) = write(tmp_path, [batch_of([])])
    assert part["rows"] == 0
    assert pq.read_table(tmp_path / "part.parquet").schema.equals(SCHEMA)
    assert list(read_batches(str(tmp_path / "part.parquet"))) == []


@pytest.mark.filterwarnings("error")
def test_an_exception_leaves_no_half_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="mine"),
        PartWriter(str(tmp_path), "part", SCHEMA, part_bytes=1 << 30) as writer,
    ):
        writer.write(batch_of(["x" * 300] * 9))
        raise ValueError("mine")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize("writes_before", [0, 1, 5])
def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes_before: int
) -> None:
    left = writes_before

    def write_little(self: storage.DigestedFile, data: Any) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left -= 1
        return memoryview(data).nbytes

    monkeypatch.setattr(storage.DigestedFile, "write", write_little)
    with pytest.raises(OSError) as caught:
        write(tmp_path, [batch_of(["x" * 300] * 9)], part_bytes=1 << 30)
    assert "No space left" in str(caught.value)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_row_bytes_of_slices_and_all_kinds() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "a": pa.array(["", "xy", None], pa.string()),
            "b": pa.array([b"1", b"", b"22"], pa.large_binary()),
            "c": pa.array([1, 2, 3], pa.int8()),
        }
    )
    assert row_bytes(batch).tolist() == [9, 10, 10]
    assert row_bytes(batch.slice(1)).tolist() == [10, 10]
    assert row_bytes(batch.slice(3)).dtype == np.int64


def test_columns_are_taken_by_name(tmp_path: Path) -> None:
    batch = batch_of(["a"])
    write(tmp_path, [batch.select(["n", "text", "id"])])
    assert pq.read_table(tmp_path / "part.parquet").to_pylist() == batch.to_pylist()


def test_broken_files_and_missing_columns_are_user_errors(tmp_path: Path) -> None:
    path = str(tmp_path / "part.parquet")
    write_table(path, pa.table({"a": [1]}))
    with pytest.raises(UserError, match="no column b"):
        list(read_batches(path, ["a", "b"]))
    with pytest.raises(UserError, match="no such file"):
        open_part(f"{path}.none")
    for data in (b"", b"PAR1", b"not parquet" * 10, (tmp_path / "part.parquet").read_bytes()[:-7]):
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(UserError, match="not a readable Parquet file"):
            open_part(str(tmp_path / "bad"))


def test_storage_that_fails_is_not_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    write_table(str(tmp_path / "a"), pa.table({"a": [1]}))
    monkeypatch.setattr(pq, "ParquetFile", fail)
    with pytest.raises(OSError, match="Input/output"):
        open_part(str(tmp_path / "a"))


def test_what_is_kept_lies_in_the_folder_and_the_rest_beside_it_each_in_one_part(tmp_path: Path) -> None:
    writers = sided_writers(
        str(tmp_path), "part-00000", {"kept": SCHEMA, "ledger": SCHEMA.append(pa.field("x", "int8"))}
    )
    for writer in writers.values():
        with writer:
            pass
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet*"))
    assert names == ["_ledger/part-00000.parquet.side", "part-00000.parquet"]
    assert pq.read_schema(tmp_path / names[0]).names == [*SCHEMA.names, "x"]
