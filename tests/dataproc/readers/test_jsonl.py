"""JSONL: each line is read once whatever the ranges and the compression, and one bad line costs itself alone."""

import gzip
import itertools
import json
import random
import resource
import zlib
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataproc.readers import batches, jsonl
from dataproc.readers.jsonl import read_jsonl
from dataproc.readers.pieces import Fields, Piece

Reported = list[tuple[str, str, str, str | None]]
FIELDS = Fields(source="s")


def read(path: Path, start: int = 0, stop: int = 0, fields: Fields = FIELDS) -> tuple[list[dict[str, Any]], Reported]:
    piece = Piece(path=str(path), name=path.name, format="jsonl", bytes=0, start=start, stop=stop)
    reported: Reported = []
    found = read_jsonl(piece, fields, lambda *values: reported.append(values))
    rows = [row for batch in found for row in batch.to_pylist()]
    return rows, reported


def read_bytes(folder: Path, data: bytes, name: str = "a.jsonl", fields: Fields = FIELDS):
    (folder / name).write_bytes(data)
    return read(folder / name, fields=fields)


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


def documents(*held: str) -> bytes:
    return b"".join(orjson.dumps({"text": text}) + b"\n" for text in held)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jsonl")


line = st.one_of(
    st.text(max_size=40).map(lambda text: orjson.dumps({"text": text})),
    st.sampled_from([b"", b"\r", b" ", b"broken", b"[1]", b'{"text":1}', b"\xff", b'{"text":"' + b"x" * 2000 + b'"}']),
)


