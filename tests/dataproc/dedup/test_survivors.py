"""Survivors: first by declared preference, and the same documents in any order of rows."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.survivors import named_columns, parse_preference, preference_order
from corpusmill.dataproc.errors import UserError


def table(rows: list[dict]) -> pa.Table:
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("cluster", pa.uint64()),
            ("length", pa.int64()),
            ("quality", pa.float64()),
            ("source", pa.string()),
        ]
    )
    return pa.Table.from_pylist(rows, schema)


ROW = st.fixed_dictionaries(
    {
        "cluster": st.integers(0, 3),
        "length": st.integers(0, 3) | st.none(),
        "quality": st.sampled_from([0.1, 0.9, math.nan, None]),
        "source": st.sampled_from(["web", "book", "docs", None]),
    }
)


def missing(value) -> bool:
    return value is None or value != value


@settings(deadline=None)
@given(st.lists(ROW, min_size=1, max_size=14), st.randoms(use_true_random=False))
def test_the_order_is_that_of_the_preferences_whatever_the_order_of_rows(rows, random):
    rows = [{**row, "id": f"d{number}"} for number, row in enumerate(rows)]
    preferences = ["source:first(book|docs)", "quality:desc", "length:asc"]

    def rank(row):
        source = {"book": 0, "docs": 1}.get(row["source"], 2)
        quality = (1, 0) if missing(row["quality"]) else (0, -row["quality"])
        length = (1, 0) if row["length"] is None else (0, row["length"])
        return source, quality, length, row["id"]

    expected = [row["id"] for row in sorted(rows, key=rank)]
    for _ in range(2):
        assert [rows[place]["id"] for place in preference_order(table(rows), preferences)] == expected
        random.shuffle(rows)


@pytest.mark.parametrize(
    ("spellings", "same"),
    [
        (["longest"], ["length:desc"]),
        (["shortest"], ["length:asc"]),
        (["source=book|docs", "length asc"], ["source:first(book|docs)", "length:asc"]),
        (["source = book", "quality  desc"], ["source:first(book)", "quality:desc"]),
    ],
)
def test_a_preference_may_be_written_in_words(spellings, same):
    assert [parse_preference(text) for text in spellings] == [parse_preference(text) for text in same]


def test_descending_id_and_default():
    rows = [{"id": name, "length": length} for name, length in (("a", 1), ("b", 2), ("c", 2))]
    assert preference_order(table(rows), ["id:desc"]).tolist() == [2, 1, 0]
    assert preference_order(table(rows)).tolist() == [1, 2, 0]
    assert preference_order(table([])).dtype == np.int64


@pytest.mark.parametrize("preference", ["lenght:desc", "length", "length:down", "nothing:asc", ""])
def test_a_preference_that_cannot_be_used_is_a_users_mistake(preference):
    with pytest.raises(UserError):
        preference_order(table([{"id": "a", "length": 1}]), [preference])


def test_equal_ids_are_refused():
    with pytest.raises(UserError, match="same id"):
        preference_order(table([{"id": "a"}, {"id": "a"}]))


def test_protected_documents_go_before_all_others():
    rows = [{"id": f"d{number}", "length": 9 - number} for number in range(6)]
    protected = np.array([False, False, False, False, True, False])
    assert preference_order(table(rows), ["length:desc"], protected).tolist() == [4, 0, 1, 2, 3, 5]


def test_a_protected_document_may_have_the_id_of_another():
    rows = [{"id": "a", "length": 5}, {"id": "a", "length": 1}]
    assert preference_order(table(rows), ["length:desc"], np.array([False, True])).tolist() == [1, 0]


def test_columns_that_preferences_name():
    assert named_columns(["source:first(a|b)", "quality:desc", " source :asc"]) == ["quality", "source"]
