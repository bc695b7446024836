"""What other thresholds would keep, from the statistics of a filter alone: exact counts for every threshold of a range.

Text is never read. For each swept rule a document has a level: how many of the thresholds it keeps to, from the mildest
on. Levels are counted in a histogram with one axis a swept rule, once for all documents and once for those that keep to
every other rule; sums over its upper ends then are the counts at every threshold, or pair of thresholds. So the cost
does not grow with the number of thresholds, and a document is looked at once.

Counts are of documents and of their UTF-8 bytes (`byte_count`), all in whole numbers.

Cost: the columns needed of `_statistics/`, and one decision (`dataproc.rules.decision`). Memory: one batch, and 32
bytes for each cell of the grid and group.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.rules.decision import UNSPACED_COLUMN, applies_to, decide, limits_of, values_of
from corpusmill.dataproc.rules.resolve import columns_of_rule
from corpusmill.dataproc.rules.rule import SIDES, Rule, Side, with_threshold

DEFAULT_STEPS = 9
MOST_CELLS = 10_000
MOST_NUMBERS = 1 << 22
"""Cells times groups: 128 MiB of counts."""

BYTES_COLUMN, KIND_COLUMN = "byte_count", "kind"


@dataclass(frozen=True)
class Swept:
    """A rule, and the thresholds to try on one of its sides, ascending."""

    rule: Rule
    side: Side
    thresholds: tuple[float, ...]


@dataclass
class Counts:
    """Counts of one group of documents, arrays of int64 with one axis a swept rule, one place a threshold.

    Attributes:
        documents, bytes: all of the group.
        alone: (documents, bytes) that keep to the swept rules.
        together: those of them that keep to all other rules in force, too.
    """

    documents: int
    bytes: int
    alone: tuple[np.ndarray, np.ndarray]
    together: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SweepResult:
    """`total` counts; `groups`: for each breakdown asked for, {values of its columns: counts}, largest first."""

    swept: tuple[Swept, ...]
    total: Counts
    groups: dict[tuple[str, ...], dict[tuple[str | None, ...], Counts]] = field(default_factory=dict)


def columns_needed(swept: Sequence[Swept], others: Sequence[Rule], by: Sequence[tuple[str, ...]] = ()) -> list[str]:
    """The columns of `_statistics/` that a sweep looks at."""
    needed = dict.fromkeys([BYTES_COLUMN, KIND_COLUMN])
    for rule in (*(sweep.rule for sweep in swept), *others):
        needed |= dict.fromkeys(columns_of_rule(rule))
        if rule.spaced is not None:
            needed[UNSPACED_COLUMN] = None
        if rule.only_if:
            needed[rule.only_if] = None
        if rule.languages or rule.not_languages:
            needed["language"] = None
    return list(needed | dict.fromkeys(column for columns in by for column in columns))


def sweep(
    batches: Iterable[pa.RecordBatch],
    swept: Sequence[Swept],
    others: Sequence[Rule] = (),
    by: Sequence[tuple[str, ...]] = (),
) -> SweepResult:
    """Counts what each threshold, or each tuple of thresholds, keeps.

    Args:
        batches: statistics, with the columns of `columns_needed`.
        swept: rules to sweep; those of the grid's axes.
        others: all other rules in force. A rule that is swept must not be among them.
        by: breakdowns, each by one column of strings or by several together.

    Raises:
        UserError: a grid or breakdown that is too large, or a column that is missing.
    """
    swept = _without_swept_sides(swept)
    shape = tuple(len(axis.thresholds) + 1 for axis in swept)
    if np.prod(shape) > MOST_CELLS:
        raise UserError(f"{np.prod(shape):,} combinations of thresholds are too many", hint="use fewer steps")
    tallies = {columns: _Tally(columns, shape) for columns in ((), *by)}
    for batch in batches:
        if not batch.num_rows:
            continue
        kinds = batch.column(KIND_COLUMN)
        level = np.ravel_multi_index([_levels(axis, batch, kinds) for axis in swept], shape)
        kept = decide(batch, kinds, others).kept
        sizes = batch.column(BYTES_COLUMN).to_numpy(zero_copy_only=False).astype(np.int64)
        for tally in tallies.values():
            tally.add(batch, level, kept, sizes)
    groups = {columns: tally.counts(swept) for columns, tally in tallies.items()}
    empty = _counts(np.zeros((4, *shape), np.int64), swept)
    return SweepResult(tuple(swept), groups.pop(()).get((), empty), groups)


def _without_swept_sides(swept: Sequence[Swept]) -> list[Swept]:
    """The rules without the thresholds that another axis of the same rule sweeps."""
    sides = {(sweep.rule.name, sweep.side) for sweep in swept}
    freed = []
    for sweep in swept:
        (other,) = (side for side in SIDES if side != sweep.side)
        rule = with_threshold(sweep.rule, other, None) if (sweep.rule.name, other) in sides else sweep.rule
        freed.append(replace(sweep, rule=rule))
    return freed


def _levels(swept: Swept, statistics: pa.RecordBatch, kinds: pa.Array) -> np.ndarray:
    """How many of the thresholds, the mildest first, each document keeps to: int64 of shape (N,)."""
    values, thresholds = values_of(swept.rule, statistics), np.array(swept.thresholds)
    minimum, maximum = limits_of(swept.rule)
    if swept.side == "minimum":
        levels, otherwise = np.searchsorted(thresholds, values, "right"), values <= maximum
    else:
        levels, otherwise = len(thresholds) - np.searchsorted(thresholds, values, "left"), values >= minimum
    levels = np.where(otherwise & ~np.isnan(values), levels, 0)
    return np.where(applies_to(swept.rule, statistics, kinds), levels, len(thresholds)).astype(np.int64)


class _Tally:
    """Histograms of levels by group: (documents, bytes, documents kept by others, bytes of these)."""

    def __init__(self, columns: tuple[str, ...], shape: tuple[int, ...]) -> None:
        self._columns, self._shape = columns, shape
        self._groups: dict[tuple[str | None, ...], np.ndarray] = {}

    def add(self, batch: pa.RecordBatch, level: np.ndarray, kept: np.ndarray, sizes: np.ndarray) -> None:
        keys, group = _grouped(batch, self._columns)
        cells = int(np.prod(self._shape))
        if (len(self._groups) + len(keys)) * cells > MOST_NUMBERS:
            raise UserError(
                f"too many different values of {', '.join(self._columns)}", "--by", "omit it, or use fewer steps"
            )
        place, every = group * cells + level, np.ones(len(level), bool)
        histograms = np.stack(
            [
                _histogram(place[mask], weights[mask], len(keys) * cells)
                for mask in (every, kept)
                for weights in (every, sizes)
            ]
        ).reshape(4, len(keys), *self._shape)
        for number, key in enumerate(keys):
            self._groups[key] = self._groups.get(key, 0) + histograms[:, number]

    def counts(self, swept: Sequence[Swept]) -> dict[tuple[str | None, ...], Counts]:
        counted = {key: _counts(histogram, swept) for key, histogram in self._groups.items()}
        return dict(sorted(counted.items(), key=lambda entry: (-entry[1].documents, tuple(map(str, entry[0])))))


def _histogram(places: np.ndarray, weights: np.ndarray, length: int) -> np.ndarray:
    """Sums of weights by place; in float64, which holds whole numbers up to 9 PB of text exactly."""
    return np.rint(np.bincount(places, weights, length)).astype(np.int64)


def _grouped(batch: pa.RecordBatch, columns: tuple[str, ...]) -> tuple[list[tuple[str | None, ...]], np.ndarray]:
    """(distinct tuples of labels, each row's number among them)."""
    if not columns:
        return [()], np.zeros(batch.num_rows, np.int64)
    codes, values = np.zeros(batch.num_rows, np.int64), []
    for name in columns:
        encoded = pc.dictionary_encode(batch.column(name).cast(pa.string()), null_encoding="encode")
        values.append(encoded.dictionary.to_pylist())
        codes = codes * len(values[-1]) + encoded.indices.to_numpy(zero_copy_only=False)
    distinct, group = np.unique(codes, return_inverse=True)
    places = np.unravel_index(distinct, [len(value) for value in values])
    keys = [
        tuple(value[place[row]] for value, place in zip(values, places, strict=True)) for row in range(len(distinct))
    ]
    return keys, group


def _counts(histogram: np.ndarray, swept: Sequence[Swept]) -> Counts:
    """Counts at each threshold from a histogram of levels of shape (4, thresholds + 1, ...)."""
    kept = histogram
    for axis, sweep in enumerate(swept, 1):
        kept = np.flip(np.cumsum(np.flip(kept, axis), axis), axis)  # how many have this level at least
        kept = np.take(kept, range(1, kept.shape[axis]), axis)
        if sweep.side == "maximum":  # the mildest maximum is the last threshold
            kept = np.flip(kept, axis)
    documents, sizes = (int(number.sum()) for number in histogram[:2])
    return Counts(documents, sizes, (kept[0], kept[1]), (kept[2], kept[3]))


def thresholds_of(text: str, whole: bool = False) -> tuple[float, ...]:
    """Thresholds, ascending, from "0.1..0.5" (9 of them), "0.1..0.5:5" or "0.1,0.2,0.5".

    Args:
        whole: whether the statistic is a whole number; thresholds of a range are rounded then.

    Raises:
        UserError: this is no range.
    """
    spread, _, steps = text.partition(":")
    low, dots, high = spread.partition("..")
    try:
        if not dots:
            thresholds = [float(part) for part in text.split(",")]
        else:
            count = int(steps) if steps else DEFAULT_STEPS
            if not 2 <= count <= MOST_CELLS:
                raise ValueError(f"{count} steps")
            ends = float(low), float(high)
            if not np.isfinite(ends).all():
                raise ValueError("not finite")
            thresholds = [float(f"{value:.12g}") for value in np.linspace(*ends, count)]
            thresholds = [float(round(value)) for value in thresholds] if whole else thresholds
        if not all(np.isfinite(thresholds)):
            raise ValueError("not finite")
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"'{text}' is not a range of thresholds", hint="write 0.1..0.5, 0.1..0.5:5 or 0.1,0.2,0.5"
        ) from error
    return tuple(sorted(set(thresholds)))
