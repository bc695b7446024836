"""READMEs of distributions: from the body or the older header, in UTF-8, with the chosen headers as meta."""

import json
from pathlib import Path
from typing import Any

import pytest

from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.python_metadata import read_metadata


def read(folder: Path, *contents: bytes) -> tuple[list[dict[str, Any]], list[tuple[str, ...]]]:
    pieces = []
    for number, data in enumerate(contents):
        path = folder / f"{number}.dist-info" / "METADATA"
        path.parent.mkdir()
        path.write_bytes(data)
        pieces.append(Piece(path=str(path), name=f"{number}/METADATA", format="python-metadata", bytes=len(data)))
    reported: list[tuple[str, ...]] = []
    fields = Fields(source="s", maximum_record_bytes=1000)
    batches = read_metadata(iter(pieces), fields, lambda *values: reported.append(values))
    return [row for batch in batches for row in batch.to_pylist()], reported


def test_body_and_headers(tmp_path: Path) -> None:
    head = "Metadata-Version: 2.1\nName: pkg\nVersion: 1\nSummary: für alle\nAuthor: A\n\n"
    (row,), reported = read(tmp_path, (head + "# Größe\n\n中文\n").encode())
    assert not reported
    assert row["text"] == "# Größe\n\n中文\n"
    assert json.loads(row["meta"]) == {"Name": "pkg", "Version": "1", "Summary": "für alle"}
    assert row["id"] == "s/0/METADATA#0"


@pytest.mark.parametrize("indent", ["        ", "       |"])
def test_the_description_header(tmp_path: Path, indent: str) -> None:
    (row,), _ = read(tmp_path, f"Name: pkg\nDescription: Größe\n{indent}\n{indent}    code\nVersion: 1\n".encode())
    assert row["text"] == "Größe\n\n    code"
    assert json.loads(row["meta"]) == {"Name": "pkg", "Version": "1"}


def test_a_body_is_taken_as_it_is(tmp_path: Path) -> None:
    head = b"Name: p\nContent-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64\n\n"
    rows, _ = read(tmp_path, head + b"--x\nYWJj\n", b"Name: q\r\n\r\ntext\r\n", b"Name: r\n", b"")
    assert [row["text"] for row in rows] == ["--x\nYWJj\n", "text\n", "", ""]


def test_what_is_not_utf8_or_too_long_is_reported(tmp_path: Path) -> None:
    rows, reported = read(tmp_path, b"Name: p\n\n\xff", b"Name: q\n\n" + b"x" * 1000, b"Name: r\n\nfine")
    assert [row["text"] for row in rows] == ["fine"]
    assert [(entry[0], entry[2]) for entry in reported] == [
        ("s/0/METADATA#0", "not UTF-8"),
        ("s/1/METADATA#0", "longer than 1000 bytes"),
    ]
