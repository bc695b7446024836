"""CSV and TSV: columns by name, everything as text, and rows that are broken cost themselves."""

import gzip
from pathlib import Path
from typing import Any

import pytest
import zstandard

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.csv_files import read_csv
from corpusmill.dataproc.readers.pieces import Fields, Piece

Reported = list[tuple[str, str, str, str | None]]


def read(folder: Path, data: bytes, name: str = "a.csv", **fields: Any) -> tuple[list[dict[str, Any]], Reported]:
    (folder / name).write_bytes(data)
    piece = Piece(path=str(folder / name), name=name, format="csv", bytes=0)
    reported: Reported = []
    batches = read_csv(piece, Fields(source="s", **fields), lambda *values: reported.append(values))
    return [row for batch in batches for row in batch.to_pylist()], reported


CONTENT = b'\xef\xbb\xbftext,n,id,url\n"a\nb, ""c""",1,7,u\n007,NA,,\n,,,\n'


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.tsv"])
def test_rows_are_documents_and_values_stay_text(tmp_path: Path, name: str) -> None:
    data = (
        CONTENT.replace(b"a\nb, ", b"a\nb; ").replace(b",", b"\t").replace(b";", b",") if name == "a.tsv" else CONTENT
    )
    packed = {"gz": gzip.compress, "zst": zstandard.compress}.get(name.rsplit(".")[-1], bytes)(data)
    rows, reported = read(tmp_path, packed, name)
    assert not reported
    assert [(row["id"], row["text"], row["url"]) for row in rows] == [
        ("7", 'a\nb, "c"', "u"), (f"s/{name}#1", "007", None), (f"s/{name}#2", "", None)
    ]  # fmt: skip
    assert [row["meta"] for row in rows] == ['{"n":"1"}', '{"n":"NA"}', '{"n":""}']


def test_a_row_of_another_length_costs_itself(tmp_path: Path) -> None:
    rows, reported = read(tmp_path, b"text,x\na,1\nb\nc,2,3\nd,4\n")
    assert [row["text"] for row in rows] == ["a", "d"]
    assert [(entry[0], entry[2], entry[3]) for entry in reported] == [
        ("s/a.csv#line-3", "1 fields where the first line has 2", "b"),
        ("s/a.csv#line-4", "3 fields where the first line has 2", "c,2,3"),
    ]


def test_a_row_that_is_not_utf8_costs_itself(tmp_path: Path) -> None:
    rows, ((name, _, reason, _),) = read(tmp_path, b"text,x\na,1\n\xff,2\nc,3\n")
    assert [row["text"] for row in rows] == ["a", "c"]
    assert name == "s/a.csv#1" and "not UTF-8" in reason


def test_a_cut_stream_gives_the_rows_before_the_cut(tmp_path: Path) -> None:
    data = b"text,x\n" + b"".join(b"row %d,%d\n" % (number, number * 7919) for number in range(20_000))
    packed = gzip.compress(data)
    rows, reported = read(tmp_path, packed[: len(packed) // 2], "a.csv.gz")
    assert len(rows) > 5000 and rows[5000]["text"] == "row 5000"
    assert "cut off" in reported[-1][2]


def test_a_row_that_is_too_long_ends_the_file_and_is_reported(tmp_path: Path) -> None:
    rows, reported = read(tmp_path, b"text\na\n" + b"x" * 400_000 + b"\n", maximum_record_bytes=1000)
    assert [row["text"] for row in rows] in ([], ["a"])
    assert len(reported) == 1 and "broken CSV" in reported[0][2]


def test_files_that_hold_nothing_or_something_else(tmp_path: Path) -> None:
    assert read(tmp_path, b"") == ([], [])
    assert read(tmp_path, b"text\n") == ([], [])
    assert read(tmp_path, b"PAR1....")[1][0][2] == "this is Parquet, whatever its name says"
    with pytest.raises(UserError, match=r"no column 'text' \(there are body, x\)"):
        read(tmp_path, b"body,x\n1,2\n")
