"""Files as documents: one each, in shared batches, and what is not text is reported and passed over."""

from pathlib import Path
from typing import Any

from corpusmill.dataproc.readers import batches
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.text import read_files

Reported = list[tuple[str, str, str, str | None]]


def read(folder: Path, files: dict[str, bytes], limit: int = 1000) -> tuple[list[list[dict[str, Any]]], Reported]:
    pieces = []
    for name, data in files.items():
        (folder / name).write_bytes(data)
        pieces.append(Piece(path=str(folder / name), name=name, format="text", bytes=len(data)))
    reported: Reported = []
    fields = Fields(source="s", kind="code", maximum_record_bytes=limit)
    batches = read_files(iter(pieces), fields, lambda *values: reported.append(values))
    return [batch.to_pylist() for batch in batches], reported


def test_one_document_a_file(tmp_path: Path) -> None:
    (rows,), reported = read(tmp_path, {"a.py": "x = 'é'\r\n".encode(), "b.md": b"\xef\xbb\xbf# b\0", "empty": b""})
    assert not reported
    assert [(row["id"], row["text"], row["language"]) for row in rows] == [
        ("s/a.py#0", "x = 'é'\n", "python"),
        ("s/b.md#0", "# b", "markdown"),
        ("s/empty#0", "", None),
    ]
    assert {(row["source"], row["kind"], row["url"], row["meta"]) for row in rows} == {("s", "code", None, None)}


def test_what_is_not_utf8_or_too_long_is_reported(tmp_path: Path) -> None:
    files = {"a": b"abc\xff", "b": b"x" * 1001, "c": "é".encode("utf-16"), "d": b"x" * 1000, "e": b"\xed\xa0\x80"}
    (rows,), reported = read(tmp_path, files)
    assert [row["id"] for row in rows] == ["s/d#0"]
    assert reported == [
        ("s/a#0", f"{tmp_path}/a, byte 3", "not UTF-8", "abc\ufffd"),
        ("s/b#0", f"{tmp_path}/b", "longer than 1000 bytes", None),
        ("s/c#0", f"{tmp_path}/c, byte 0", "not UTF-8", "\ufffd\ufffd\ufffd\0"),
        ("s/e#0", f"{tmp_path}/e, byte 0", "not UTF-8", "\ufffd\ufffd\ufffd"),
    ]


def test_batches_are_bounded(tmp_path: Path) -> None:
    with batches.batches_of(600):
        rows_of_batches, _ = read(tmp_path, {str(i): b"x" * 100 for i in range(5)})
    assert [len(rows) for rows in rows_of_batches] == [2, 2, 1]
