"""Which rejected documents would come back at another threshold of a rule, from the ledger and beside it alone.

A document comes back when the rule is the only one that it broke, and its value keeps to the new threshold. A ledger
has a row for each broken rule and rejected document, in the documents' order, so the rows of a rule belong, one by one,
to the rejected documents that name it in `broken_rules`: no ids are compared, and three short columns are read. Where a
part has more rows of a rule than documents that name it (a stage that cut some and rejected others), ids decide.

Cost: 5 ms for a part of 42,000 rejected documents on one core, the first time; values stay in memory as `Values` up to
`KEPT_BYTES`, so that a slider asks again in 0.1 ms a part. Memory: a part's three columns for each of four threads,
`KEPT_BYTES`, and the documents that are shown.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.side_tables import side_files
from corpusmill.pipelines.inspect.documents import Rows
from corpusmill.pipelines.inspect.places import Place

THREADS = 4
KEPT_BYTES = 64 << 20
BINS = 60


@dataclass(frozen=True)
class RuleCount:
    """A rule and its rows in a ledger: how many documents broke it, and how many no other; the range of values (None
    where none was measured), and of thresholds."""

    rule: str
    broke: int
    alone: int
    lowest: float | None
    highest: float | None
    threshold: float | None
    highest_threshold: float | None


@dataclass(frozen=True)
class Values:
    """Of one part and rule: the values of all documents that broke it, and of those that broke no other with their rows
    in the table of rejected documents."""

    all: np.ndarray
    alone: np.ndarray
    rows: np.ndarray

    @property
    def bytes(self) -> int:
        return int(self.all.nbytes + self.alone.nbytes + self.rows.nbytes)


@dataclass(frozen=True)
class ComingBack:
    """What another threshold does.

    Attributes:
        count: documents that would come back.
        first: (value, row with id, source, language and text) of some of them, those nearest to that threshold first.
        bins: documents that broke the rule, by value, `BINS` of equal width from the first edge to the second.
    """

    count: int
    first: list[tuple[float, Mapping[str, Any]]]
    bins: np.ndarray


def rule_counts(place: Place) -> list[RuleCount]:
    """All rules in a stage's ledger, the one that most documents broke first."""
    parts = list(_parts(place))
    with ThreadPoolExecutor(THREADS) as pool:
        tallies = list(pool.map(_tally, parts))
    rules = dict.fromkeys(rule for broke, _ in tallies for rule in broke)
    counts = []
    for rule in rules:
        rows = [broke[rule] for broke, _ in tallies if rule in broke]
        numbers = [_extreme([row[place] for row in rows], largest) for place, largest in _RANGES]
        alone = sum(names.get(rule, 0) for _, names in tallies)
        counts.append(RuleCount(rule, sum(int(row[0]) for row in rows), alone, *numbers))
    return sorted(counts, key=lambda one: (-one.broke, one.rule))


class Thresholds:
    """Answers questions about thresholds; keeps the values of parts that it has read."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._most = kept_bytes
        self._kept: OrderedDict[tuple[Any, ...], Values] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def coming_back(
        self,
        place: Place,
        rule: str,
        threshold: float,
        *,
        below: bool,
        edges: tuple[float, float],
        start: int,
        most: int,
    ) -> ComingBack:
        """What a threshold does.

        Args:
            below: whether values have to be at least the threshold, and not at most.
            edges: of the histogram.
            start, most: which of the documents to read.
        """
        parts = list(_parts(place))
        with ThreadPoolExecutor(THREADS) as pool:
            values = list(pool.map(lambda part: self._values(part, rule), parts))
        bins = np.zeros(BINS, np.int64)
        best = np.zeros((3, 0))
        count = 0
        for number, one in enumerate(values):
            bins += np.histogram(np.clip(one.all, *edges), BINS, edges)[0]
            back = np.flatnonzero(one.alone >= threshold if below else one.alone <= threshold)
            count += len(back)
            near = np.stack(
                [one.alone[back], np.full(len(back), number, np.float64), one.rows[back].astype(np.float64)]
            )
            best = _nearest(np.concatenate([best, near], axis=1), start + most, below=below)
        first = [
            (float(value), _rejected_row(parts[int(part)], int(row))) for value, part, row in best[:, start:].T.tolist()
        ]
        return ComingBack(count, first, bins)

    def _values(self, part: "_Part", rule: str) -> Values:
        key = (part.rejected, part.digest, rule)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        values = _read_values(part, rule)
        with self._lock:
            if key not in self._kept and values.bytes <= self._most:
                self._kept[key] = values
                self._bytes += values.bytes
                while self._bytes > self._most:
                    self._bytes -= self._kept.popitem(last=False)[1].bytes
        return values


@dataclass(frozen=True)
class _Part:
    """The two files of a part, the digest of the ledger, and how many documents were rejected."""

    ledger: str
    rejected: str
    digest: str
    rows: int


def _parts(place: Place) -> Iterator[_Part]:
    entries = {entry["path"]: entry for entry in place.manifest["files"]}
    rejected = side_files(place.manifest, "rejected")
    for stem, path in side_files(place.manifest, "ledger").items():
        if stem in rejected:
            beside = rejected[stem]
            paths = (storage.join(place.path, path), storage.join(place.path, beside))
            yield _Part(*paths, entries[path]["digest"], entries[beside]["rows"])


_RANGES = ((1, False), (2, True), (3, False), (4, True))
"""Places in a tally's row of values and thresholds, and whether the largest counts."""


