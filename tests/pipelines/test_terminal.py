"""Tables are whole at any width: no line is wider than the console, and no number is cut or folded."""

import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipelines.terminal import Column, pairs, table, wrapped

WIDTHS = (60, 80, 130)
NUMBER = re.compile(r"\d[\d,.:]*")
WORDS = st.text(alphabet="abcdef ", max_size=40)
NAMES = st.sampled_from(
    ["gopher-repetition-datatrove/duplicate-10grams", "documents in", "  code/und: 12 documents", "書"]
)
NUMBERS = st.one_of(
    st.integers(0, 10**15).map("{:,}".format), st.floats(0, 100).map("{:.2f} %".format), st.just("12:34:56")
)
COLUMNS = (Column("stage"), Column("what it says"), Column("input", True), Column("time", True), Column("state"))


def numbers(lines: list[Any]) -> list[str]:
    return sorted(number for line in lines for number in NUMBER.findall(line.plain))


@given(st.lists(st.tuples(NAMES, WORDS, NUMBERS, NUMBERS, WORDS), min_size=1, max_size=6), st.sampled_from(WIDTHS))
@settings(deadline=None)
def test_a_table_has_all_numbers_whole_at_every_width(rows: list[tuple[str, ...]], width: int) -> None:
    lines = table(COLUMNS, rows, width)
    assert all(line.cell_len <= width for line in lines)
    assert numbers(lines) == numbers(table(COLUMNS, rows, 1000))
    shown = "".join(line.plain for line in lines).replace(" ", "")
    assert all(cell.replace(" ", "") in shown for row in rows for cell in row[2:4])


@given(
    st.lists(st.tuples(NAMES, NUMBERS | st.just("")), min_size=1, max_size=8), st.sampled_from(WIDTHS), st.booleans()
)
@settings(deadline=None)
def test_pairs_have_all_numbers_and_names_whole_at_every_width(
    rows: list[tuple[str, str]], width: int, right: bool
) -> None:
    lines = pairs(rows, width, right=right)
    assert all(line.cell_len <= width for line in lines)
    assert numbers(lines) == numbers(pairs(rows, 1000, right=right))
    assert all(any(name.strip() in line.plain for line in lines) for name, _ in rows)


@given(st.text(alphabet="ab1234567890,./- 書", max_size=200), st.integers(20, 80))
@settings(deadline=None)
def test_wrapping_keeps_every_character_but_spaces_and_breaks_no_number_that_fits(text: str, width: int) -> None:
    from rich.text import Text

    lines = wrapped(Text(text), width)
    assert "".join(line.plain for line in lines).replace(" ", "") == text.replace(" ", "")
    assert all(line.cell_len <= width for line in lines)
    for before, after in itertools.pairwise(lines):
        ends, begins = re.search(r"[\d,.]+$", before.plain), re.match(r"[\d,.]+", after.plain)
        if ends and begins and (ends[0] + begins[0]) in text:
            assert len(ends[0] + begins[0]) > width // 2, "only a number as long as the line is broken"


def test_a_table_wraps_words_before_it_becomes_blocks() -> None:
    rows = [("unique", "layout 1, sign 12, pairs 4, cluster 1, members 4, survivors 4", "12.3 MB", "0:30", "to do")]
    wide, narrow, narrowest = (table(COLUMNS, rows, width) for width in (130, 60, 24))
    assert len(wide) == 2 and len(narrow) > 2
    assert narrow[0].plain.split()[0] == "stage", "still a table"
    assert [line.plain for line in narrowest][:2] == ["unique", "  what it says"]


@pytest.mark.parametrize("right", [True, False])
def test_a_pair_that_does_not_fit_has_its_value_below(right: bool) -> None:
    rows = [("documents in", "1,240"), ("  a-rule-with-a-name/of-fifty-three-letters-and-more", "1,234,567  12.3%")]
    lines = [line.plain for line in pairs(rows, 60, right=right)]
    assert lines[1] == rows[1][0]
    assert lines[2].strip() == rows[1][1]
