"""Which rows of a shard set belong to which group, without opening a shard.

A set lists its shards, each of one group; groups may follow each other, or come in turn, as when many tasks packed all
of them. So the rows of a set are stretches of one group each, and a place among the rows of a group leads to a row of
the set by a binary search. Everything is arrays: 110,000 shards are laid out in 30 ms.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusmill.dataproc.sequences.shards import ShardEntry
from corpusmill.training.lazy import lazy

EVERYTHING = ""
"""The group of all sequences: what an ungrouped set has."""


@dataclass(frozen=True)
class Layout:
    """The stretches of a set, in the order of its rows; neighbours are of different groups, and none is empty."""

    names: tuple[str, ...]
    """Groups, in the order of their first rows."""
    group: np.ndarray
    """[R] int64: whose stretch it is, as a place in `names`."""
    rows: np.ndarray
    """[R] int64: how many rows it has."""

    @classmethod
    def of(cls, shards: Iterable[tuple[str, int]]) -> "Layout":
        """From (group, rows) of each shard, in order; empty shards leave nothing."""
        filled = [(group, rows) for group, rows in shards if rows]
        numbers: dict[str, int] = {}
        group = np.array([numbers.setdefault(name, len(numbers)) for name, _ in filled], np.int64)
        rows = np.array([rows for _, rows in filled], np.int64)
        first = np.flatnonzero(np.append(True, group[1:] != group[:-1])) if filled else np.empty(0, np.int64)
        return cls(tuple(numbers), group[first], np.add.reduceat(rows, first) if filled else rows)

    @classmethod
    def of_entries(cls, entries: Iterable[ShardEntry]) -> "Layout":
        """Of the shards that `dataproc.sequences.shards.shard_entries` lists."""
        return cls.of((entry.group, entry.rows) for entry in entries)

    def joined(self) -> "Layout":
        """The same rows as one group."""
        return Layout.of([(EVERYTHING, int(self.rows.sum()))])

    @lazy
    def sizes(self) -> dict[str, int]:
        """Rows of each group."""
        counts = np.zeros(len(self.names), np.int64)
        np.add.at(counts, self.group, self.rows)
        return dict(zip(self.names, counts.tolist(), strict=True))

    @lazy
    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(first place of each group, first place of each stretch, what leads from a place to its row), where places
        count through the rows of one group after the other."""
        by_group = np.argsort(self.group, kind="stable")
        rows = self.rows[by_group]
        places = np.cumsum(rows) - rows
        firsts = (np.cumsum(self.rows) - self.rows)[by_group]
        groups = np.searchsorted(self.group[by_group], np.arange(len(self.names)))
        return places[groups], places, firsts - places

    def at(self, groups: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Row numbers, int64 [N], of places among the rows of the groups with these numbers."""
        group_places, stretch_places, shifts = self._tables
        grouped_places = group_places[groups] + places
        if len(stretch_places) == 1:
            return grouped_places
        return grouped_places + shifts[np.searchsorted(stretch_places, grouped_places, side="right") - 1]

    def to_values(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"names": list(self.names), "group": self.group.tolist(), "rows": self.rows.tolist()}

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "Layout":
        """The layout that gave these values. Raises ValueError, KeyError or TypeError for others."""
        group, rows = np.array(values["group"], np.int64), np.array(values["rows"], np.int64)
        names = tuple(values["names"])
        if len(group) != len(rows) or not len(rows) or rows.min() < 1 or group.min() < 0 or group.max() >= len(names):
            raise ValueError("its groups do not fit its rows")
        return cls(names, group, rows)
