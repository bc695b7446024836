"""JSONL: each line is read once whatever the ranges and the compression, and one bad line costs itself alone."""

import dataclasses
import gzip
import itertools
import json
import random
import zlib
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.dataproc import decompression
from corpusmill.dataproc.readers import batches
from corpusmill.dataproc.readers import lines as lines_of_files
from corpusmill.dataproc.readers.jsonl import read_jsonl
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.signatures import MAGIC
from tests.memory import peak_growth

Reported = list[tuple[str, str, str, str | None]]
FIELDS = Fields(source="s")


def read(path: Path, start: int = 0, stop: int = 0, fields: Fields = FIELDS) -> tuple[list[dict[str, Any]], Reported]:
    piece = Piece(path=str(path), name=path.name, format="jsonl", bytes=0, start=start, stop=stop)
    reported: Reported = []
    batches = read_jsonl(piece, fields, lambda *values: reported.append(values))
    rows = [row for batch in batches for row in batch.to_pylist()]
    return rows, reported


def read_bytes(folder: Path, data: bytes, name: str = "a.jsonl", fields: Fields = FIELDS):
    (folder / name).write_bytes(data)
    return read(folder / name, fields=fields)


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


def documents(*texts: str) -> bytes:
    return b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts)


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
    with patch.object(lines_of_files, "CHUNK_BYTES", chunk):
        parts = [read(folder / "ranges.jsonl", start, stop, fields) for start, stop in itertools.pairwise(edges)]
    assert read(folder / "ranges.jsonl", fields=fields) == (
        [row for rows, _ in parts for row in rows],
        [entry for _, reported in parts for entry in reported],
    )
    # and the whole is what a reader in plain Python finds
    offset, expected, bad = 0, [], []
    for raw in lines:
        name = f"s/ranges.jsonl#{offset}"
        try:
            text = json.loads(raw)["text"] if len(raw) <= 1500 else None
        except (ValueError, TypeError):
            text = None
        if isinstance(text, str):
            expected.append((name, text.replace("\0", "").replace("\r\n", "\n").removeprefix("\ufeff")))
        elif raw.strip():
            bad.append(name)
        offset += len(raw) + 1
    rows, reported = read(folder / "ranges.jsonl", fields=fields)
    assert [(row["id"], row["text"]) for row in rows] == expected
    assert [entry[0] for entry in reported] == bad


def pack_gzip(data: bytes, *cuts: int) -> bytes:
    edges = [0, *cuts, len(data)]
    return b"".join(gzip.compress(data[start:stop]) for start, stop in itertools.pairwise(edges))


def pack_zstd(data: bytes, *cuts: int) -> bytes:
    compressor, packed = zstandard.ZstdCompressor(write_checksum=True), []
    for start, stop in itertools.pairwise([0, *cuts, len(data)]):
        packed.append(compressor.compress(data[start:stop]))
        packed.append(b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc")  # a frame to be passed over
    streamed = compressor.compressobj()  # a frame without its size in the header
    return b"".join(packed[:-2]) + streamed.compress(data[([0, *cuts])[-1] :]) + streamed.flush()


PACKED = {"a.jsonl.gz": pack_gzip, "a.jsonl.zst": pack_zstd}


@settings(max_examples=40)
@given(st.lists(st.text(max_size=200), max_size=30), st.integers(0, 3000), st.sampled_from(sorted(PACKED)))
def test_compressed_streams_of_many_members_give_the_same(
    folder: Path, given_lines: list[str], cut: int, name: str
) -> None:
    data = documents(*given_lines)
    cut = min(cut, len(data))
    plain, _ = read_bytes(folder, data)
    with (
        patch.object(decompression, "CHUNK_BYTES", 100),
        patch.object(decompression, "ZSTD", dataclasses.replace(decompression.ZSTD, slice_bytes=7)),
    ):
        packed, reported = read_bytes(folder, PACKED[name](data, cut), name)
    assert not reported
    assert texts(packed) == texts(plain)
    # a line is numbered within the member in which it begins, which stands first in its number if it is not at 0
    for row, at in zip(packed, (int(row["id"].split("#")[1]) for row in plain), strict=True):
        member, _, offset = row["id"].split("#")[1].rpartition("+")
        assert (int(offset) == at - cut and int(member) > 0) if member else (int(offset) == at and at <= cut)
        unpacked = (folder / name).read_bytes()[int(member or 0) :]
        codec = decompression.codec_of(name)
        begun = codec.begin().decompress(unpacked)[int(offset) :] if codec else b""
        assert begun and begun[:9] == b'{"text":"'[: len(begun)]


broken = st.one_of(
    st.none(),
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("flip"), st.floats(0, 1)),
    st.tuples(st.just("garbage"), st.floats(0, 1)),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(line, max_size=20),
    st.lists(st.integers(0, 3000), max_size=5),
    broken,
    st.lists(st.floats(0, 1), max_size=5),
    st.sampled_from(sorted(PACKED)),
)
def test_any_ranges_of_a_compressed_file_give_the_same_records_once_each(
    folder: Path, given_lines: list[bytes], cuts: list[int], damage: Any, ranges: list[float], name: str
) -> None:
    data = b"\n".join(given_lines)
    packed = bytearray(PACKED[name](data, *sorted(min(cut, len(data)) for cut in cuts)))
    if damage:
        kind, place = damage
        at = int(place * (len(packed) - 1))
        if kind == "cut":
            del packed[at:]
        elif kind == "flip":
            packed[at] ^= 0x10
        else:
            packed[at:at] = b"garbage"
    path = folder / f"ranges-{name}"
    path.write_bytes(packed)
    fields = Fields(source="s", maximum_record_bytes=1500)
    edges = [0, *sorted({int(share * len(packed)) for share in ranges} - {0, len(packed)}), len(packed)]
    parts = [read(path, start, stop, fields) for start, stop in itertools.pairwise(edges)]
    assert read(path, fields=fields) == (
        [row for rows, _ in parts for row in rows],
        [entry for _, reported in parts for entry in reported],
    )


