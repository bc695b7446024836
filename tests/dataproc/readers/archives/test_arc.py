"""ARC files of both versions, whole and broken; the reader behind them is that of WARC."""

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.readers.archives.warc import read_warc
from corpusmill.dataproc.readers.pieces import Fields, Piece, recognise

SENTENCE = "The mill grinds slowly, and the flour that comes out of it is as fine as the miller had hoped for"
VERSION_1 = b"1 0 The crawl\nURL IP-address Archive-date Content-type Archive-length\n"
VERSION_2 = (
    b"2 0 The crawl\n"
    b"URL IP-address Archive-date Content-type Result-code Checksum Location Offset Filename Archive-length\n"
)


def entry(url: str, block: bytes, *, length: object = None, version: int = 1, date: str = "20140216050221") -> bytes:
    more = "" if version == 1 else " 200 abc123 - 77 x.arc.gz"
    return (
        f"{url} 93.184.216.119 {date} text/html{more} {len(block) if length is None else length}\n".encode()
        + block
        + b"\n"
    )


def page(number: int) -> bytes:
    body = f"<html><body><main><p>{SENTENCE} number{number}.</p></main></body></html>"
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}".encode()


def archive(entries: list[bytes], *, version: int = 1, compress: bool = False) -> bytes:
    described = {1: VERSION_1, 2: VERSION_2}[version]
    first = f"filedesc://x.arc 0.0.0.0 20140216050221 text/plain {len(described)}\n".encode() + described + b"\n"
    return b"".join((gzip.compress if compress else bytes)(entry) for entry in [first, *entries])


def read(path: Path, data: bytes, limit: int = 1 << 20) -> tuple[list[dict], list[tuple]]:
    path.write_bytes(data)
    reports: list[tuple] = []
    piece = Piece(path=str(path), name=path.name, format="warc", bytes=len(data))
    fields = Fields(source="crawl", maximum_record_bytes=limit)
    rows = [
        row for batch in read_warc(piece, fields, lambda *values: reports.append(values)) for row in batch.to_pylist()
    ]
    return rows, reports


def numbers(rows: list[dict]) -> list[str]:
    return [row["url"].rsplit("/", 1)[1] for row in rows]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_a_response_becomes_a_document_with_url_date_and_place(tmp_path, version, compress):
    entries = [entry(f"http://example.org/{n}", page(n), version=version) for n in range(3)]
    data = archive(entries, version=version, compress=compress)
    rows, reports = read(tmp_path / "a.arc", data)
    assert not reports
    assert numbers(rows) == ["0", "1", "2"]
    assert [row["text"].strip() for row in rows] == [f"{SENTENCE} number{n}." for n in range(3)]
    assert '"date":"2014-02-16T05:02:21Z"' in rows[0]["meta"]
    offset = int(rows[2]["id"].rpartition("#")[2])
    assert data[offset:] == (gzip.compress if compress else bytes)(entries[2])


def test_a_url_may_hold_spaces(tmp_path):
    rows, reports = read(tmp_path / "a.arc", archive([entry("http://example.org/a b?title=From The Web", page(1))]))
    assert not reports
    assert rows[0]["url"] == "http://example.org/a b?title=From The Web"


def test_what_is_no_page_is_passed_over(tmp_path):
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"
    picture = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n\x89PNG"
    entries = [
        entry("dns:example.org", b"example.org. 1 IN A 93.184.216.119\n"),
        entry("http://example.org/1", redirect),
        entry("http://example.org/2", picture),
    ]
    assert read(tmp_path / "a.arc", archive(entries)) == ([], [])


BROKEN = {
    "length too long": (entry("http://example.org/9", page(9), length=4_000), "length 4000 is wrong|cut off"),
    "length too short": (entry("http://example.org/9", page(9), length=40), "length 40 is wrong"),
    "length negative": (entry("http://example.org/9", page(9), length=-1), "no number of bytes: '-1'"),
    "length no number": (entry("http://example.org/9", page(9), length="abc"), "no number of bytes: 'abc'"),
    "no header": (b"<html>a page without a header</html>\n", "no ARC header here"),
    "no response": (entry("http://example.org/9", b"\n"), "no HTTP response"),
    "header without end": (b"http://example.org/" + b"9" * 40_000 + b"\n", "a header longer than"),
}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_costs_itself_only(tmp_path, name, compress):
    broken, reason = BROKEN[name]
    entries = [entry(f"http://example.org/{n}", page(n)) for n in range(40)]
    rows, reports = read(tmp_path / "a.arc", archive([*entries[:20], broken, *entries[20:]], compress=compress))
    assert numbers(rows) == [str(n) for n in range(40)]
    assert len(reports) == 1
    assert re.search(reason, reports[0][2])


@pytest.mark.parametrize("compress", [False, True])
def test_wherever_a_file_is_cut_off_the_records_before_are_kept_and_the_cut_is_reported(tmp_path, compress):
    entries = [entry(f"http://example.org/{n}", page(n)) for n in range(2)]
    before = len(archive(entries[:1], compress=compress))
    data = archive(entries, compress=compress)
    for cut in range(before + 1, len(data) - 1, 7):
        rows, reports = read(tmp_path / "a.arc", data[:cut])
        assert numbers(rows)[:1] == ["0"]
        assert len(rows) == 2 or len(reports) == 1


def test_records_over_the_limit_are_reported_and_their_neighbours_kept(tmp_path):
    long = entry("http://example.org/9", page(9) + b" " * 5_000)
    entries = [entry("http://example.org/0", page(0)), long, entry("http://example.org/1", page(1))]
    rows, reports = read(tmp_path / "a.arc", archive(entries), limit=2_000)
    assert numbers(rows) == ["0", "1"]
    assert "longer than 2000 bytes" in reports[0][2]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), compress=st.booleans())
def test_damage_anywhere_never_raises_and_costs_few_neighbours(tmp_path_factory, data, compress):
    entries = [entry(f"http://example.org/{n}", page(n)) for n in range(6)]
    whole = bytearray(archive(entries, compress=compress))
    at = data.draw(st.integers(len(archive(entries[:1], compress=compress)), len(whole) - 1))
    damage = data.draw(st.binary(min_size=1, max_size=30))
    whole[at : at + len(damage)] = damage
    rows, _ = read(tmp_path_factory.getbasetemp() / "damaged.arc", bytes(whole))
    texts = {row["text"].strip() for row in rows}
    assert len({f"{SENTENCE} number{n}." for n in range(6)} - texts) <= 2


@pytest.mark.parametrize("name", ["a.arc", "a.arc.gz"])
def test_endings(name):
    assert recognise(f"crawl/{name}") == "warc"
