"""JSON that is no JSON lines: arrays of objects, one object, objects on any lines; and what is broken costs itself."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.readers.json_objects import find_objects, read_json
from corpusmill.dataproc.readers.pieces import Fields, Piece
from tests.memory import peak_growth

Reported = list[tuple[str, str, str, str | None]]


def read(folder: Path, data: bytes, name: str = "a.json", limit: int = 64 << 20) -> tuple[list[Any], Reported]:
    (folder / name).write_bytes(data)
    piece = Piece(path=str(folder / name), name=name, format="json", bytes=0)
    reported: Reported = []
    fields = Fields(source="s", maximum_record_bytes=limit)
    batches = read_json(piece, fields, lambda *values: reported.append(values))
    return [(row["id"], row["text"]) for batch in batches for row in batch.to_pylist()], reported


def objects(data: bytes, chunk: int = 1 << 20, limit: int = 1 << 20) -> list[tuple[int, bytes, str]]:
    chunks = ((data[at : at + chunk], "") for at in range(0, len(data), chunk))
    return [(stretch.at, stretch.data, stretch.problem) for stretch in find_objects(chunks, limit)]


value = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(alphabet='a{}[]",\\\n\u00e9', max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text('k{"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
record = st.dictionaries(st.text('ab"\\{', max_size=3), value, max_size=3)


@settings(max_examples=200)
@given(st.lists(record, max_size=6), st.sampled_from([None, 0, 2]), st.integers(1, 50), st.booleans())
def test_any_array_gives_its_objects_whatever_the_chunks(
    contents: list[Any], indent: int | None, chunk: int, ascii_only: bool
) -> None:
    data = json.dumps(contents, indent=indent, ensure_ascii=ascii_only).encode()
    stretches = objects(data, chunk)
    assert [json.loads(content) for _, content, _ in stretches] == contents
    assert all(data[at:].startswith(content) and not problem for at, content, problem in stretches)


@settings(max_examples=100)
@given(st.lists(record, max_size=6), st.sampled_from(["", "\n", ",\n", "  "]), st.integers(1, 50))
def test_objects_one_after_another_are_found(contents: list[Any], between: str, chunk: int) -> None:
    data = between.join(json.dumps(element, indent=1) for element in contents).encode()
    assert [json.loads(value) for _, value, _ in objects(data, chunk)] == contents


def test_an_array_of_records_is_read(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf[\n {"text": "a", "x": [{}]},\n {"text": "}"}\n]\n'
    assert read(tmp_path, data) == ([("s/a.json#6", "a"), ("s/a.json#33", "}")], [])
    for name, packed in (("a.json.gz", gzip.compress(data)), ("a.json.zst", zstandard.compress(data))):
        assert [text for _, text in read(tmp_path, packed, name)[0]] == ["a", "}"]


def test_one_object_is_one_document(tmp_path: Path) -> None:
    assert read(tmp_path, b'{\n "text": "a"\n}') == ([("s/a.json#0", "a")], [])


@pytest.mark.parametrize("data", [b"", b"  \n", b"[]", b"[ ]\n"])
def test_nothing_gives_nothing(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data) == ([], [])


BAD = {
    # case: (data, texts, (offset, reason) of each report)
    "a value among objects": (b'[{"text":"a"}, 5, {"text":"b"}]', ["a", "b"], [(15, "not an object")]),
    "an array among objects": (b'[{"text":"a"}, ["x"], {"text":"b"}]', ["a", "b"], [(16, "not an object")]),
    "no object": (b'"text"', [], [(0, "not an object")]),
    "no text": (b'[{"x":1},{"text":"b"}]', ["b"], [(1, "no text")]),
    "not JSON": (b'[{\'text\': 1},\n {"text":"b"}]', ["b"], [(1, "not JSON")]),
    "invalid UTF-8": (b'[{"text":"\xff"},{"text":"b"}]', ["b"], [(1, "not JSON")]),
    "a quote too few": (b'[{"text":"a},\n {"text":"b"}},\n {"text":"c"}]', ["c"], [(1, "not JSON")]),
    "too long": (b'[{"text":"' + b"x" * 3000 + b'"},{"text":"b"}]', ["b"], [(1, "longer than 1000 bytes")]),
    "cut in an object": (b'[{"text":"a"},{"text":"b', ["a"], [(14, "cut off: this object does not end")]),
    "cut between objects": (b'[{"text":"a"},', ["a"], [(14, "cut off: this array does not end")]),
    "a Parquet file": (b"PAR1xxxx", [], [(0, "this is Parquet")]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_broken_costs_itself(tmp_path: Path, case: str) -> None:
    data, survive, expected = BAD[case]
    rows, reported = read(tmp_path, data, limit=1000)
    assert [text for _, text in rows] == survive
    assert [entry[0] for entry in reported] == [f"s/a.json#{at}" for at, _ in expected]
    assert all(reason in entry[2] for entry, (_, reason) in zip(reported, expected, strict=True))


@settings(max_examples=300)
@given(st.text(alphabet='{}[]",\\:a \n\u00e9', max_size=60).map(str.encode), st.integers(1, 9), st.integers(1, 30))
def test_no_bytes_end_the_reader_and_chunks_leave_no_trace(data: bytes, chunk: int, limit: int) -> None:
    assert objects(data, chunk, limit) == objects(data, len(data) or 1, limit)
    for at, content, problem in objects(data, chunk):
        assert problem or data[at:].startswith(content)


def test_a_stream_that_is_cut_gives_what_is_whole(tmp_path: Path) -> None:
    packed = gzip.compress(b'[{"text":"a"},' + b'{"text":"b"},' * 500)[:-12]
    rows, reported = read(tmp_path, packed, "a.json.gz")
    assert rows[0][1] == "a" and "cut off" in reported[0][2]


@pytest.mark.parametrize("filling", [b"x", b"{"])
def test_a_bomb_is_one_report_in_bounded_memory(tmp_path: Path, filling: bytes) -> None:
    machine = zstandard.ZstdCompressor(level=9).compressobj()
    parts = [machine.compress(b'[{"text":"')] + [machine.compress(filling * (1 << 20)) for _ in range(400)]
    data = b"".join(parts) + machine.compress(b'"},{"text":"after"}]') + machine.flush()
    growth = peak_growth()
    rows, reported = read(tmp_path, data, "a.json.zst", limit=1 << 20)
    assert growth() < 390 << 20
    assert [text for _, text in rows] == ["after"]
    assert [entry[2] for entry in reported] == ["longer than 1048576 bytes"]
