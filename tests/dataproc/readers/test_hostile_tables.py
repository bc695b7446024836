"""Small files of Parquet and Arrow that ask for a lot, or whose parts disagree: bounded, and all accounted for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.readers import arrow_ipc, parquet
from corpusmill.dataproc.readers.arrow_ipc import read_arrow
from corpusmill.dataproc.readers.arrow_messages import read_layout
from corpusmill.dataproc.readers.batches import Unread
from corpusmill.dataproc.readers.counting import count_records
from corpusmill.dataproc.readers.parquet import read_parquet
from corpusmill.dataproc.readers.parquet_pages import _pages
from corpusmill.dataproc.readers.pieces import Fields, Piece
from tests.memory import peak_growth

MOST = 300 << 20
BIG = "x y z " * 150_000


def count(path: Path) -> tuple[int, list[tuple[str, str, int | None]]]:
    """Documents of a file, which are dropped as they come; and (place, reason, records) of what is reported."""
    reported: list[tuple[str, str, int | None]] = []
    read = read_parquet if path.suffix == ".parquet" else read_arrow
    piece = Piece(path=str(path), name=path.name, format=path.suffix[1:], bytes=0)

    def report(id: str, place: str, reason: str, text: str | None) -> None:
        reported.append((place, reason, reason.records if isinstance(reason, Unread) else 1))

    return sum(batch.num_rows for batch in read(piece, Fields(source="s"), report)), reported


def dictionary(count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([BIG]))


PARQUET: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, Any], int]] = {
    # case: (columns, options of the writer, documents)
    "a dictionary page": (lambda: {"text": [BIG] * 250}, {"dictionary_pagesize_limit": 1 << 30}, 250),
    "a dictionary page of another column": (
        lambda: {"text": ["t"] * 150, "note": [BIG] * 150}, {"dictionary_pagesize_limit": 1 << 30}, 150
    ),
    "a column of dictionaries": (lambda: {"text": dictionary(250)}, {}, 250),
    "what is shared with the value before": (
        lambda: {"text": [BIG + str(i % 7) for i in range(250)]},
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
        250,
    ),
    "wide values": (lambda: {"text": ["t"] * 3000, "f": pa.array([bytes(50_000)] * 3000, pa.binary(50_000))}, {}, 3000),
}  # fmt: skip


@pytest.mark.parametrize("case", PARQUET)
def test_parquet_is_bounded_by_what_it_decodes_to(tmp_path: Path, case: str) -> None:
    columns, options, documents = PARQUET[case]
    pq.write_table(pa.table(columns()), tmp_path / "a.parquet", compression="zstd", **options)
    assert (tmp_path / "a.parquet").stat().st_size < 1 << 16
    peak = peak_growth()
    assert count(tmp_path / "a.parquet") == (documents, [])
    assert peak() < MOST


def test_a_nested_column_that_may_take_everything_is_left_out_and_reported(tmp_path: Path) -> None:
    lists = pa.array([[1], np.zeros(50_000_000, np.int8), [2]], pa.list_(pa.int8()))
    pq.write_table(pa.table({"text": ["a", "b", "c"], "l": lists}), tmp_path / "a.parquet", compression="zstd")
    del lists
    peak = peak_growth()
    documents, ((place, reason, records),) = count(tmp_path / "a.parquet")
    assert (documents, records) == (3, 0)
    assert place.endswith("rows 0 to 2 (row group 0)") and "column 'l' is left out" in reason
    assert peak() < MOST


def test_nested_columns_that_are_merely_large_are_kept(tmp_path: Path) -> None:
    lists = pa.array([np.arange(1000) for _ in range(300)])
    pq.write_table(pa.table({"text": ["a"] * 300, "l": lists}), tmp_path / "a.parquet")
    assert count(tmp_path / "a.parquet") == (300, [])


def test_pages_whose_checksum_is_wrong_are_reported_and_those_before_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    words = [f"text {number} " * 40 for number in range(1000)]
    pq.write_table(
        pa.table({"text": words}), path, write_page_checksum=True, use_dictionary=False, data_page_size=1 << 14,
        compression="none", write_batch_size=10,
    )  # fmt: skip
    with path.open("rb") as file:
        pages, complete = _pages(file, pq.read_metadata(path).row_group(0).column(0), True)
    assert complete and sum(page.values for page in pages) == 1000 and len(pages) > 5
    data = bytearray(path.read_bytes())
    data[pages[3].at + pages[3].bytes // 2] ^= 1
    path.write_bytes(data)
    documents, ((_, reason, records),) = count(path)
    before = sum(page.values for page in pages[:3])
    assert before - 16384 // parquet.FINER < documents <= before
    assert "CRC" in reason and records == 1000 - documents


def shorten(path: Path, column: int) -> None:
    """Makes the pages of a column of the first group hold a row less than the others, by the numbers in its headers."""
    with path.open("rb") as file:
        (page,), _ = _pages(file, pq.read_metadata(path).row_group(0).column(column), True)
    data = bytearray(path.read_bytes())
    mark = bytes([0x2C, 0x15, 2 * page.values])  # DataPageHeader, num_values
    spot = data.rindex(mark, 0, page.at)
    data[spot + 2] = 2 * (page.values - 1)
    path.write_bytes(data)


@pytest.mark.parametrize("damaged", ["text", "n"])
def test_rows_that_a_group_does_not_give_are_accounted_for(tmp_path: Path, damaged: str) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": pa.array(["a", "b", "c", "d", "e"]), "n": pa.array([1, 2, 3, 4, 5])})
    schema = pa.schema([pa.field("text", pa.string(), nullable=False), pa.field("n", pa.int64(), nullable=False)])
    pq.write_table(
        table.cast(schema), path, row_group_size=3, use_dictionary=False, compression="none", write_statistics=False
    )
    shorten(path, table.schema.get_field_index(damaged))
    documents, reported = count(path)
    lost = sum(records or 0 for *_, records in reported)
    assert documents + lost == 5 and reported
    assert (documents == 5) == (damaged == "n")


def test_a_footer_that_speaks_of_fewer_rows_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"text": ["a", "b", "c"]}), tmp_path / "a.parquet")
    shape = parquet.shape_of_group
    monkeypatch.setattr(parquet, "shape_of_group", lambda *values, **named: _with_two_more(shape(*values, **named)))
    documents, ((_, reason, records),) = count(tmp_path / "a.parquet")
    assert (documents, records) == (3, 2) and "5 rows where the footer says 3" in reason


def _with_two_more(shape: Any) -> Any:
    return type(shape)(rows=shape.rows, values={"text": shape.values["text"] + 2})


def write_arrow(path: Path, table: pa.Table, **options: Any) -> None:
    with pa.ipc.new_file(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_arrow_is_bounded_by_what_it_decodes_to(tmp_path: Path, compression: str | None) -> None:
    words = pa.DictionaryArray.from_arrays(np.zeros(250, np.int32), pa.array([BIG]))
    runs = pa.RunEndEncodedArray.from_arrays([150], pa.array([BIG]))
    lists = pa.ListArray.from_arrays([0, 5_000_000, 5_000_001, 200_000_000], pa.nulls(200_000_000))
    for name, columns, documents in (
        ("d", {"text": words}, 250),
        ("r", {"text": ["t"] * 150, "r": runs}, 150),
        ("l", {"text": ["t"] * 3, "l": lists}, 2),
    ):
        write_arrow(tmp_path / f"{name}.arrow", pa.table(columns), compression=compression)
        peak = peak_growth()
        read, reported = count(tmp_path / f"{name}.arrow")
        assert (read, len(reported)) == (documents, 1 if name == "l" else 0)
        assert peak() < MOST


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_compressed_batch_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    monkeypatch.setattr(arrow_ipc, "MAXIMUM_BATCH_BYTES", 50 << 20)
    table = pa.concat_tables([pa.table({"text": ["q" * (100 << 20), "b"]}), pa.table({"text": ["c"]})])
    write_arrow(tmp_path / "a.arrow", table, compression=compression)
    with (tmp_path / "a.arrow").open("rb") as file:
        first, second = read_layout(file).batches
    assert first.bytes < 1 << 20 and first.unpacked > 100 << 20 and second.unpacked < 1 << 10
    del table
    peak = peak_growth()
    documents, ((_, reason, records),) = count(tmp_path / "a.arrow")
    assert (documents, records) == (1, 2) and "longer than" in reason
    assert peak() < 50 << 20


def test_dictionaries_that_replace_each_other_do_not_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_ipc, "MAXIMUM_BATCH_BYTES", 1 << 20)
    batches = [
        pa.record_batch({"text": pa.DictionaryArray.from_arrays([0], pa.array([f"{number}" * 600_000]))})
        for number in range(4)
    ]
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    assert count(tmp_path / "a.arrow") == (4, [])


@pytest.mark.parametrize(("name", "expected"), [("a.parquet", 23), ("a.arrow", 23), ("a.jsonl", 2), ("a.csv", None)])
def test_records_of_a_file_that_is_given_up(tmp_path: Path, name: str, expected: int | None) -> None:
    table = pa.table({"text": [str(number) for number in range(23)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=5)
    write_arrow(tmp_path / "a.arrow", table)
    (tmp_path / "a.jsonl").write_text("{}\n\nx\n")
    (tmp_path / "a.csv").write_text("text\n")
    piece = Piece(path=str(tmp_path / name), name=name, format=name[2:], bytes=0)
    assert count_records(piece) == expected
