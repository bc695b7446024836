"""Parquet: any string type for the text, other columns into meta, and broken rows, groups and files reported."""

import datetime
import errno
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers import tables
from corpusmill.dataproc.readers.batches import Unread
from corpusmill.dataproc.readers.parquet import read_parquet
from corpusmill.dataproc.readers.pieces import Fields, Piece

Reported = list[tuple[str, str, str, str | None]]
FIELDS = Fields(source="s")


def read(path: Path, start: int = 0, stop: int = 0, fields: Fields = FIELDS) -> tuple[list[dict[str, Any]], Reported]:
    piece = Piece(path=str(path), name=path.name, format="parquet", bytes=0, start=start, stop=stop)
    reported: Reported = []
    batches = read_parquet(piece, fields, lambda *values: reported.append(values))
    rows = []
    for batch in batches:
        batch.validate(full=True)
        rows += batch.to_pylist()
    return rows, reported


def read_table(folder: Path, columns: dict[str, Any], fields: Fields = FIELDS, **options: Any):
    pq.write_table(pa.table(columns), folder / "a.parquet", **options)
    return read(folder / "a.parquet", fields=fields)


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


STRINGS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]


@pytest.mark.parametrize("kind", [*STRINGS, pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_every_kind_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    strings = ["a\r\nb", "\ufeffé\0", "", "中文"]
    values = [text.encode() for text in strings] if "binary" in str(kind) else strings
    rows, reported = read_table(tmp_path, {"text": pa.array(values, kind), "id": pa.array(values, kind)})
    assert (texts(rows), reported) == (["a\nb", "é", "", "中文"], [])
    assert [row["id"] for row in rows] == ["a\r\nb", "\ufeffé\0", "s/a.parquet#2", "中文"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.string()], ids=str)
def test_a_row_that_is_not_utf8_costs_itself_alone(tmp_path: Path, kind: pa.DataType) -> None:
    raw = pa.array([b"a", b"x\xff", b"c"], pa.binary())
    rows, reported = read_table(tmp_path, {"text": raw.view(kind)})
    assert texts(rows) == ["a", "c"]
    assert [row["id"] for row in rows] == ["s/a.parquet#0", "s/a.parquet#2"]
    where = f"{tmp_path}/a.parquet, row 1"
    assert reported == [("s/a.parquet#1", where, "column 'text' is not UTF-8 at byte 1", None)]


def test_other_columns_that_are_not_utf8_cost_their_row(tmp_path: Path) -> None:
    raw = pa.array([b"a", b"x\xff", b"c"], pa.binary()).view(pa.string())
    for name in ("id", "url", "note"):
        rows, reported = read_table(tmp_path, {"text": ["0", "1", "2"], name: raw})
        assert texts(rows) == ["0", "2"]
        assert [entry[0] for entry in reported] == ["s/a.parquet#1"] and reported[0][3] == "1"


def test_null_and_too_long_texts_are_reported(tmp_path: Path) -> None:
    fields = Fields(source="s", maximum_record_bytes=5)
    rows, reported = read_table(tmp_path, {"text": ["a", None, "123456", "12345"]}, fields)
    assert texts(rows) == ["a", "12345"]
    assert [(entry[0], entry[2]) for entry in reported] == [
        ("s/a.parquet#1", "no text in column 'text'"),
        ("s/a.parquet#2", "a text longer than 5 bytes"),
    ]


def test_columns(tmp_path: Path) -> None:
    rows, _ = read_table(
        tmp_path,
        {"text": ["a", "b"], "id": [3, None], "source": ["x", None], "kind": [None, "code"], "language": ["en", ""]},
    )
    assert rows == [
        {"id": "3", "text": "a", "source": "x", "kind": "web", "language": "en", "url": None, "meta": None},
        {
            "id": "s/a.parquet#1",
            "text": "b",
            "source": "s",
            "kind": "code",
            "language": None,
            "url": None,
            "meta": None,
        },
    ]


def test_an_id_column_of_another_kind_stays_in_meta(tmp_path: Path) -> None:
    (row,), _ = read_table(tmp_path, {"text": ["a"], "id": [[1]]})
    assert (row["id"], row["meta"]) == ("s/a.parquet#0", '{"id":[1]}')


def test_nested_columns_go_into_meta(tmp_path: Path) -> None:
    columns = {
        "list": [[1, 2]], "struct": [{"b": "é", "a": None}], "bytes": [b"\xffx"], "decimal": [Decimal("1.50")],
        "time": [datetime.datetime(2020, 1, 2)], "nan": [float("nan")], "big": pa.array([2**64 - 1], pa.uint64()),
    }  # fmt: skip
    (row,), reported = read_table(tmp_path, {"text": ["a"], **columns})
    assert not reported
    assert orjson.loads(row["meta"]) == {
        "list": [1, 2], "struct": {"a": None, "b": "é"}, "bytes": "\\xffx", "decimal": "1.50",
        "time": "2020-01-02T00:00:00", "nan": None, "big": 2**64 - 1,
    }  # fmt: skip


def test_what_python_cannot_hold_costs_its_row(tmp_path: Path) -> None:
    days = pa.array([0, 2**31 - 1, 5], pa.int32()).view(pa.date32())
    rows, reported = read_table(tmp_path, {"text": ["a", "b", "c"], "day": days})
    assert texts(rows) == ["a", "c"]
    assert rows[0]["meta"] == '{"day":"1970-01-01"}'
    assert reported[0][0] == "s/a.parquet#1" and "cannot be written" in reported[0][2]


def test_ranges_of_row_groups_give_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 3)
    whole, _ = read_table(tmp_path, {"text": [str(i) for i in range(23)]}, row_group_size=5)
    assert [row["id"] for row in whole] == [f"s/a.parquet#{i}" for i in range(23)]
    parts = [read(tmp_path / "a.parquet", start, stop)[0] for start, stop in ((0, 1), (1, 4), (4, 5))]
    assert [row for part in parts for row in part] == whole


