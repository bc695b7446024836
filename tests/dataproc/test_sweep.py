"""Sweeps: the counts of every threshold are those of deciding anew with it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.rules import Rule, decide
from corpusmill.dataproc.sweep import Swept, columns_needed, sweep, thresholds_of

VALUES = st.one_of(st.none(), st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, float("nan")]))
ROWS = st.tuples(
    VALUES, VALUES, st.integers(0, 1 << 40), st.sampled_from(["web", "code"]), st.sampled_from(["en", "de", None])
)
SIDES = st.sampled_from(["minimum", "maximum"])
GRIDS = st.sets(st.sampled_from([-0.5, 0.0, 0.25, 0.4, 0.5, 1.0]), min_size=1, max_size=4)


def statistics(rows: list[tuple]) -> pa.RecordBatch:
    a, b, sizes, kinds, languages = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return pa.RecordBatch.from_pydict(
        {
            "a": pa.array(a, pa.float64()),
            "b": pa.array(b, pa.float64()),
            "byte_count": pa.array(sizes, pa.int64()),
            "kind": pa.array(kinds, pa.string()),
            "language": pa.array(languages, pa.string()),
        }
    )


def by_deciding(batch: pa.RecordBatch, rules: list[Rule]) -> tuple[int, int]:
    kept = decide(batch, batch.column("kind"), rules).kept
    return int(kept.sum()), sum(np.array(batch.column("byte_count").to_pylist(), object)[kept])


def with_threshold(swept: Swept, threshold: float) -> Rule:
    return replace(swept.rule, **{swept.side: threshold})


@settings(max_examples=150, deadline=None)
@given(
    st.lists(ROWS, max_size=12),
    st.lists(st.tuples(st.sampled_from("ab"), SIDES, GRIDS), min_size=1, max_size=2),
    st.sampled_from([None, 0.25]),
    st.sampled_from([(), ("code",)]),
    st.integers(0, 12),
)
def test_counts_are_those_of_deciding_anew_with_each_threshold(rows, axes, other_side, not_kinds, cut):
    swept = []
    for number, (column, side, thresholds) in enumerate(axes):
        opposite = {"minimum": "maximum", "maximum": "minimum"}[side]
        rule = Rule(f"r{number}", column, **{side: 0.1, opposite: other_side}, not_kinds=not_kinds)
        swept.append(Swept(rule, side, tuple(sorted(thresholds))))
    others = [Rule("other", "b", minimum=0.0, languages=("en",)), Rule("e", expression="a < 1 or language == 'de'")]
    whole = statistics(rows)
    result = sweep([whole.slice(0, cut), whole.slice(cut)], swept, others, [("language",), ("kind", "language")])
    assert result.total.documents == len(rows)
    groups = [((), (), result.total)]
    groups += [(columns, key, counts) for columns, group in result.groups.items() for key, counts in group.items()]
    for columns, key, counts in groups:
        batch = whole
        for name, value in zip(columns, key, strict=True):
            batch = batch.filter(pa.array([label == value for label in batch.column(name).to_pylist()], pa.bool_()))
        assert counts.documents == batch.num_rows > 0 or not columns
        for place in np.ndindex(*(len(axis.thresholds) for axis in swept)):
            tried = [with_threshold(axis, axis.thresholds[at]) for axis, at in zip(swept, place, strict=True)]
            assert (counts.alone[0][place], counts.alone[1][place]) == by_deciding(batch, tried)
            assert (counts.together[0][place], counts.together[1][place]) == by_deciding(batch, [*tried, *others])


def test_both_sides_of_a_rule_make_a_grid_in_which_neither_holds_the_other():
    batch = statistics([(value / 10, 0.0, 1, "web", "en") for value in range(11)])
    rule = Rule("r", "a", minimum=0.4, maximum=0.5)
    swept = [Swept(rule, "minimum", (0.0, 0.4)), Swept(rule, "maximum", (0.5, 1.0))]
    assert sweep([batch], swept).total.alone[0].tolist() == [[6, 11], [2, 7]]


def test_no_statistics_count_nothing():
    total = sweep([], [Swept(Rule("r", "a", minimum=0.0), "minimum", (0.0, 1.0))]).total
    assert (total.documents, total.together[0].tolist()) == (0, [0, 0])


def test_only_the_columns_that_rules_look_at_are_needed():
    swept = [Swept(Rule("r", "a", minimum=0.0, spaced=True), "minimum", (0.0,))]
    others = [Rule("e", expression="c > d"), Rule("l", "f", 0.0, languages=("en",))]
    columns = columns_needed(swept, others, [("source",)])
    assert columns == ["byte_count", "kind", "a", "unspaced_fraction", "c", "d", "f", "language", "source"]


@pytest.mark.parametrize(
    ("text", "whole", "expected"),
    [
        ("0.1..0.5:5", False, (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("0..8", True, tuple(map(float, range(9)))),
        ("1..3:9", True, (1.0, 2.0, 3.0)),
        ("0.5,0.1, 0.5", False, (0.1, 0.5)),
        ("-1..1:3", False, (-1.0, 0.0, 1.0)),
        ("5", False, (5.0,)),
    ],
)
def test_ranges(text, whole, expected):
    assert thresholds_of(text, whole) == expected


@pytest.mark.parametrize("text", ["", "a..b", "1..", "1..2:1", "1..2:x", "nan", "1..inf", "1..2:99999999"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(UserError, match="not a range"):
        thresholds_of(text)


def test_grids_are_bounded():
    swept = [Swept(Rule(f"r{n}", "a", minimum=0.0), "minimum", tuple(map(float, range(200)))) for n in range(2)]
    with pytest.raises(UserError, match="too many"):
        sweep([], swept)
