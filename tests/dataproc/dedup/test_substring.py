"""Repeated substrings: what a table of all windows finds, and a suffix array; for any parts and partitions."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.repeats import REPEATS, joined_repeats
from corpusmill.dataproc.dedup.shuffle import partition_order
from corpusmill.dataproc.dedup.substring import Resolver
from corpusmill.dataproc.dedup.windows import (
    LEAST_LENGTH,
    contexts,
    keys_to_tell,
    shared_keys,
    twice_at_most,
    window_runs,
)

N = LEAST_LENGTH

Parts = list[list[bytes]]
Windows = dict[tuple[int, int], tuple[str, int]]


def repeated_windows(parts: Parts, length: int) -> Windows:
    """{(part, byte): (document, byte) of the first copy} of every repeated window, by a dictionary of all windows."""
    first: dict[bytes, tuple[int, int, str, int]] = {}
    windows: Windows = {}
    for part, texts in enumerate(parts):
        begin = 0
        for row, text in enumerate(texts):
            for byte in range(len(text) - length + 1):
                place = begin + byte
                known = first.setdefault(text[byte : byte + length], (part, place, f"{part}/{row}", byte))
                if known[0] != part or place >= known[1] + length:
                    windows[part, place] = known[2:]
            begin += len(text)
    return windows


def batch_of(part: int, texts: list[bytes]) -> pa.RecordBatch:
    ids = pa.array([f"{part}/{row}" for row in range(len(texts))])
    return pa.record_batch({"id": ids, "text": pa.array(texts, pa.large_binary())})


def resolved(parts: Parts, length: int, partitions: tuple[int, int] = (1, 1), rows: int = 1 << 30) -> list[pa.Table]:
    """The whole way, as the stage takes it: REPEATS of each part. `rows` documents make a batch."""
    batches = [batch_of(number, texts) for number, texts in enumerate(parts)]
    told_back: list[list[np.ndarray]] = [[] for _ in parts]
    keys = [twice_at_most(keys_to_tell(window_runs(batch.column("text"), length), length)) for batch in batches]
    for partition in range(partitions[0]):
        here = []
        for key in keys:
            order, bounds = partition_order(key, partitions[0])
            here.append(key[order[bounds[partition] : bounds[partition + 1]]])
        for number, shared in enumerate(shared_keys(here)):
            told_back[number].append(shared)
    repeats: list[list[pa.RecordBatch]] = [[] for _ in parts]
    for partition in range(partitions[1]):
        resolver = Resolver(length)
        for number, batch in enumerate(batches):
            sizes = np.array([len(text) for text in parts[number]], np.int64)
            positions = np.cumsum(sizes) - sizes
            for first in range(0, batch.num_rows, rows):
                piece, at = batch.slice(first, rows), positions[first : first + rows]
                shipped = contexts(piece, at, np.concatenate(told_back[number]), length, partitions[1])
                repeats[number].append(resolver.add(number, shipped[partition]))
    return [pa.Table.from_batches(part_batches, REPEATS) for part_batches in repeats]


def windows_of(tables: list[pa.Table]) -> Windows:
    """All windows of the tables, with the first copy of each."""
    windows: Windows = {}
    for part, table in enumerate(tables):
        for row in table.to_pylist():
            for window in range(row["count"]):
                assert (part, row["start"] + window) not in windows, "a window is found once"
                byte = row["first_start"] + (window % row["period"] if row["period"] else window)
                windows[part, row["start"] + window] = (row["first"], byte)
    return windows


def slow_spans(windows: Windows, part: int, length: int) -> list[dict[str, Any]]:
    """The spans of a part: stretches of windows whose copies are neighbours, then those of one period together."""
    stretches: list[list[Any]] = []  # start, windows, first copy
    for (_, start), copy in sorted(item for item in windows.items() if item[0][0] == part):
        if stretches:
            begin, count, (name, byte) = stretches[-1]
            if (start, copy) == (begin + count, (name, byte + count)):
                stretches[-1][1] += 1
                continue
        stretches.append([start, 1, copy])
    spans: list[dict[str, Any]] = []
    period, ended = 0, True
    for start, count, copy in stretches:
        last = spans[-1] if spans else None
        if (
            last and not ended and count <= period
            and (last["end"] - length + 1, last["first"], last["first_start"]) == (start, *copy)
        ):  # fmt: skip
            last["end"] += count
            ended = count < period
            continue
        spans.append({"start": start, "end": start + count + length - 1, "first": copy[0], "first_start": copy[1]})
        period, ended = count, False
    return spans


PIECES = [
    b"the quick brown fox jumps over it",
    b"A" * 40,
    b"ab" * 21,
    bytes(range(65, 100)),
    "äöü→語𝄞 naïve ".encode() * 2,
]


@st.composite
def corpora(draw: Any) -> Parts:
    """Parts of documents of planted pieces, whole or not, between bytes of a small alphabet."""
    piece = st.sampled_from(PIECES)
    cut = st.tuples(piece, st.integers(0, 20), st.integers(0, 20)).map(lambda t: t[0][t[1] : len(t[0]) - t[2]])
    noise = st.binary(max_size=12).map(lambda b: bytes(65 + byte % 3 for byte in b))
    document = st.lists(st.one_of(cut, noise, piece), max_size=6).map(b"".join)
    return draw(st.lists(st.lists(document, max_size=4), min_size=1, max_size=3))


@settings(deadline=None, max_examples=300)
@given(corpora(), st.integers(N, 24), st.sampled_from([(1, 1), (3, 2), (2, 5)]), st.integers(1, 5))
def test_it_finds_the_windows_that_a_table_of_all_windows_finds(parts, length, partitions, rows):
    expected = repeated_windows(parts, length)
    tables = resolved(parts, length, partitions, rows)
    assert windows_of(tables) == expected
    for part, table in enumerate(tables):
        assert joined_repeats(table, length).to_pylist() == slow_spans(expected, part, length)


@settings(deadline=None, max_examples=50)
@given(corpora(), st.integers(N, 24))
def test_bytes_of_repeated_windows_are_those_of_the_suffix_array(parts, length):
    library = pytest.importorskip("pydivsufsort")
    texts = [text for part in parts for text in part]
    joined, borders = separated(texts)
    if not len(joined):
        return
    order = library.divsufsort(joined)
    common = library.kasai(joined, order)
    places, group = groups_of_prefix(order, common, length)
    first = np.full(int(group.max(initial=-1)) + 1, len(joined), np.int64)
    np.minimum.at(first, group, places)
    other_document = np.searchsorted(borders, places, "right") != np.searchsorted(borders, first[group], "right")
    repeated = places[(places != first[group]) & (other_document | (places >= first[group] + length))]
    starts = np.array([0, *np.cumsum([len(text) + 1 for text in texts])])
    ours = set()
    number = 0
    for part, table in zip(parts, resolved(parts, length), strict=True):
        begin = np.cumsum([0, *(len(text) for text in part)])
        for row in table.to_pylist():
            for place in range(row["start"], row["start"] + row["count"]):
                inside = int(np.searchsorted(begin, place, "right")) - 1
                ours.add(int(starts[number + inside]) + place - int(begin[inside]))
        number += len(part)
    assert ours == set(repeated.tolist())


def separated(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as numbers with a number of its own after each, and where each text begins."""
    pieces: list[np.ndarray] = []
    for number, text in enumerate(texts):
        pieces += [np.frombuffer(text, np.uint8).astype(np.int64) + len(texts), np.array([number])]
    borders = np.cumsum([0, *(len(text) + 1 for text in texts[:-1])])
    return np.concatenate([np.zeros(0, np.int64), *pieces]), borders


