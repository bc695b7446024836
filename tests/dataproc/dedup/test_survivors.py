"""Survivors: first by declared preference, and the same documents in any order of rows."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.survivors import choose_survivors, named_columns
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
def test_survivors_are_the_first_by_preference_in_any_order_of_rows(rows, random):
    rows = [{**row, "id": f"d{number}"} for number, row in enumerate(rows)]
    preferences = ["source:first(book|docs)", "quality:desc", "length:asc"]

    def rank(row):
        source = {"book": 0, "docs": 1}.get(row["source"], 2)
        quality = (1, 0) if missing(row["quality"]) else (0, -row["quality"])
        length = (1, 0) if row["length"] is None else (0, row["length"])
        return source, quality, length, row["id"]

    best = {}
    for row in sorted(rows, key=rank):
        best.setdefault(row["cluster"], row["id"])
    for _ in range(2):
        survivors = choose_survivors(table(rows), preferences)
        assert [rows[place]["id"] for place in survivors] == [best[row["cluster"]] for row in rows]
        random.shuffle(rows)


def test_descending_id_and_default():
    rows = [{"id": name, "cluster": 1, "length": length} for name, length in (("a", 1), ("b", 2), ("c", 2))]
    assert choose_survivors(table(rows), ["id:desc"]).tolist() == [2, 2, 2]
    assert choose_survivors(table(rows)).tolist() == [1, 1, 1]
    assert choose_survivors(table([])).dtype == np.int64


@pytest.mark.parametrize("preference", ["lenght:desc", "length", "length:down", "cluster:asc", ""])
def test_a_preference_that_cannot_be_used_is_a_users_mistake(preference):
    with pytest.raises(UserError):
        choose_survivors(table([{"id": "a", "cluster": 1}]), [preference])


def test_equal_ids_are_refused():
    with pytest.raises(UserError, match="same id"):
        choose_survivors(table([{"id": "a", "cluster": 1}, {"id": "a", "cluster": 2}]))


def test_protected_documents_go_before_all_others():
    rows = [{"id": f"d{number}", "cluster": number % 2, "length": 9 - number} for number in range(6)]
    protected = np.array([False, False, False, False, True, False])
    survivors = choose_survivors(table(rows), ["length:desc"], protected)
    assert survivors.tolist() == [4, 1, 4, 1, 4, 1]


def test_a_protected_document_may_have_the_id_of_another():
    rows = [{"id": "a", "cluster": 1, "length": 5}, {"id": "a", "cluster": 1, "length": 1}]
    assert choose_survivors(table(rows), ["length:desc"], np.array([False, True])).tolist() == [1, 1]


def test_columns_that_preferences_name():
    assert named_columns(["source:first(a|b)", "quality:desc", " source :asc"]) == ["quality", "source"]
