"""Every reader of ingest: a damaged file gives documents that Arrow finds whole, and reports; nothing is lost."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from corpusmill.dataproc.readers.normalisation import Normalisation
from corpusmill.dataproc.readers.pieces import Fields, Piece, recognise
from corpusmill.dataproc.readers.registry import reader_of
from corpusmill.dataproc.repositories.settings import RepositorySettings

TEXTS = (
    "The quick brown fox.\nJumps over.",
    "Ein Satz mit Umläuten: äöü.",
    "漢字とかな",
    "",
    'a "quoted" text, with comma',
)
PAGE = (
    "<!DOCTYPE html><html><head><meta charset=utf-8><title>A page</title><link rel=canonical href=http://a.example/>"
    "</head><body><div><p>Some words of a page, &amp; an entity.</p><!-- c --><table><tr><td>cell</table>"
    "<script>if (a<b) c();</script><p class='x' id=\"y\">More words that are read.</p></div></body></html>"
)

FORMATS = {"a.html": "html", "a.tar.gz": "repository", "METADATA": "python-metadata"}
"""Of seeds whose names do not say it."""


def seeds(folder: Path) -> Mapping[str, Mapping[str, bytes]]:
    """A file a format and coding, each the only one of its folder."""
    rows = [{"id": f"d{n}", "text": text, "url": f"http://a.example/{n}", "n": n} for n, text in enumerate(TEXTS)]
    lines = "".join(json.dumps(row, ensure_ascii=n % 2 == 0) + "\n" for n, row in enumerate(rows)).encode()
    table = pa.table({name: [row[name] for row in rows] for name in rows[0]})
    nested = table.append_column("inner", pa.array([{"a": [1, None], "b": "x"}] * len(rows)))
    archive = _archive()
    files = {
        "a.jsonl": lines,
        "a.jsonl.gz": gzip.compress(lines, mtime=0),
        "two.jsonl.gz": gzip.compress(lines, mtime=0) + gzip.compress(lines, mtime=0),
        "a.jsonl.zst": zstandard.compress(lines),
        "a.json": json.dumps(rows).encode(),
        "a.csv": b'id,text,url\n1,"one, two",u\n2,"line\nbreak",v\n3,plain,w\n',
        "a.tsv": b"id\ttext\n1\tone\n2\ttwo\n",
        "a.parquet": _parquet(nested, compression="zstd"),
        "plain.parquet": _parquet(table, compression="none", use_dictionary=False, write_page_checksum=True),
        "a.arrow": _arrow(nested, pa.ipc.new_file),
        "stream.arrow": _arrow(nested, pa.ipc.new_stream),
        "a.txt": "A text.\nWith a line, é.\n".encode(),
        "a.html": PAGE.encode(),
        "a.warc": archive,
        "a.warc.gz": b"".join(gzip.compress(record, mtime=0) for record in _records()),
        "a.warc.zst": b"".join(zstandard.compress(record) for record in _records()),
        "METADATA": b"Metadata-Version: 2.1\nName: a\nVersion: 1\nSummary: s\n\nA description.\n",
        "a.tar.gz": _tree(),
    }
    return {name: {name: content} for name, content in files.items()}


def check(folder: Path, name: str) -> None:
    """Reads the file; compares with the count of its records where that can be told."""
    path = folder / name
    data = path.read_bytes()
    format = FORMATS.get(name) or recognise(str(path))
    kept, reported = read(path, format)
    truth = _records_in(name, data)
    if truth is not None and kept + reported != truth:
        raise AssertionError(f"{truth} records in, {kept} kept and {reported} reported")


def read(path: Path, format: str) -> tuple[int, int]:
    """(documents, reports) of a file."""
    reported: list[tuple[Any, ...]] = []

    def report(*what: Any) -> None:
        for value in what[:3]:
            value.encode()
        reported.append(what)

    reader = reader_of(format)
    assert reader is not None
    piece = Piece(path=str(path), name=path.name, format=format, bytes=path.stat().st_size)
    fields = Fields(source="fuzz", maximum_record_bytes=1 << 20)
    function: Any = reader.load()
    if format == "repository":
        settings = RepositorySettings(maximum_file_bytes=1 << 20)
        batches = function(piece, fields, report, settings, lambda summary: None, Normalisation())
    else:
        batches = function(iter([piece]) if reader.groups else piece, fields, report)
    kept = 0
    for batch in batches:
        batch.validate(full=True)
        kept += batch.num_rows
    return kept, len(reported)


def _records_in(name: str, data: bytes) -> int | None:
    """How many records a damaged file holds, of formats where bytes alone say so; None for others."""
    if name == "a.jsonl":
        return sum(1 for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip(b" \t\r"))
    return 1 if name in ("a.txt", "a.html") else None


def _parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=3, **options)
    return file.getvalue()


def _arrow(table: pa.Table, opened: Any) -> bytes:
    file = io.BytesIO()
    with opened(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return file.getvalue()


def _records() -> list[bytes]:
    page = PAGE.encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(page), page)
    bodies = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(page, mtime=0),
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<p>gone",
    ]
    return [
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:%d>\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
        b"WARC-Target-URI: http://a.example/%d\r\nContent-Type: application/http; msgtype=response\r\n"
        b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (number, number, len(body), body)
        for number, body in enumerate(bodies)
    ]


def _archive() -> bytes:
    return b"".join(_records())


def _tree() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in {
            "r/a.py": "import b\n",
            "r/b.py": "x = 1\n",
            "r/.gitignore": "*.log\n",
            "r/c.log": "l",
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return file.getvalue()