@settings(max_examples=150)
@given(
    st.lists(line, max_size=12),
    st.booleans(),
    st.lists(st.integers(0, 2500), max_size=6),
    st.sampled_from([1, 3, 64, 1 << 20]),
)
@example([b'{"text":"a"}', b"", b'{"text":"b"}'], False, [13, 14], 1)
def test_any_ranges_give_the_same_records_once_each(
    folder: Path, lines: list[bytes], ended: bool, cuts: list[int], chunk: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    (folder / "ranges.jsonl").write_bytes(data)
    fields = Fields(source="s", maximum_record_bytes=1500)
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    with patch.object(jsonl, "CHUNK_BYTES", chunk):
        parts = [read(folder / "ranges.jsonl", start, stop, fields) for start, stop in itertools.pairwise(edges)]
    assert read(folder / "ranges.jsonl", fields=fields) == (
        [row for rows, _ in parts for row in rows],
        [entry for _, reported in parts for entry in reported],
    )
    # and the whole is what a reader in plain Python finds
    offset, expected, bad = 0, [], []
    for held in lines:
        name = f"s/ranges.jsonl#{offset}"
        try:
            text = json.loads(held)["text"] if len(held) <= 1500 else None
        except (ValueError, TypeError):
            text = None
        if isinstance(text, str):
            expected.append((name, text.replace("\0", "").replace("\r\n", "\n").removeprefix("\ufeff")))
        elif held.strip():
            bad.append(name)
        offset += len(held) + 1
    rows, reported = read(folder / "ranges.jsonl", fields=fields)
    assert [(row["id"], row["text"]) for row in rows] == expected
    assert [entry[0] for entry in reported] == bad


def pack_gzip(data: bytes, cut: int) -> bytes:
    return gzip.compress(data[:cut]) + gzip.compress(data[cut:])


def pack_zstd(data: bytes, cut: int) -> bytes:
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    skippable = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    streamed = compressor.compressobj()  # a frame without its size in the header
    return compressor.compress(data[:cut]) + skippable + streamed.compress(data[cut:]) + streamed.flush()


PACKED = {"a.jsonl.gz": pack_gzip, "a.jsonl.zst": pack_zstd}


@settings(max_examples=40)
@given(st.lists(st.text(max_size=200), max_size=30), st.integers(0, 3000), st.sampled_from(sorted(PACKED)))
def test_compressed_streams_of_many_members_give_the_same(folder: Path, held: list[str], cut: int, name: str) -> None:
    data = documents(*held)
    plain, _ = read_bytes(folder, data)
    with patch.object(jsonl, "CHUNK_BYTES", 100), patch.object(jsonl, "ZSTD_SLICE_BYTES", 7):
        packed, reported = read_bytes(folder, PACKED[name](data, min(cut, len(data))), name)
    assert not reported
    assert texts(packed) == texts(plain)
    assert [row["id"].split("#")[1] for row in packed] == [row["id"].split("#")[1] for row in plain]


def rows_of_noise(count: int) -> list[str]:
    draw = random.Random(0)
    return [draw.randbytes(100).hex() for _ in range(count)]


@pytest.mark.parametrize("name", sorted(PACKED))
@pytest.mark.parametrize("left", [0.0, 0.3, 0.9, 0.9999])
def test_a_stream_cut_off_gives_what_was_whole_and_is_reported(tmp_path: Path, name: str, left: float) -> None:
    held = rows_of_noise(5000)
    data = PACKED[name](documents(*held), 300_000)
    rows, reported = read_bytes(tmp_path, data[: int(len(data) * left)], name)
    assert texts(rows) == held[: len(rows)]
    assert len(rows) >= (left - 0.3) * len(held)
    ((document, place, reason, _),) = reported
    assert "cut off" in reason and str(tmp_path / name) in place and document.startswith(f"s/{name}#")


@pytest.mark.parametrize("name", sorted(PACKED))
def test_a_flipped_bit_loses_nothing_before_it(tmp_path: Path, name: str) -> None:
    held = rows_of_noise(5000)
    data = bytearray(PACKED[name](documents(*held), 300_000))
    data[len(data) * 3 // 4] ^= 0x10
    rows, reported = read_bytes(tmp_path, bytes(data), name)
    assert texts(rows)[:2000] == held[:2000]
    assert texts(rows) != held  # lines may come out wrong: the check sum that tells stands at the stream's end
    assert f"broken {'gzip' if name.endswith('.gz') else 'zstd'} stream" in reported[-1][2]


@pytest.mark.parametrize("name", sorted(PACKED))
def test_a_wrong_check_sum_at_the_end_loses_no_line(tmp_path: Path, name: str) -> None:
    data = bytearray(PACKED[name](documents("a", "b", "c"), 13))
    data[-5 if name.endswith(".gz") else -1] ^= 1
    rows, reported = read_bytes(tmp_path, bytes(data), name)
    assert texts(rows) == ["a", "b", "c"]
    assert len(reported) == 1 and "broken" in reported[0][2]


@pytest.mark.parametrize("name", sorted(PACKED))
def test_garbage_after_a_member_is_reported(tmp_path: Path, name: str) -> None:
    rows, reported = read_bytes(tmp_path, PACKED[name](documents("a"), 3) + b"garbage", name)
    assert texts(rows) == ["a"]
    assert len(reported) == 1 and "broken" in reported[0][2]


def test_zeros_after_a_gzip_member_are_padding(tmp_path: Path) -> None:
    padded = gzip.compress(documents("a")) + bytes(300) + gzip.compress(documents("b")) + bytes(1000)
    with patch.object(jsonl, "GZIP_SLICE_BYTES", 50):
        rows, reported = read_bytes(tmp_path, padded, "a.jsonl.gz")
    assert (texts(rows), reported) == (["a", "b"], [])


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_an_empty_file_has_no_documents(tmp_path: Path, name: str) -> None:
    packed = {".gz": gzip.compress(b""), ".zst": zstandard.compress(b"")}.get(Path(name).suffix, b"")
    assert read_bytes(tmp_path, packed, name) == ([], [])


@pytest.mark.parametrize(("pack", "name"), [(zlib.compressobj, "a.jsonl.gz"), (None, "a.jsonl.zst")])
def test_a_bomb_is_one_reported_line_in_bounded_memory(tmp_path: Path, pack: Any, name: str) -> None:
    machine = pack(9, zlib.DEFLATED, 31) if pack else zstandard.ZstdCompressor(level=19).compressobj()
    with (tmp_path / name).open("wb") as file:
        for _ in range(600):
            file.write(machine.compress(bytes(1 << 20)))
        file.write(machine.compress(b"\n" + documents("after")) + machine.flush())
    assert (tmp_path / name).stat().st_size < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows, reported = read(tmp_path / name, fields=Fields(source="s", maximum_record_bytes=1 << 20))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10
    assert texts(rows) == ["after"]
    assert [entry[2] for entry in reported] == ["a line longer than 1048576 bytes"]


BAD_LINES = {
    "not JSON": [b"{", b'{"text": "a"', b"text", b'{"text": NaN}', b'{"text":"\xff"}', b"\x00\x01", b"[" * 5000],
    "not JSON: ": [rb'{"text":"\ud800"}', rb'{"text":"\udc00\ud800"}', b'{"text":"\xed\xa0\x80"}'],
    "a JSON list, not an object": [b"[]", b'["text"]'],
    "a JSON str": [b'"text"'],
    "a JSON NoneType": [b"null"],
    "no text in field 'text'": [b"{}", b'{"text":null}', b'{"text":5}', b'{"text":["a"]}', b'{"Text":"a"}'],
    "cannot be written": [b'{"text":"a","x":' + b"[" * 400 + b"]" * 400 + b"}"],
    "longer than": [b'{"text":"' + b"x" * 10_000 + b'"}'],
}


@pytest.mark.parametrize(("reason", "bad"), [(reason, bad) for reason, all_ in BAD_LINES.items() for bad in all_])
def test_a_bad_line_costs_itself_alone(tmp_path: Path, reason: str, bad: bytes) -> None:
    before, after = documents("before"), documents("after")
    fields = Fields(source="s", maximum_record_bytes=9000)
    rows, reported = read_bytes(tmp_path, before + bad + b"\n" + after, fields=fields)
    assert texts(rows) == ["before", "after"]
    ((document, place, said, text),) = reported
    assert document == f"s/a.jsonl#{len(before)}"
    assert place == f"{tmp_path}/a.jsonl, byte {len(before)}"
    assert reason in said
    assert text == (None if reason == "longer than" else bad.decode("utf-8", "replace"))


def test_columns(tmp_path: Path) -> None:
    record = {
        "text": "t",
        "id": 7,
        "url": "u",
        "language": "en",
        "source": "other",
        "kind": "code",
        "b": [1],
        "a": None,
    }
    (row,), _ = read_bytes(tmp_path, orjson.dumps(record))
    assert row == {
        "id": "7", "text": "t", "source": "other", "kind": "code", "language": "en", "url": "u",
        "meta": '{"a":null,"b":[1]}',
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, "", True, 1.5, ["x"], {"x": 1}])
def test_what_is_no_id_stays_in_meta(tmp_path: Path, value: object) -> None:
    (row,), _ = read_bytes(tmp_path, orjson.dumps({"text": "t", "id": value}))
    assert row["id"] == "s/a.jsonl#0"
    assert orjson.loads(row["meta"]) == {"id": value}


def test_declared_fields(tmp_path: Path) -> None:
    fields = Fields(source="s", text_field="body", id_field="key")
    (row,), _ = read_bytes(tmp_path, b'{"body":"b","key":"k","text":"x"}', fields=fields)
    assert (row["id"], row["text"], row["meta"]) == ("k", "b", '{"text":"x"}')


def test_a_byte_order_mark_and_crlf_line_ends(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + documents("a\r\nb", "\ufeffc\0").replace(b"\n", b"\r\n")
    rows, reported = read_bytes(tmp_path, data)
    assert (texts(rows), reported) == (["a\nb", "c"], [])
    assert rows[0]["id"] == "s/a.jsonl#0"


def test_batches_are_bounded_by_rows_that_hold_nothing_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(documents(*[""] * 1000, *["x" * 900] * 100))
    piece = Piece(path=str(tmp_path / "a.jsonl"), name="a.jsonl", format="jsonl", bytes=0)
    with patch.object(batches, "BATCH_CHARACTERS", 256 * 100):
        sizes = [batch.num_rows for batch in read_jsonl(piece, FIELDS, lambda *_: None)]
    assert sizes[:10] == [100] * 10
    assert sum(sizes) == 1100 and max(sizes) == 100


@given(st.lists(st.text(alphabet="\ufeff\0\r\na é中", max_size=12), max_size=6))
def test_normalisation(held: list[str]) -> None:
    builder = batches.BatchBuilder()
    for text in held:
        builder.add(id="i", text=text, source="s", kind="web")
    expected = [text.replace("\0", "").replace("\r\n", "\n").removeprefix("\ufeff") for text in held]
    assert builder.take().column("text").to_pylist() == expected