def _extreme(numbers: list[float], largest: bool) -> float | None:
    known = [number for number in numbers if not np.isnan(number)]
    return (max if largest else min)(known) if known else None


def _tally(part: _Part) -> tuple[dict[str, tuple[float, ...]], dict[str, int]]:
    """({rule: (rows, lowest and highest value, lowest and highest threshold)}, {`broken_rules`: documents})."""
    table = _read(part.ledger, ["rule", "value", "threshold"], ["rule"])
    rules = table["rule"].combine_chunks()
    names, codes = rules.dictionary.to_pylist(), _numbers(rules.indices)
    value, threshold = (_numbers(table[name]) for name in ("value", "threshold"))
    tallies = {}
    for code, name in enumerate(names):
        here = codes == code
        ranges = [
            extremes
            for column in (value[here], threshold[here])
            for extremes in ((np.nan, np.nan) if np.isnan(column).all() else (np.nanmin(column), np.nanmax(column)))
        ]
        tallies[name] = (float(here.sum()), *map(float, ranges))
    broken = _read(part.rejected, ["broken_rules"], ["broken_rules"])["broken_rules"].combine_chunks()
    documents = np.bincount(_numbers(broken.indices), minlength=len(broken.dictionary)).tolist()
    return tallies, dict(zip(broken.dictionary.to_pylist(), documents, strict=True))


def _read_values(part: _Part, rule: str) -> Values:
    table = _read(part.ledger, ["rule", "value"], ["rule"])
    mine = np.flatnonzero(_numbers(pc.equal(table["rule"], rule).cast(pa.uint8())))
    values = _numbers(table["value"])[mine]
    broken = _read(part.rejected, ["broken_rules"], ["broken_rules"])["broken_rules"].combine_chunks()
    names = broken.dictionary.to_pylist()
    codes = _numbers(broken.indices)
    naming = np.array([rule in name.split(",") for name in names], bool)
    rows = np.flatnonzero(naming[codes]) if len(names) else np.zeros(0, np.int64)
    if len(rows) != len(values):
        rows, mine = _by_ids(part, mine, rows)
        values = _numbers(table["value"])[mine]
    alone = np.array([name == rule for name in names], bool)[codes[rows]] if len(names) else np.zeros(0, bool)
    alone &= np.isfinite(values)
    return Values(values[np.isfinite(values)], values[alone], rows[alone].astype(np.int32))


def _by_ids(part: _Part, mine: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows of rejected documents, rows of the ledger) that have the same ids."""
    ledger = _read(part.ledger, ["id"])["id"].combine_chunks().take(pa.array(mine))
    rejected = _read(part.rejected, ["id"])["id"].combine_chunks().take(pa.array(rows))
    at = pc.index_in(ledger, value_set=rejected)
    known = np.flatnonzero(_numbers(at.is_valid().cast(pa.uint8())))
    return rows[_numbers(at.take(pa.array(known)))], mine[known]


def _nearest(table: np.ndarray, most: int, *, below: bool) -> np.ndarray:
    """The columns (value, part, row) nearest to a threshold, these first."""
    if table.shape[1] > 4 * most:  # all that are as near as the last one, so that equals are kept in their order
        edge = np.partition(table[0] if below else -table[0], most - 1)[most - 1]
        table = table[:, (table[0] <= edge) if below else (table[0] >= -edge)]
    order = np.lexsort((table[2], table[1], table[0] if below else -table[0]))[:most]
    return table[:, order]


def _rejected_row(part: _Part, row: int) -> Mapping[str, Any]:
    return Rows(part.rejected, [(part.rejected, part.rows)]).row(row).values


def _read(path: str, columns: list[str], dictionaries: list[str] | None = None) -> pa.Table:
    try:
        with storage.open_input(path) as file:
            return (
                pq.ParquetFile(file, read_dictionary=dictionaries).read(columns, use_threads=False).unify_dictionaries()
            )
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"this table cannot be read ({error})", where=path, hint="verify the folder") from error


def _numbers(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """As NumPy has them; null is NaN."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if array.null_count:
        array = pc.fill_null(array.cast(pa.float64()), float("nan"))
    return np.from_dlpack(array)