def groups_of_prefix(order: np.ndarray, common: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(places, group) of suffixes that share `length` symbols with a neighbour; common[i] is of i and i + 1."""
    linked = common[: len(order) - 1] >= length
    member = np.zeros(len(order), bool)
    member[1:] |= linked
    member[:-1] |= linked
    group = np.cumsum(np.append(True, ~linked)) - 1
    return order[member].astype(np.int64), np.unique(group[member], return_inverse=True)[1]


def test_a_run_of_one_character_keeps_its_first_windows_length():
    repeats = joined_repeats(resolved([[b"A" * 1000]], 100)[0], 100)
    assert repeats.to_pylist() == [{"start": 100, "end": 1000, "first": "0/0", "first_start": 0}]


def test_a_run_is_one_row_of_keys_however_long():
    for period in (b"A", b"0,", b"0x00, "):
        runs = window_runs(pa.array([period * 5000]), 200)
        assert len(runs.keys) == 1
        assert runs.counts.sum() == len(period) * 5000 - 199


def test_rows_of_keys_are_few_on_text_without_repeats():
    text = np.random.default_rng(0).integers(97, 123, 400_000, np.uint8).tobytes()
    runs = window_runs(pa.array([text], pa.large_binary()), 200)
    assert runs.counts.sum() == 400_000 - 199
    assert 45 < runs.counts.mean() < 57  # (N - K + 2) / 2 is 51
    assert len(shared_keys([twice_at_most(runs.keys)])[0]) == 0
    order, bounds = partition_order(runs.keys, 8)
    assert np.diff(bounds).min() > len(order) / 16, "partitions are even"


def test_a_document_longer_than_the_first_guess_of_room_is_done_again():
    texts = [b"", np.random.default_rng(1).integers(0, 250, 9000, np.uint8).tobytes()] * 40
    whole = window_runs(pa.array(texts, pa.large_binary()), N)
    alone = window_runs(pa.array(texts[1:2], pa.large_binary()), N)
    assert whole.keys.tolist() == alone.keys.tolist() * 40
    assert np.unique(whole.documents).tolist() == list(range(1, 80, 2))


def test_spans_join_over_partitions_and_break_where_the_copy_changes():
    one, two = b"first of all sources, nothing else", b"and the second one, from elsewhere"
    parts = [[one], [two], [b"<" + one + two + b">"]]
    for partitions in ((1, 1), (2, 7)):
        spans = joined_repeats(resolved(parts, N, partitions)[2], N).to_pylist()
        assert spans == [
            {"start": 1, "end": 1 + len(one), "first": "0/0", "first_start": 0},
            {"start": 1 + len(one), "end": 1 + len(one + two), "first": "1/0", "first_start": 0},
        ]


def test_what_is_cut_leaves_no_window_twice_inside_what_is_kept():
    parts = [[b"x" * 5 + PIECES[0] + b"1", PIECES[0] * 3], [b"2" + PIECES[3] + PIECES[0], PIECES[3][2:]]]
    seen: set[bytes] = set()
    for texts, table in zip(parts, resolved(parts, N), strict=True):
        joined, kept = b"".join(texts), np.ones(sum(map(len, texts)), bool)
        for row in joined_repeats(table, N).to_pylist():
            kept[row["start"] : row["end"]] = False
        begin = 0
        for text in texts:
            for at in range(begin, begin + len(text) - N + 1):
                if kept[at : at + N].all():
                    assert joined[at : at + N] not in seen
                    seen.add(joined[at : at + N])
            begin += len(text)
    assert len(seen) > 20


def test_shorter_windows_than_make_sense_are_refused():
    with pytest.raises(ValueError, match="least"):
        window_runs(pa.array(["text"]), N - 1)
