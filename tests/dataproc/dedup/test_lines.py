"""Lines and paragraphs: what a unit is, and which are counted too often."""

import re
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.exact import text_digests
from corpusmill.dataproc.dedup.lines import (
    REPEATED,
    TALLY,
    Tally,
    find_digests,
    repeated_units,
    unit_digests,
    units,
)
from corpusmill.dataproc.kernels.buffers import text_buffers

TEXTS = st.text("ab é\t\r\n\n\n", max_size=40)


def slow_units(text: str, unit: str, minimum: int) -> list[tuple[str, str]]:
    """(unit, unit and what follows to the next one) by regular expressions over lines."""
    blank = re.compile(r"[ \t\r]*\n?\Z")
    groups: list[list[str]] = []  # each: the lines of a unit, then the blank ones below
    open_unit = False
    for line in re.findall(r"[^\n]*\n|[^\n]+\Z", text):
        if blank.match(line):
            open_unit = False
            if groups:
                groups[-1].append(line)
        elif open_unit and unit == "paragraph":
            groups[-1].append(line)
        else:
            groups.append([line])
            open_unit = True
    pairs = []
    for group in groups:
        body = [line for line in group if not blank.match(line)]
        spelled = "".join(body)[:-1] if body[-1].endswith("\n") else "".join(body)
        if len(spelled) >= minimum:
            pairs.append((spelled, "".join(group)))
    return pairs


@settings(deadline=None, max_examples=300)
@given(st.lists(TEXTS, max_size=4), st.sampled_from(["line", "paragraph"]), st.integers(1, 4))
@example(["a\n\n b", "\n\nb\r\n \t\nc\n"], "paragraph", 1)
def test_units_are_lines_or_runs_of_lines_that_are_not_blank(texts, unit, minimum):
    array = pa.array(texts, pa.large_string())
    columns = units(array, unit, minimum)
    offsets, data = text_buffers(array)
    spelled: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for row, start, stop, end in zip(*(column.tolist() for column in columns), strict=True):
        assert offsets[row] <= start < stop <= end <= offsets[row + 1]
        spelled[row].append((bytes(data[start:stop]).decode(), bytes(data[start:end]).decode()))
    assert [spelled[row] for row in range(len(texts))] == [slow_units(text, unit, minimum) for text in texts]


def test_digests_are_those_of_the_units_as_texts_of_their_own():
    texts = pa.array(["One line.\n  TWO, lines  \n", "", "two lines\nOne line."], pa.large_string())
    lines = units(texts, "line", 1)
    expected = pa.array(["One line.", "  TWO, lines  ", "two lines", "One line."])
    assert unit_digests(texts, lines).tolist() == text_digests(expected).tolist()
    alike = unit_digests(texts, lines, ["case", "space", "punctuation"]).tolist()
    assert alike[1] == alike[2] and alike[0] == alike[3]


def table_of(block: int, documents: list[list[int]]) -> pa.RecordBatch:
    """TALLY of documents whose units are small numbers; unit u is at byte 10 * its place."""
    tally = Tally()
    for row, numbers in enumerate(documents):
        digests = np.array([[number % 3, number] for number in numbers], np.uint64).reshape(-1, 2)
        tally.add(digests, np.full(len(numbers), row), 10 * np.arange(len(numbers)))
        tally.name(np.array([row]), pa.array([f"{block}/{row}"]))
    table = tally.table()
    assert table.schema == TALLY
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], TALLY)


CORPORA: Any = st.lists(st.lists(st.lists(st.integers(0, 6), max_size=5), max_size=3), min_size=1, max_size=3)


@settings(deadline=None, max_examples=200)
@given(CORPORA, st.integers(1, 3), st.sampled_from(["documents", "times"]))
def test_what_is_counted_too_often_is_told_to_each_block_with_its_first_place(blocks, limit, by):
    tables = repeated_units([table_of(number, documents) for number, documents in enumerate(blocks)], limit, by)
    places: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for block, documents in enumerate(blocks):
        for row, numbers in enumerate(documents):
            for place, number in enumerate(numbers):
                places[number].append((block, row, 10 * place))
    expected: list[set[tuple[int, int, int, str]]] = [set() for _ in blocks]
    for number, positions in places.items():
        count = len(positions) if by == "times" else len({place[:2] for place in positions})
        if count > limit:
            block, row, start = positions[0]
            for other in {place[0] for place in positions}:
                expected[other].add((number, row if other == block else -1, start, f"{block}/{row}"))
    for table, repeated in zip(tables, expected, strict=True):
        assert table.schema == REPEATED
        rows = [(row["low"], row["row"], row["start"], row["first"]) for row in table.to_pylist()]
        assert len(rows) == len(repeated) and set(rows) == repeated
        keys = list(zip(table["high"].to_pylist(), table["low"].to_pylist(), strict=True))
        assert keys == sorted(keys)


@settings(deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, 3), st.integers(0, 9))), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)))
)
def test_digests_that_share_a_half_are_told_apart(known, asked):
    ordered = sorted(known)
    positions = find_digests(np.array(ordered, np.uint64).reshape(-1, 2), np.array(asked, np.uint64).reshape(-1, 2))
    assert positions.tolist() == [ordered.index(digest) if digest in known else -1 for digest in asked]


@pytest.mark.parametrize("unit", ["line", "paragraph"])
def test_nothing_comes_of_nothing(unit):
    texts = pa.array([], pa.large_string())
    assert len(unit_digests(texts, units(texts, unit, 1))) == 0
    assert Tally().table().num_rows == 0
