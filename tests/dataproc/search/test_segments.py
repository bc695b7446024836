"""A segment answers like `bytes.find` over the plain text, whatever the text is; and a damaged one does not answer."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.search.building import SegmentText, write_segment
from corpusmill.dataproc.search.index import Query, SearchIndex
from corpusmill.dataproc.search.records import RECORD
from corpusmill.dataproc.search.segment import Rows, Segment

ALPHABETS = ("a", "ab", "abc \n", "aé日本😀\u0301", "".join(map(chr, range(32, 700))))


def build(path: Path, texts: Sequence[str], locate_every: int = 32) -> bytes:
    """Writes a segment of documents `0`, `1`, …; gives its text, 0xFF after each document."""
    collected = SegmentText()
    names = [str(number) for number in range(len(texts))]
    columns = {"id": names, "text": pa.array(texts, pa.large_string()), "source": [f"s{name}" for name in names]}
    collected.add(pa.record_batch(columns))
    text, documents = collected.taken()
    write_segment(str(path), text, documents, locate_every)
    return text.tobytes()


def places(text: bytes, wanted: bytes) -> list[int]:
    """Where `wanted` begins in a text, overlapping occurrences included."""
    actual, place = [], text.find(wanted)
    while place >= 0:
        actual.append(place)
        place = text.find(wanted, place + 1)
    return actual


def check(path: Path, text: bytes, wanted: bytes) -> None:
    with Segment(str(path)) as segment:
        assert sorted(segment.positions(segment.rows(wanted)).tolist()) == places(text, wanted)


@given(data=st.data(), every=st.sampled_from([8, 32, 128]))
@settings(max_examples=30)
def test_a_segment_finds_what_find_finds(tmp_path_factory: pytest.TempPathFactory, data, every: int) -> None:
    path = tmp_path_factory.mktemp("segment") / "s.fm"
    alphabet = data.draw(st.sampled_from(ALPHABETS))
    texts = data.draw(st.lists(st.text(alphabet, max_size=200), min_size=1, max_size=8))
    text = build(path, texts, every)
    for wanted in data.draw(st.lists(st.text(alphabet, min_size=1, max_size=4), max_size=5)):
        check(path, text, wanted.encode())
    whole = data.draw(st.sampled_from(texts)).encode()
    start = data.draw(st.integers(0, len(whole)))
    if whole[start:]:
        check(path, text, whole[start:])
    with Segment(str(path)) as segment:
        assert segment.text(0, len(text)) == text


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[str]]:
    """A segment of several records, with text that is random, that is one long run, and that repeats."""
    draw = random.Random(3)
    texts = [
        "".join(draw.choices("abcdefgh éü日本語の", k=40_000)),
        "x" * (2 * RECORD),
        "abcdefghijkl" * 4_000,
        "",
        "end",
    ]
    path = tmp_path_factory.mktemp("large") / "s.fm"
    return path, build(path, texts), texts


def test_runs_longer_than_a_record_and_periods_are_found(large: tuple[Path, bytes, list[str]]) -> None:
    path, text, _ = large
    assert len(text) > 4 * RECORD
    for wanted in ("日本", "xxx", "x" * (2 * RECORD), "lab", "abcdefghijkl" * 3_999, "end", "zz"):
        check(path, text, wanted.encode())


def test_any_stretch_of_text_comes_back(large: tuple[Path, bytes, list[str]]) -> None:
    path, text, _ = large
    draw = random.Random(5)
    with Segment(str(path)) as segment:
        for _ in range(30):
            start = draw.randrange(len(text))
            stop = min(len(text), start + draw.randrange(600))
            assert segment.text(start, stop) == text[start:stop]
        assert segment.text(len(text), len(text)) == b""


def test_a_small_cache_gives_the_same_answers(large: tuple[Path, bytes, list[str]]) -> None:
    path, text, _ = large
    with Segment(str(path)) as segment, Segment(str(path), cache_bytes=1) as small:
        small._records.data = small._records.data[:45_000]  # two of the larger records, and no third
        for wanted in (b"ab", "の".encode(), b"lab"):
            assert sorted(small.positions(small.rows(wanted)).tolist()) == places(text, wanted)
            assert len(segment.positions(segment.rows(wanted))) == text.count(wanted)
        assert small.reads > 2 * segment.reads


def test_documents_are_named_and_never_joined(tmp_path: Path) -> None:
    texts = [f"start{number} end{number}" for number in range(700)]
    build(tmp_path / "s.fm", texts)
    index = SearchIndex([str(tmp_path / "s.fm")])
    assert index.count(Query("end1start2")).occurrences == 0
    for number in (0, 255, 256, 511, 699):
        (hit,) = index.find(Query(texts[number]), 5)
        assert (hit.id, hit.source, hit.start, hit.end) == (f"{number}", f"s{number}", 0, len(texts[number]))
    assert index.count(Query("start"), documents=True).documents == 700
    assert index.count(Query("t"), documents=True).documents == 700
    assert index.count(Query("t")).occurrences == 1400


def test_a_context_ends_with_its_document_and_with_whole_characters(tmp_path: Path) -> None:
    build(tmp_path / "s.fm", ["before", "日本語のテキスト needle 日本語のテキスト", "after"])
    index = SearchIndex([str(tmp_path / "s.fm")])
    (context,) = index.contexts(Query("needle"), 5, 1000)
    assert (context.before, context.text, context.after) == ("日本語のテキスト ", "needle", " 日本語のテキスト")
    (context,) = index.contexts(Query("needle"), 5, 6)
    assert (context.before, context.after) == ("ト ", " 日")


def test_case_is_ignored_where_that_is_asked(tmp_path: Path) -> None:
    texts = ["Straße und STRASSE, Ärger ärger", "σοφος ΣΟΦΟΣ", "\u212a k K", "Strasse"]
    build(tmp_path / "s.fm", texts)
    index = SearchIndex([str(tmp_path / "s.fm")])
    counts = {text: index.count(Query(text, True)).occurrences for text in ("strasse", "ÄRGER", "Σοφο", "k", "straße")}
    assert counts == {"strasse": 2, "ÄRGER": 2, "Σοφο": 2, "k": 3, "straße": 1}
    assert {hit.id for hit in index.find(Query("STRASSE", True), 10)} == {"0", "3"}
    assert index.count(Query("strasse")).occurrences == 0


def test_several_segments_add_up(tmp_path: Path) -> None:
    build(tmp_path / "a.fm", ["one two", "two"])
    build(tmp_path / "b.fm", ["two three two"])
    index = SearchIndex([str(tmp_path / "a.fm"), str(tmp_path / "b.fm")])
    assert index.count(Query("two"), documents=True).occurrences == 4
    assert index.count(Query("two"), documents=True).documents == 3
    assert len(index.find(Query("two"), 3)) == 3
    assert len(index.find(Query("two"), 9)) == 4


def test_every_byte_that_is_changed_is_noticed(tmp_path: Path) -> None:
    text = build(tmp_path / "s.fm", ["the quick brown fox " * 20, "jumps over the lazy dog"])
    whole = (tmp_path / "s.fm").read_bytes()
    noticed = 0
    for place in range(0, len(whole), 3):
        (tmp_path / "t.fm").write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        index = SearchIndex([str(tmp_path / "t.fm")])
        try:
            assert index.count(Query("quick")).occurrences == text.count(b"quick")
            assert len(index.contexts(Query("fox"), 20, 5)) == 20
        except UserError as error:
            noticed += 1
            assert "damaged" in str(error) and "rebuild the index" in str(error)
    assert noticed == len(range(0, len(whole), 3))  # of so small an index all is read


@pytest.mark.parametrize("bytes_left", [0, 10, 100, -1])
def test_a_cut_off_segment_is_one_line(tmp_path: Path, bytes_left: int) -> None:
    build(tmp_path / "s.fm", ["some text " * 500])
    (tmp_path / "s.fm").write_bytes((tmp_path / "s.fm").read_bytes()[:bytes_left])
    with pytest.raises(UserError, match="damaged"):
        SearchIndex([str(tmp_path / "s.fm")]).count(Query("text"))


def test_nothing_to_look_for_is_refused() -> None:
    with pytest.raises(UserError, match="text to search for is empty"):
        Query("")


@given(st.data())
@settings(max_examples=40)
def test_a_record_that_somebody_made_up_reads_nothing_outside(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    """Its checksum is right and its content is not: any answer will do, or an error of one line."""
    path = tmp_path_factory.mktemp("forged") / "s.fm"
    build(path, ["the quick brown fox " * 40, "日本語" * 30])
    content = bytearray(path.read_bytes())
    with Segment(str(path)) as segment:
        directory = segment.directory
    size = int(directory.arrays["record_sizes"][0])
    for place in data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=12)):
        content[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0xFF]))
    directory.arrays["record_checksums"] = np.array([xxhash.xxh3_64_intdigest(bytes(content[:size]))], np.uint64)
    forged = directory.packed()
    path.write_bytes(bytes(content[: -len(forged)]) + forged)
    with Segment(str(path)) as segment:
        try:
            rows = segment.rows(b"ox")
            segment.positions(Rows(rows.low, min(rows.high, rows.low + 50)))
            segment.text(100, 400)
        except UserError as error:
            assert "damaged" in str(error)