def test_an_empty_table(tmp_path: Path) -> None:
    assert read_table(tmp_path, {"text": pa.array([], pa.string()), "x": pa.array([], pa.int8())}) == ([], [])


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet" * 9])
def test_a_broken_file_is_reported(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    rows, (entry,) = read(tmp_path / "a.parquet")
    assert not rows
    assert entry[:2] == ("s/a.parquet#0", f"{tmp_path}/a.parquet")
    assert entry[2].startswith("not a readable Parquet file")


def test_a_broken_row_group_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    written = [str(i) * 50 for i in range(40)]
    pq.write_table(pa.table({"text": written}), path, row_group_size=10, compression="zstd", use_dictionary=False)
    column = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xee" * column.total_compressed_size
    path.write_bytes(data)
    rows, (entry,) = read(path)
    assert texts(rows) == written[:10] + written[20:]
    assert rows[10]["id"] == "s/a.parquet#20"
    assert entry[:2] == ("s/a.parquet#10", f"{path}, rows 10 to 19 (row group 1)")
    assert entry[2].startswith("broken Parquet: ")


def test_storage_that_fails_is_not_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Any:
        yield from ()
        raise OSError(errno.EIO, "Input/output error")

    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", fail)
    with pytest.raises(OSError, match="Input/output"):
        read(tmp_path / "a.parquet")


def test_a_file_that_the_settings_do_not_go_with_is_reported_with_its_rows(tmp_path: Path) -> None:
    for columns, reason in (
        ({"body": ["a", "b"]}, "no column 'text' (there are body); use --text-field"),
        ({"text": [1, 2]}, "column 'text' is int64, not text; use --text-field"),
    ):
        rows, ((_, _, unread, _),) = read_table(tmp_path, columns)
        assert (rows, unread) == ([], reason)
        assert isinstance(unread, Unread) and (unread.records, unread.mismatch) == (2, True)


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.parquet")


def test_two_columns_of_one_name_are_reported(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"]), tmp_path / "a.parquet")
    rows, (entry,) = read(tmp_path / "a.parquet")
    assert (rows, entry[2]) == ([], "two columns have the same name")
