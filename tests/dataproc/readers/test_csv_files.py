"""CSV and TSV: columns by name, everything as text, and rows that are broken cost themselves."""

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.readers.batches import Unread
from corpusmill.dataproc.readers.csv_files import read_csv
from corpusmill.dataproc.readers.csv_source import CsvSource
from corpusmill.dataproc.readers.pieces import Fields, Piece

Reported = list[tuple[str, str, str, str | None]]


def read(folder: Path, data: bytes, name: str = "a.csv", **fields: Any) -> tuple[list[dict[str, Any]], Reported]:
    (folder / name).write_bytes(data)
    piece = Piece(path=str(folder / name), name=name, format="csv", bytes=0)
    reported: Reported = []
    batches = read_csv(piece, Fields(source="s", **fields), lambda *values: reported.append(values))
    return [row for batch in batches for row in batch.to_pylist()], reported


CONTENT = b'\xef\xbb\xbftext,n,id,url\n"a\nb, ""c""",1,7,u\n007,NA,,\n,,,\n'


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.CSV.ZSTD"])
def test_rows_are_documents_and_values_stay_text(tmp_path: Path, name: str) -> None:
    packed = {"gz": gzip.compress, "zst": zstandard.compress, "ZSTD": zstandard.compress}.get(
        name.rsplit(".")[-1], bytes
    )
    rows, reported = read(tmp_path, packed(CONTENT), name)
    assert not reported
    assert [(row["id"], row["text"], row["url"]) for row in rows] == [
        ("7", 'a\nb, "c"', "u"), (f"s/{name}#1", "007", None), (f"s/{name}#2", "", None)
    ]  # fmt: skip
    assert [row["meta"] for row in rows] == ['{"n":"1"}', '{"n":"NA"}', '{"n":""}']


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_tsv_has_no_quoting(tmp_path: Path, name: str) -> None:
    data = b'id\ttext\n1\t"He left.\n2\t"b"\n3\ta, ""c\n'
    rows, reported = read(tmp_path, gzip.compress(data) if name.endswith("gz") else data, name)
    assert ([row["text"] for row in rows], reported) == (['"He left.', '"b"', 'a, ""c'], [])


def test_a_dialect_is_what_settings_say(tmp_path: Path) -> None:
    data = b"id;text\n1;'a;b'\n2;c\\;d\n3;\"e\n"
    rows, reported = read(tmp_path, data, csv_delimiter=";", csv_quote="'", csv_escape="\\")
    assert ([row["text"] for row in rows], reported) == (["a;b", "c;d", '"e'], [])
    rows, reported = read(tmp_path, b'id\ttext\n1\t"a\nb"\n', "a.tsv", csv_quote='"')
    assert ([row["text"] for row in rows], reported) == (["a\nb"], [])
    rows, reported = read(tmp_path, b'id,text\n1,"a\n2,b"\n', csv_quote="none")
    assert ([row["text"] for row in rows], reported) == (['"a', 'b"'], [])


UNCLOSED = [
    (b'id,text\n1,a\n2,"never closed\n3,c\n4,d\n', ["a"]),
    (b'id,text\n1,a\n2,"never closed', ["a"]),
    (b'id,text\n1,a\n2,"b ""c""\n', ["a"]),
    (b'id,text\n1,a\n"2,b\n3,c\n', ["a"]),
    (b'id,text,n\n1,a,1\n2,"b,2\n3,c,3\n', ["a"]),
    (b'text\na\n"', ["a"]),
    (b'id,"text\n1,a\n', []),
    (b'"', []),
]


@pytest.mark.parametrize(("data", "before"), UNCLOSED)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_quotation_mark_that_is_not_closed_is_reported(
    tmp_path: Path, data: bytes, before: list[str], name: str
) -> None:
    rows, reported = read(tmp_path, gzip.compress(data) if name.endswith("gz") else data, name)
    assert [row["text"] for row in rows] == before
    assert [entry[2] for entry in reported] == ["a quotation mark is not closed: the file ends inside a field"]
    assert isinstance(reported[0][2], Unread)


