"""Arrow IPC: files and streams give the same, by ranges of batches, and what is broken costs itself."""

import itertools
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.readers import arrow_ipc
from corpusmill.dataproc.readers.arrow_ipc import read_arrow
from corpusmill.dataproc.readers.arrow_messages import read_layout
from corpusmill.dataproc.readers.batches import Unread
from corpusmill.dataproc.readers.pieces import Fields, Piece

Reported = list[tuple[str, str, str, str | None]]
FIELDS = Fields(source="s")
KINDS = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}


def read(path: Path, start: int = 0, stop: int = 0, fields: Fields = FIELDS) -> tuple[list[dict[str, Any]], Reported]:
    reported: Reported = []
    piece = Piece(path=str(path), name=path.name, format="arrow", bytes=0, start=start, stop=stop)
    rows = []
    for batch in read_arrow(piece, fields, lambda *values: reported.append(values)):
        batch.validate(full=True)
        rows += batch.to_pylist()
    return rows, reported


def write(path: Path, table: pa.Table, kind: str, chunk: int = 3, compression: str | None = None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with KINDS[kind](str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=chunk)


def some_rows(count: int = 20) -> pa.Table:
    texts = [f"text {number}" * 20 for number in range(count)]
    words = pa.array([f"word {number % 3}" for number in range(count)]).dictionary_encode()
    return pa.table({"text": texts, "word": words, "number": list(range(count))})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_files_and_streams_give_their_rows_by_any_ranges(tmp_path: Path, kind: str, compression: str | None) -> None:
    path = tmp_path / "a.arrow"
    write(path, some_rows(), kind, compression=compression)
    rows, reported = read(path)
    assert not reported
    assert [row["text"] for row in rows] == some_rows()["text"].to_pylist()
    assert [row["id"] for row in rows] == [f"s/a.arrow#{number}" for number in range(20)]
    assert rows[4]["meta"] == '{"number":4,"word":"word 1"}'
    for cuts in ([0, 1, 2, 7], [0, 3, 7], [0, 6, 7]):
        parts = [read(path, start, stop) for start, stop in itertools.pairwise(cuts)]
        assert [row for part, _ in parts for row in part] == rows


def test_dictionaries_that_change_on_the_way_are_followed(tmp_path: Path) -> None:
    words = [["a", "b"], ["c"], ["b", "d", "a"], ["a"]]
    batches = [
        pa.record_batch({"text": pa.array(batch_words), "word": pa.array(batch_words).dictionary_encode()})
        for batch_words in words
    ]
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    for start in range(4):
        rows, _ = read(tmp_path / "a.arrow", start)
        assert [row["meta"] for row in rows] == [
            f'{{"word":"{word}"}}' for batch_words in words[start:] for word in batch_words
        ]  # fmt: skip


def test_feather_is_read(tmp_path: Path) -> None:
    feather.write_feather(some_rows(), str(tmp_path / "a.feather"), chunksize=7)
    assert len(read(tmp_path / "a.feather")[0]) == 20


def test_a_file_without_its_footer_gives_the_batches_that_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    for kind in KINDS:
        write(path, some_rows(), kind)
        data = path.read_bytes()
        fourth = read_layout(path.open("rb")).batches[3]
        path.write_bytes(data[: fourth.start + fourth.bytes // 2])
        rows, ((name, place, reason, _),) = read(path)
        assert [row["id"] for row in rows] == [f"s/a.arrow#{number}" for number in range(9)]
        assert name == "s/a.arrow#9" and "from row 9 on" in place and "cut off" in reason


def test_a_broken_batch_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write(path, some_rows(), "file", compression="zstd")
    data = bytearray(path.read_bytes())
    third = read_layout(path.open("rb")).batches[2]
    at = data.index(b"\x28\xb5\x2f\xfd", third.start)
    data[at : at + 40] = bytes(40)
    path.write_bytes(data)
    rows, ((name, place, reason, _),) = read(path)
    assert [row["id"] for row in rows] == [f"s/a.arrow#{number}" for number in [*range(6), *range(9, 20)]]
    assert name == "s/a.arrow#6" and "rows 6 to 8 (record batch 2)" in place and "broken Arrow" in reason


def test_offsets_that_point_outside_are_reported_and_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    table = pa.table({"text": ["aaaa", "bbbb", "cccc"]})
    write(path, table, "stream", chunk=3)
    offsets = b"".join(number.to_bytes(4, "little") for number in (0, 4, 8, 12))
    data = path.read_bytes().replace(offsets, offsets[:8] + (1 << 30).to_bytes(4, "little") + offsets[12:])
    path.write_bytes(data)
    rows, ((_, _, reason, _),) = read(path)
    assert rows == [] and "broken Arrow" in reason


def test_rows_that_are_not_utf8_cost_themselves(tmp_path: Path) -> None:
    raw = pa.array([b"a", b"x\xff", b"c"], pa.binary())
    write(tmp_path / "a.arrow", pa.table({"text": raw.view(pa.string())}), "stream")
    rows, ((name, place, reason, _),) = read(tmp_path / "a.arrow")
    assert [row["text"] for row in rows] == ["a", "c"]
    assert name == "s/a.arrow#1" and place.endswith("row 1") and "not UTF-8 at byte 1" in reason


def test_a_batch_that_is_too_long_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.arrow", pa.table({"text": ["a", "b" * 5000, "c"]}), "file", chunk=1)
    monkeypatch.setattr(arrow_ipc, "MAXIMUM_BATCH_BYTES", 1000)
    rows, ((_, _, reason, _),) = read(tmp_path / "a.arrow")
    assert [row["text"] for row in rows] == ["a", "c"] and "longer than 1000 bytes" in reason


def test_a_bomb_of_a_batch_is_reported_though_it_is_short_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.arrow", pa.table({"text": ["a", "b" * 500_000, "c"]}), "file", chunk=1, compression="zstd")
    monkeypatch.setattr(arrow_ipc, "MAXIMUM_BATCH_BYTES", 100_000)
    rows, ((_, _, reason, _),) = read(tmp_path / "a.arrow")
    assert [row["text"] for row in rows] == ["a", "c"] and "longer than 100000 bytes" in reason


@pytest.mark.parametrize("data", [b"", b"x", b"ARROW1", b"\xff" * 400, bytes(400), b"not Arrow at all" * 20])
def test_what_is_no_arrow_is_reported(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.arrow").write_bytes(data)
    rows, reported = read(tmp_path / "a.arrow")
    assert rows == [] and [entry[0] for entry in reported] == ["s/a.arrow#0"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 1 << 30), st.integers(1, 255))
def test_no_flipped_byte_ends_the_reader(tmp_path_factory: Any, kind: str, place: int, change: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "a.arrow"
    write(path, some_rows(8), kind)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= change
    path.write_bytes(data)
    rows, _ = read(path)
    assert len(rows) <= 8


def test_a_file_that_the_settings_do_not_go_with_is_reported_with_its_rows(tmp_path: Path) -> None:
    write(tmp_path / "a.arrow", pa.table({"body": ["a", "b"], "x": [1, 2]}), "file")
    for field, reason in (
        ("text", "no column 'text' (there are body, x); use --text-field"),
        ("x", "column 'x' is int64, not text; use --text-field"),
    ):
        rows, ((_, _, unread, _),) = read(tmp_path / "a.arrow", fields=Fields(source="s", text_field=field))
        assert (rows, unread) == ([], reason)
        assert isinstance(unread, Unread) and (unread.records, unread.mismatch) == (2, True)


def test_columns_may_be_nested_and_meta_keeps_what_is_asked_for(tmp_path: Path) -> None:
    rows_written = [
        {"body": {"text": "a", "length": 1}, "at": {"url": "u"}, "lang": "en", "x": 1, "y": 2},
        {"body": None, "at": {"url": None}, "lang": None, "x": 1, "y": 2},
    ]
    write(tmp_path / "a.arrow", pa.Table.from_pylist(rows_written), "file")
    fields = Fields(source="s", text_field="body.text", url_field="at.url", language_field="lang")
    (row,), ((_, _, reason, _),) = read(tmp_path / "a.arrow", fields=fields)
    assert (row["text"], row["url"], row["language"]) == ("a", "u", "en")
    assert row["meta"] == '{"body":{"length":1},"x":1,"y":2}'
    assert reason == "no text in column 'body.text'"
    fields = Fields(source="s", text_field="body.text", meta_fields=("x",))
    (row,), _ = read(tmp_path / "a.arrow", fields=fields)
    assert row["meta"] == '{"x":1}' and row["url"] is None


def test_large_batches_are_cut_to_small_ones(tmp_path: Path) -> None:
    draw = random.Random(0)
    table = pa.table({"text": [draw.randbytes(50_000).hex() for _ in range(500)]})
    write(tmp_path / "a.arrow", table, "file", chunk=500)
    piece = Piece(path=str(tmp_path / "a.arrow"), name="a", format="arrow", bytes=0)
    sizes = [batch.nbytes for batch in read_arrow(piece, FIELDS, lambda *_: None)]
    assert len(sizes) > 2 and max(sizes) < 20 << 20
