"""The order in which documents that are alike are considered: who comes first stays (`dataproc.dedup.absorbing`).

A preference is `column:asc`, `column:desc` or `column:first(a|b|c)`, which puts the listed values first, in that order,
and all others after them; for instance

    ["source:first(book|web)", "statistics.stop_word_share:desc", "length:desc", "date:asc"]

`source=book|web`, `date asc` and `longest` say the same in other words. `statistics.NAME` is a column of the side table
that a filter leaves beside its documents. Later preferences break the ties of earlier ones, missing values and NaN come
last in either direction, and the unique `id` ends every list. So the survivor is a function of the documents alone: row
order, file order, hash order and worker count have no influence.

Cost: one sort of the clustered documents (a small part of a corpus), about 1 us a row and preference. Memory: the
table's columns named here and 40 bytes a row.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError

DEFAULT_PREFERENCES = ("length:desc",)

STATISTICS = "statistics."
"""What the name of a column of the side table `_statistics/` begins with."""

_PREFERENCE = re.compile(r"([^:=]+?)(?:(?:\s*:|\s)\s*(asc|desc)|\s*:first\(([^()]*)\)|\s*=\s*([^=]+))")
_WORDS = {"longest": "length:desc", "shortest": "length:asc"}


class Preference(NamedTuple):
    """One criterion: a column, its direction, and for `first(…)` the values that come first (then `asc` by rank)."""

    column: str
    descending: bool
    first: tuple[str, ...] | None = None


def parse_preference(text: str) -> Preference:
    """Reads one preference. Raises UserError for an unreadable one."""
    match = _PREFERENCE.fullmatch(_WORDS.get(text.strip(), text.strip()))
    if match is None:
        hint = "write column:asc, column:desc, column=a|b|c, longest or shortest"
        raise UserError(f"'{text}' is not a valid preference", "survivors", hint)
    column, direction, listed, equal = match.groups()
    values = listed if listed is not None else equal
    first = tuple(value.strip() for value in values.split("|")) if values is not None else None
    return Preference(column, direction == "desc", first)


def parse_preferences(preferences: Sequence[str], columns: Sequence[str]) -> list[Preference]:
    """Reads and checks a list of preferences, and ends it with `id:asc` unless it names the id itself.

    Raises UserError for an unreadable preference and for a column that is not among `columns`.
    """
    parsed = [parse_preference(text) for text in preferences]
    for preference in parsed:
        if preference.column not in columns:
            what = f"there is no column '{preference.column}' to prefer documents by"
            raise UserError(what, "survivors", f"use one of {', '.join(columns)}")
    if all(preference.column != "id" or preference.first is not None for preference in parsed):
        parsed.append(Preference("id", False))
    return parsed


def named_columns(preferences: Sequence[str]) -> list[str]:
    """The columns that preferences name. Raises UserError for an unreadable one."""
    return sorted({parse_preference(text).column for text in preferences})


def preference_order(
    documents: pa.Table, preferences: Sequence[str] = DEFAULT_PREFERENCES, protected: np.ndarray | None = None
) -> np.ndarray:
    """The rows by preference, those that are preferred first: int64 of shape (N,).

    Args:
        documents: one row a document with the columns `id` (string, unique among those that are not protected) and
            those that the preferences name.
        preferences: see the module; raises UserError for one that cannot be used.
        protected: bool of shape (N,), documents that go before all others, whatever the preferences.
    """
    order_of_preference = parse_preferences(preferences, documents.column_names)
    protected = np.zeros(len(documents), bool) if protected is None else protected
    own = documents["id"].filter(pa.array(~protected))
    if pc.count_distinct(own).as_py() != len(own):
        raise UserError(
            "two clustered documents have the same id",
            "survivors",
            "ingest again with a unique --id-field, or without one, so that records are numbered",
        )
    keys = {"protected": pa.array(protected)}
    directions = [("protected", "descending")]
    for number, preference in enumerate(order_of_preference):
        name = f"preference {number}"
        keys[name] = _sortable(documents[preference.column], preference)
        directions.append((name, "descending" if preference.descending else "ascending"))
    return pc.sort_indices(pa.table(keys), sort_keys=directions).to_numpy().astype(np.int64)


def _sortable(column: pa.ChunkedArray, preference: Preference) -> pa.ChunkedArray:
    """The column to sort by: ranks for `first(…)`, and NaN as missing, so that it comes last in either direction."""
    if preference.first is not None:
        return pc.index_in(pc.cast(column, pa.string()), value_set=pa.array(preference.first, pa.string()))
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column
