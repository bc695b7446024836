"""Large files are cut where their format allows it: pieces cover a file once, whatever the target."""

import gzip
import itertools
import random
from pathlib import Path
from uuid import uuid4

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.readers import splitting
from corpusmill.dataproc.readers.arrow_ipc import read_arrow
from corpusmill.dataproc.readers.jsonl import read_jsonl
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.splitting import is_indivisible, split_file

LINES = [orjson.dumps({"text": f"{number} {'x' * (number * 37 % 400)}"}) + b"\n" for number in range(2000)]


def pieces_of(path: Path, format: str, target: int) -> list[Piece]:
    return list(split_file(str(path), path.name, format, path.stat().st_size, target))


def records(pieces: list[Piece], read=read_jsonl) -> list[tuple[str, str]]:
    documents = []
    for piece in pieces:
        for batch in read(piece, Fields(source="s"), lambda *values: pytest.fail(str(values))):
            documents += [(row["id"], row["text"]) for row in batch.to_pylist()]
    return documents


@given(st.integers(0, 10_000), st.integers(1, 500))
def test_ranges_cover_a_plain_file_once(size: int, target: int) -> None:
    pieces = list(split_file("a.jsonl", "a.jsonl", "jsonl", size, target))
    assert sum(piece.bytes for piece in pieces) == size
    assert all(piece.bytes <= 2 * target for piece in pieces)
    if len(pieces) > 1:
        assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]
        assert pieces[-1].stop == size


def pack(name: str, chunks: list[bytes]) -> bytes:
    return b"".join(map(gzip.compress if name.endswith(".gz") else zstandard.compress, chunks))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
@pytest.mark.parametrize("chunk", [1000, 20_000])
def test_a_file_of_many_members_is_split_at_them_and_gives_the_same_ids(tmp_path: Path, name: str, chunk: int) -> None:
    data = b"".join(LINES)
    path = tmp_path / name
    path.write_bytes(pack(name, [data[at : at + chunk] for at in range(0, len(data), chunk)]))
    whole = records(pieces_of(path, "jsonl", 1 << 30))
    assert len(whole) == len(LINES) and len(dict(whole)) == len(LINES)
    for target in (3000, 10_000, 100_000):
        pieces = pieces_of(path, "jsonl", target)
        size = path.stat().st_size
        assert len(pieces) > size // (2 * target)
        assert sum(piece.bytes for piece in pieces) == size
        assert records(pieces) == whole
        if len(pieces) > 1:
            assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_file_of_one_member_is_one_piece_and_says_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(pack(name, [b"".join(LINES)]))
    assert len(pieces := pieces_of(path, "jsonl", 3000)) == 1
    assert (pieces[0].start, pieces[0].stop) == (0, 0)
    assert is_indivisible(str(path), "jsonl", path.stat().st_size, 3000)
    assert not is_indivisible(str(path), "jsonl", path.stat().st_size, 1 << 30)
    assert not is_indivisible("a.jsonl", "jsonl", 1 << 30, 3000)


@pytest.mark.parametrize("pack_one", [gzip.compress, zstandard.compress])
def test_a_web_archive_is_split_at_members(tmp_path: Path, pack_one) -> None:
    pytest.importorskip("resiliparse")
    from corpusmill.dataproc.readers.archives.warc import read_warc

    records_held = []
    for number in range(300):
        body = f"text {number} ".encode() + random.Random(number).randbytes(100).hex().encode()
        head = f"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        records_held.append(pack_one(head.encode() + body + b"\r\n\r\n"))
    path = tmp_path / ("a.wet.gz" if pack_one is gzip.compress else "a.warc.zst")
    path.write_bytes(b"".join(records_held))
    pieces = pieces_of(path, "warc", 20_000)
    assert len(pieces) > 3
    read = records(pieces, read_warc)
    assert len(read) == 300 and read == records(pieces_of(path, "warc", 1 << 30), read_warc)


def test_frames_behind_a_url_are_searched_for() -> None:
    import fsspec

    path = f"memory://{uuid4().hex}/a.jsonl.zst"
    data = b"".join(zstandard.compress(b"".join(LINES[at : at + 100])) for at in range(0, 2000, 100))
    fsspec.filesystem("memory").pipe(path, data)
    pieces = list(split_file(path, "a.jsonl.zst", "jsonl", len(data), 10_000))
    assert len(pieces) == 3
    assert records(pieces) == records([Piece(path=path, name="a.jsonl.zst", format="jsonl", bytes=0)])


def test_the_search_for_members_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "SEARCHED_BYTES", 100)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(pack("a.gz", [b"".join(LINES[:1000]), b"".join(LINES[1000:])]))
    assert len(pieces_of(path, "jsonl", 3000)) == 1


def test_text_files_are_one_piece() -> None:
    assert len(list(split_file("a.txt", "a.txt", "text", 1000, 10))) == 1


def test_parquet_is_split_at_row_groups(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": [str(i) * 100 for i in range(20)]}), path, row_group_size=4)
    pieces = list(split_file(path, "a.parquet", "parquet", 5000, 700))
    assert pieces[0].start == 0 and pieces[-1].stop == 5 and len(pieces) > 1
    assert all(before.stop == after.start for before, after in itertools.pairwise(pieces))


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_is_split_at_record_batches(tmp_path: Path, new) -> None:
    table = pa.table({"text": [str(i) * 100 for i in range(20)]})
    with new(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    pieces = pieces_of(tmp_path / "a.arrow", "arrow", 900)
    assert pieces[0].start == 0 and pieces[-1].stop == 5 and len(pieces) > 1
    assert records(pieces, read_arrow) == [(f"s/a.arrow#{i}", str(i) * 100) for i in range(20)]


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_a_broken_file_is_left_to_its_reader(tmp_path: Path, format: str) -> None:
    (tmp_path / "a").write_bytes(b"broken" * 100)
    assert len(pieces_of(tmp_path / "a", format, 10)) == 1
