"""Histograms for pages: of a statistic with the thresholds that rules set for it, and of how full sequences are.

Both are of a sample: a few row groups or record batches at even distances through all files, as `contents` takes them,
and exact where that is all there is. So the cost is the same for any number of rows: at most `contents.GROUPS` groups
of one column. Memory: one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.dataproc.sequences.shard_folder import is_held_back
from corpusmill.dataproc.sequences.shards import open_reader
from corpusmill.dataproc.side_tables import side_files
from corpusmill.pipelines.inspect.contents import GROUPS, sampled_groups
from corpusmill.pipelines.inspect.places import Place

if TYPE_CHECKING:
    from corpusmill.dataproc.rules.rule import Rule

BINS = 60
SHARES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Threshold:
    """A limit that a rule sets: "at least" or "at most" a number."""

    rule: str
    relation: str
    limit: float


@dataclass(frozen=True)
class Histogram:
    """Values of a sample.

    Attributes:
        sampled, rows: how many were looked at, and of how many.
        edges: BINS + 1 of equal width; what lies beyond them counts in the outermost bins.
        quantiles: (share, value).
        thresholds: that lie among the edges or not.
    """

    name: str
    sampled: int
    rows: int
    edges: list[float]
    counts: list[int]
    quantiles: list[tuple[float, float]] = field(default_factory=list)
    thresholds: Sequence[Threshold] = ()


def statistic_names(place: Place) -> list[str]:
    """The numbers that a stage measured of each document, those that its rules look at first; none without any."""
    paths = list(side_files(place.manifest, "statistics").values())
    if not paths:
        return []
    with open_part(storage.join(place.path, paths[0])) as file:
        names = [entry.name for entry in file.schema_arrow if _is_number(entry.type)]
    asked = [rule.statistic for rule in _rules(place) if rule.statistic in names]
    return list(dict.fromkeys([*asked, *names]))


def statistic_histogram(place: Place, name: str) -> Histogram:
    """The histogram of one statistic. Raises UserError for one that was not measured."""
    names = statistic_names(place)
    if name not in names:
        raise UserError("no such statistic was measured here", where=name[:200], hint=suggest(name, names))
    entries = {entry["path"]: entry for entry in place.manifest["files"]}
    paths = list(side_files(place.manifest, "statistics").values())
    files = [(storage.join(place.path, path), entries[path].get("rows", 0)) for path in paths]
    columns = [pc.drop_null(batch.column(0).cast(pa.float64())) for batch in sampled_groups(files, [name])]
    values = np.concatenate([np.from_dlpack(column) for column in columns]) if columns else np.zeros(0)
    limits = [
        Threshold(rule.name, relation, float(limit))
        for rule in _rules(place)
        if rule.statistic == name
        for relation, limit in (("at least", rule.minimum), ("at most", rule.maximum))
        if limit is not None
    ]
    return _histogram(name, values[np.isfinite(values)], sum(rows for _, rows in files), limits)


def fill_histogram(place: Place) -> Histogram:
    """The share of each sequence that documents fill, of a sample of record batches."""
    parts = [part for part in place.manifest["parts"] if part["rows"] and not is_held_back(part["path"])]
    shares = []
    for number in range(min(GROUPS, len(parts))):
        part = parts[(2 * number + 1) * len(parts) // (2 * min(GROUPS, len(parts)))]
        header, reader = open_reader(storage.join(place.path, part["path"]))
        segments = reader.get_batch(reader.num_record_batches // 2).column("segments")
        ends = np.concatenate([[0], np.cumsum(np.from_dlpack(segments.flatten().field("length").cast(pa.int64())))])
        offsets = np.from_dlpack(segments.offsets).astype(np.int64)
        offsets -= offsets[0]
        shares.append(np.diff(ends[offsets]) / header.sequence_length)
    values = np.concatenate(shares) if shares else np.zeros(0)
    return _histogram("fill", values, sum(part["rows"] for part in parts), (), edges=(0.0, 1.0))


def _histogram(
    name: str,
    values: np.ndarray,
    rows: int,
    thresholds: Sequence[Threshold],
    edges: tuple[float, float] | None = None,
) -> Histogram:
    if not len(values):
        return Histogram(name, 0, rows, [], [], [], thresholds)
    quantiles = np.quantile(values, SHARES, method="lower").tolist()
    low, high = edges or _span(values, quantiles, thresholds)
    counts, bins = np.histogram(np.clip(values, low, high), BINS, (low, high))
    pairs = list(zip(SHARES, quantiles, strict=True))
    return Histogram(name, len(values), rows, bins.tolist(), counts.tolist(), pairs, thresholds)


def _span(values: np.ndarray, quantiles: Sequence[float], thresholds: Sequence[Threshold]) -> tuple[float, float]:
    """From a thousandth to all but a thousandth of the values, and as far as thresholds that lie among values."""
    low, high = quantiles[0], quantiles[-1]
    within = [one.limit for one in thresholds if values.min() <= one.limit <= values.max()]
    low, high = min([low, *within]), max([high, *within])
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _rules(place: Place) -> "Sequence[Rule]":
    from corpusmill.pipelines.stages.filter.rules_in_force import rules_in_force

    try:
        return [rule for rule in rules_in_force(place.manifest) if not rule.expression]
    except UserError:
        return []


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))