@given(
    st.lists(
        st.tuples(st.text(st.sampled_from('ab",\n é'), max_size=9), st.text(st.sampled_from('a"\n,'), max_size=5)),
        min_size=1,
        max_size=9,
    ),
    st.data(),
)
def test_what_pythons_strict_reader_takes_is_read_and_the_rest_is_reported(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, str]], data: st.DataObject
) -> None:
    """A file that is whole gives all of its rows; cut anywhere, no text comes out that is not a row's."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("text", "x"), *written])
    content = out.getvalue().encode()
    folder = tmp_path_factory.mktemp("csv")
    rows, reported = read(folder, content)
    assert ([row["text"] for row in rows], reported) == ([text for text, _ in written], [])
    cut = data.draw(st.integers(len(b'"text","x"\n'), len(content) - 1))
    rows, reported = read(folder, content[:cut])
    assert len(rows) + len(reported) <= len(written)
    try:
        list(csv.reader(io.StringIO(content[:cut].decode("utf-8", "replace")), strict=True))
    except csv.Error:
        assert reported
    assert [row["text"] for row in rows] == [text for text, _ in written][: len(rows)]


HEADERS = {
    "latin-1": "id,text,größe\n1,a,2\n".encode("latin-1"),
    "gb18030": "id,text,大小\n1,a,2\n".encode("gb18030"),
    "a byte": b"id,text,\x80\n1,a,2\n",
    "utf-16": "id,text\n1,a\n".encode("utf-16"),
    "utf-16-be": b"\xfe\xff" + "id,text\n1,a\n".encode("utf-16-be"),
    "utf-32": "id,text\n1,a\n".encode("utf-32"),
}


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.tsv"])
def test_a_first_line_that_is_not_utf8_costs_its_file(tmp_path: Path, case: str, name: str) -> None:
    data = HEADERS[case].replace(b",", b"\t") if name == "a.tsv" else HEADERS[case]
    packed = {"gz": gzip.compress, "zst": zstandard.compress}.get(name.rsplit(".")[-1], bytes)(data)
    rows, ((id, place, reason, _),) = read(tmp_path, packed, name)
    assert (rows, id, place) == ([], f"s/{name}#0", f"{tmp_path}/{name}")
    assert "UTF-16" in reason or "UTF-32" in reason if "utf" in case else reason == "the name of a column is not UTF-8"


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


def test_rows_of_another_length_that_are_not_utf8_cost_themselves(tmp_path: Path) -> None:
    rows, reported = read(tmp_path, b"text,x\na,1\n\xff\nb,2\n\xfe\xe4,2,3\nc,\xc3\nd,1\n")
    assert [(row["text"], row["meta"]) for row in rows] == [
        ("a", '{"x":"1"}'), ("b", '{"x":"2"}'), ("c", '{"x":"\\\\xc3"}'), ("d", '{"x":"1"}')
    ]  # fmt: skip
    assert [(entry[0], entry[3]) for entry in reported] == [
        ("s/a.csv#line-3", "\ufffd"), ("s/a.csv#line-5", "\ufffd\ufffd,2,3")
    ]  # fmt: skip


@pytest.mark.parametrize("size", range(7, 13))
def test_characters_may_stand_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    (tmp_path / "a.csv").write_bytes(data := "text\né中𝄞é\n\x7f𝄞\n".encode() + b"\xff\xf0\x9d\xc3\n")
    with (tmp_path / "a.csv").open("rb") as file:
        source = CsvSource(file, Piece(path="a.csv", name="a.csv", format="csv", bytes=0), Fields(source="s"), "end")
        given = b"".join(iter(lambda: source.read(size), b""))
    assert (
        source.odd.shown(given.decode())
        == data.decode("utf-8", "surrogateescape").translate(dict.fromkeys(range(0xDC80, 0xDD00), "\ufffd")) + "end"
    )


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
    assert read(tmp_path, b"PAR1....")[1][0][2] == "this is Parquet, despite its name"
    assert read(tmp_path, b"body,x\n1,2\n")[1][0][2] == "no column 'text' (there are body, x); use --text-field"