@pytest.mark.parametrize("name", sorted(PACKED))
def test_a_broken_member_costs_itself_and_the_next_survive(tmp_path: Path, name: str) -> None:
    packed = [bytearray(PACKED[name](documents(*rows_of_noise(50)[at : at + 10]))) for at in range(0, 50, 10)]
    packed[1][len(packed[1]) // 2] ^= 0x10
    del packed[3][-20:]
    rows, reported = read_bytes(tmp_path, b"".join(packed), name)
    written = rows_of_noise(50)
    assert [text for text in texts(rows) if text in written[:10] + written[20:30] + written[40:]] == [
        *written[:10], *written[20:30], *written[40:]
    ]  # fmt: skip
    broken_reports = [entry for entry in reported if "stream" in entry[2]]
    assert len(broken_reports) == 2
    assert all(f"member at {len(packed[0])}" in entry[1] for entry in broken_reports[:1])


@pytest.mark.parametrize(("magic", "called"), sorted(MAGIC.items()))
def test_a_file_that_is_something_else_is_reported_once(tmp_path: Path, magic: bytes, called: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(magic + b"\n\0\n" * 5000)
    rows, reported = read(tmp_path / "a.jsonl")
    assert (rows, reported) == (
        [],
        [("s/a.jsonl#0", str(tmp_path / "a.jsonl"), f"this is {called}, despite its name", None)],
    )
    assert read(tmp_path / "a.jsonl", start=100) == ([], [])


def rows_of_noise(count: int) -> list[str]:
    draw = random.Random(0)
    return [draw.randbytes(100).hex() for _ in range(count)]


@pytest.mark.parametrize("name", sorted(PACKED))
@pytest.mark.parametrize("left", [0.0, 0.3, 0.9, 0.9999])
def test_a_stream_cut_off_gives_what_was_whole_and_is_reported(tmp_path: Path, name: str, left: float) -> None:
    written = rows_of_noise(5000)
    data = PACKED[name](documents(*written), 300_000)
    rows, reported = read_bytes(tmp_path, data[: int(len(data) * left)], name)
    assert texts(rows) == written[: len(rows)]
    assert len(rows) >= (left - 0.3) * len(written)
    ((document, place, reason, _),) = reported
    assert "cut off" in reason and str(tmp_path / name) in place and document.startswith(f"s/{name}#")


@pytest.mark.parametrize("name", sorted(PACKED))
def test_a_flipped_bit_loses_nothing_before_it(tmp_path: Path, name: str) -> None:
    written = rows_of_noise(5000)
    data = bytearray(PACKED[name](documents(*written), 300_000))
    data[len(data) * 3 // 4] ^= 0x10
    rows, reported = read_bytes(tmp_path, bytes(data), name)
    assert texts(rows)[:2000] == written[:2000]
    assert texts(rows) != written  # lines may come out wrong: the check sum that tells stands at the stream's end
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
    with patch.object(decompression, "GZIP", dataclasses.replace(decompression.GZIP, slice_bytes=50)):
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
    growth = peak_growth()
    rows, reported = read(tmp_path / name, fields=Fields(source="s", maximum_record_bytes=1 << 20))
    assert growth() < 300 << 20
    assert texts(rows) == ["after"]
    assert [entry[2] for entry in reported] == ["a line longer than 1048576 bytes"]


def test_a_line_of_a_gigabyte_is_reported_in_bounded_memory_whatever_the_ranges(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(documents("before"))
        file.seek(1 << 30, 1)  # a hole, which takes no disk
        file.write(b"\n" + documents("after"))
    growth = peak_growth()
    fields = Fields(source="s", maximum_record_bytes=1 << 20)
    cuts = [0, 1 << 29, path.stat().st_size]
    parts = [read(path, start, stop, fields) for start, stop in itertools.pairwise(cuts)]
    assert [text for rows, _ in parts for text in texts(rows)] == ["before", "after"]
    reported = [entry for _, entries in parts for entry in entries]
    assert [entry[0] for entry in reported] == [f"s/a.jsonl#{len(documents('before'))}"]
    assert reported[0][2:] == ("a line longer than 1048576 bytes", None)
    assert growth() < 100 << 20


BAD_LINES = {
    "not JSON": [
        b"{",
        b'{"text": "a"',
        b"text",
        b'{"text": NaN}',
        b'{"text":"\xff"}',
        b"\x00\x01",
        b"[" * 5000,
        b"\x0c",
        b" \x0b\r",
    ],
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
    with batches.batches_of(256 * 100):
        sizes = [batch.num_rows for batch in read_jsonl(piece, FIELDS, lambda *_: None)]
    assert sizes[:10] == [100] * 10
    assert sum(sizes) == 1100 and max(sizes) == 100


@given(st.lists(st.text(alphabet="\ufeff\0\r\na é中", max_size=12), max_size=6))
def test_normalisation(given_lines: list[str]) -> None:
    builder = batches.BatchBuilder()
    for text in given_lines:
        builder.add(id="i", text=text, source="s", kind="web")
    expected = [text.replace("\0", "").replace("\r\n", "\n").removeprefix("\ufeff") for text in given_lines]
    assert builder.take().column("text").to_pylist() == expected
