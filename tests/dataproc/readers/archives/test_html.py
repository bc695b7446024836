"""Raw pages: one document a file."""

import gzip
import json
import lzma
from pathlib import Path

import pytest
import zstandard

from corpusmill.dataproc.readers.archives.html import read_html
from corpusmill.dataproc.readers.pieces import Fields, Piece

SENTENCE = "The mill grinds slowly, and the flour that comes out of it is as fine as the miller had hoped for"


def read(folder: Path, files: dict[str, bytes], limit: int = 1 << 20) -> tuple[list[dict], list[tuple]]:
    reports: list[tuple] = []
    pieces = []
    for name, data in files.items():
        (folder / name).write_bytes(data)
        pieces.append(Piece(path=str(folder / name), name=name, format="html", bytes=len(data)))
    fields = Fields(source="pages", maximum_record_bytes=limit)
    batches = read_html(pieces, fields, lambda *values: reports.append(values))
    return [row for batch in batches for row in batch.to_pylist()], reports


def page(head: str = "", words: str = SENTENCE) -> str:
    return f"<html><head>{head}</head><body><main><p>{words}.</p></main></body></html>"


@pytest.mark.parametrize(
    ("head", "url"),
    [
        ('<link rel="canonical" href="https://example.org/a">', "https://example.org/a"),
        ('<meta property="og:url" content="http://example.org/b">', "http://example.org/b"),
        ('<link rel="canonical" href="/relative">', None),
        ("", None),
    ],
)
def test_a_page_names_its_own_url(tmp_path, head, url):
    rows, reports = read(tmp_path, {"a.html": page(head).encode()})
    assert not reports
    assert (rows[0]["id"], rows[0]["url"]) == ("pages/a.html#0", url)
    assert rows[0]["text"].strip() == f"{SENTENCE}."


def test_the_charset_is_the_declared_one_or_what_the_bytes_look_like(tmp_path):
    russian = "Мельница мелет медленно, и мука выходит такой тонкой, на какую мельник надеялся, и не иначе"
    files = {
        "declared.html": page('<meta charset="windows-1251">', russian).encode("cp1251"),
        "detected.html": page("", russian).encode("cp1251"),
    }
    rows, reports = read(tmp_path, files)
    assert not reports
    assert [row["text"].strip() for row in rows] == [f"{russian}."] * 2
    assert {json.loads(row["meta"])["charset"] for row in rows} == {"windows-1251"}


def test_a_page_saved_as_it_was_sent_is_decompressed(tmp_path):
    packed = gzip.compress(page(words=f"{SENTENCE} " * 9).encode())
    files = {
        "a.html": packed,
        "b.html": zstandard.compress(page().encode()),
        "c.html": packed[:-5],
        "d.html": lzma.compress(page().encode()),
        "e.html": gzip.compress(bytes(1 << 21)),
        "f.html": b"\x28\xb5\x2f\xfd" + b"\xff" * 99,
    }
    rows, reports = read(tmp_path, files)
    assert [row["id"] for row in rows] == ["pages/a.html#0", "pages/b.html#0", "pages/c.html#0"]
    assert [json.loads(row["meta"]).get("truncated") for row in rows] == [None, None, "gzip cut off"]
    assert [report[0] for report in reports] == ["pages/d.html#0", "pages/e.html#0", "pages/f.html#0"]
    assert [report[2].split()[0] for report in reports] == ["compressed", "longer", "broken"]


def test_what_has_no_text_or_is_too_long_is_reported_and_its_neighbours_are_kept(tmp_path):
    files = {
        "a.html": b"",
        "b.html": page().encode(),
        "c.html": page().encode() + b" " * 4_000,
        "d.html": b"<html></html>",
    }
    rows, reports = read(tmp_path, files, limit=2_000)
    assert [row["id"] for row in rows] == ["pages/b.html#0"]
    assert [(report[0], report[2]) for report in reports] == [
        ("pages/a.html#0", "no text in the page"),
        ("pages/c.html#0", "longer than 2000 bytes"),
        ("pages/d.html#0", "no text in the page"),
    ]
