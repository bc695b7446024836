"""What a filter measured, as histograms: every statistic that a rule looks at, over it the documents that broke such a
rule, and where the thresholds are.

All values are in `_statistics/`, those that broke a rule in the ledger. Shares lie in 50 equal bins from 0 to 1, whole
numbers that stay small in a bin each, other numbers in two bins a doubling from 2^-10 up. Counts are kept on all three
scales, so one pass is enough and the memory is that of the bins: 2 KB a statistic. Heights are square roots, or the few
that were rejected would not be seen.

Cost: 60 ns a document and statistic; at most `MOST_FILES` files are read, evenly spaced ones where there are more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.rules import Rule
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.visible import one_line

SHARE_BINS = 50
LOWEST_POWER, HIGHEST_POWER, BINS_PER_DOUBLING = -10, 40, 2
LOG_BINS = (HIGHEST_POWER - LOWEST_POWER) * BINS_PER_DOUBLING + 1
WHOLE_BINS = 64
"""The first one holds 0, and what lies below 2^-10."""


@dataclass
class Binned:
    """Counts of values on all scales, until it is known which of them suits."""

    shares: np.ndarray = field(default_factory=lambda: np.zeros(SHARE_BINS, np.int64))
    logs: np.ndarray = field(default_factory=lambda: np.zeros(LOG_BINS, np.int64))
    wholes: np.ndarray = field(default_factory=lambda: np.zeros(WHOLE_BINS, np.int64))
    only_whole: bool = True
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, values: np.ndarray) -> None:
        """Adds float64 values; what is not finite is left out."""
        values = values[np.isfinite(values)]
        if not len(values):
            return
        self.lowest, self.highest = min(self.lowest, values.min()), max(self.highest, values.max())
        self.shares += np.bincount(share_bins(values), minlength=SHARE_BINS)
        self.logs += np.bincount(log_bins(values), minlength=LOG_BINS)
        self.wholes += np.bincount(np.clip(values, 0, WHOLE_BINS - 1).astype(np.int64), minlength=WHOLE_BINS)
        self.only_whole = self.only_whole and bool((values == np.floor(values)).all())

    @property
    def scale(self) -> str:
        """The one that suits: shares, wholes or logs."""
        if self.only_whole and self.lowest >= 0 and 1 < self.highest < WHOLE_BINS:
            return "wholes"
        return "shares" if self.lowest >= 0 and self.highest <= 1 else "logs"


def share_bins(values: np.ndarray) -> np.ndarray:
    """The bin of each value on the scale from 0 to 1, int64 [N]."""
    return np.clip(values * SHARE_BINS, 0, SHARE_BINS - 1).astype(np.int64)


def log_bins(values: np.ndarray) -> np.ndarray:
    """The bin of each value on the logarithmic scale, int64 [N]."""
    powers = np.log2(np.maximum(values, 2.0 ** (LOWEST_POWER - 1)))
    return np.clip((powers - LOWEST_POWER) * BINS_PER_DOUBLING + 1, 0, LOG_BINS - 1).astype(np.int64)


def statistic_histograms(stage: StageOutput, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """A histogram for each statistic that rules look at, those that most documents broke first."""
    by_statistic: dict[str, list[Rule]] = {}
    for rule in rules:
        if rule.statistic and not rule.expression:
            by_statistic.setdefault(rule.statistic, []).append(rule)
    everybody = _of_statistics(stage, list(by_statistic))
    broken = _of_ledger(stage, {rule.name: rule.statistic for rule in rules if rule.statistic})
    charts = [
        _chart(name, everybody[name], broken.get(name, Binned()), by_statistic[name])
        for name in everybody
        if everybody[name].shares.sum()
    ]
    return sorted(charts, key=lambda chart: (-chart["broke"], chart["statistic"]))


def _of_statistics(stage: StageOutput, names: Sequence[str]) -> dict[str, Binned]:
    binned: dict[str, Binned] = {}
    for path in stage.side_paths("statistics").values():
        here = _numeric_columns(path, names)
        for batch in read_batches(path, here):
            for name in here:
                binned.setdefault(name, Binned()).add(_numbers(batch.column(name)))
    return binned


def _numeric_columns(path: str, names: Sequence[str]) -> list[str]:
    with storage.open_input(path) as file:
        schema = pq.read_schema(file)
    types = {column.name: column.type for column in schema}
    return [
        name
        for name in names
        if name in types and (pa.types.is_integer(types[name]) or pa.types.is_floating(types[name]))
    ]


def _of_ledger(stage: StageOutput, statistic_of: Mapping[str, str]) -> dict[str, Binned]:
    """Values that broke a rule, by the statistic that it looks at."""
    binned: dict[str, Binned] = {}
    for path in stage.side_paths("ledger").values():
        for batch in read_batches(path, ["rule", "value"]):
            for rule in pc.unique(batch.column("rule")).to_pylist():
                if rule in statistic_of:
                    chosen = batch.filter(pc.equal(batch.column("rule"), rule))
                    binned.setdefault(statistic_of[rule], Binned()).add(_numbers(chosen.column("value")))
    return binned


def _numbers(column: pa.Array) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _chart(name: str, everybody: Binned, broken: Binned, rules: Sequence[Rule]) -> dict[str, Any]:
    scale = everybody.scale
    all_counts: np.ndarray = getattr(everybody, scale)
    some_counts: np.ndarray = getattr(broken, scale)
    limits = [limit for rule in rules for limit in (rule.minimum, rule.maximum) if limit is not None]
    first, end, places, labels = _span(scale, np.flatnonzero(all_counts + some_counts), limits)
    asked = [f"{rule.name.rpartition('/')[2]}: {asked_of(rule)}" for rule in rules]
    count, broke = int(all_counts.sum()), int(some_counts.sum())
    return {
        "statistic": one_line(name, 80),
        "rules": [one_line(line, 120) for line in asked],
        "broke": broke,
        "says": one_line(f"{name} of {count:,} documents; {broke:,} of them broke a rule", 160),
        "bins": end - first,
        "all": bar_path(_with_zero(all_counts, first, end), all_counts.max()),
        "some": bar_path(_with_zero(some_counts, first, end), all_counts.max()),
        "marks": [(place - first) / (end - first) for place in places if first <= place <= end],
        "labels": labels,
    }


def _span(scale: str, used: np.ndarray, limits: Sequence[float]) -> tuple[int, int, list[float], tuple[str, str, str]]:
    """(first bin, end, where thresholds are in bins, what stands below the left end, the middle and the right end)."""
    if scale == "shares":
        return 0, SHARE_BINS, [limit * SHARE_BINS for limit in limits], ("0", "0.5", "1")
    if scale == "wholes":
        end = int(used[-1]) + 1
        return 0, end, [limit + 0.5 for limit in limits], ("0", "", f"{end - 1}")
    first, end = int(used[0]), int(used[-1]) + 1
    if first == 0 and len(used) > 1 and used[1] > 1:  # nothing between 0 and the least number that is more
        first = int(used[1]) - 1
    return (
        first,
        end,
        [_log_place(limit) for limit in limits],
        (_edge(int(used[0])), _edge((first + end) // 2), _edge(end)),
    )


def asked_of(rule: Rule) -> str:
    """What a rule asks of its statistic: at least 50; at most 0.3; 50 to 100,000."""
    if rule.minimum is not None and rule.maximum is not None:
        return f"{rule.minimum:,.6g} to {rule.maximum:,.6g}"
    if rule.minimum is not None:
        return f"at least {rule.minimum:,.6g}"
    return f"at most {rule.maximum:,.6g}" if rule.maximum is not None else rule.expression


def bar_path(counts: np.ndarray, most: int) -> str:
    """Bars of a histogram as one SVG path: 10 wide, the highest 100 high, as square roots."""
    heights = 100 * np.sqrt(np.minimum(counts / max(most, 1), 1.0))
    bars = [(10 * place, max(height, 1.0)) for place, height in enumerate(heights) if height > 0]
    return "".join(f"M{left} 100v-{height:.1f}h9V100z" for left, height in bars)


def _with_zero(counts: np.ndarray, first: int, end: int) -> np.ndarray:
    """The bins that are shown; what is 0 stands in the first of them, however far it is from the next."""
    shown = counts[first:end].copy()
    shown[0] += counts[:first].sum()
    return shown


def _log_place(value: float) -> float:
    """Where a value stands among the bins of the logarithmic scale."""
    if value < 2.0**LOWEST_POWER:
        return 0.5
    return float((np.log2(value) - LOWEST_POWER) * BINS_PER_DOUBLING + 1)


def _edge(bin_number: int) -> str:
    """The lower end of a bin."""
    if bin_number == 0:
        return "0"
    value = 2.0 ** (LOWEST_POWER + (bin_number - 1) / BINS_PER_DOUBLING)
    return f"{value:,.0f}" if value >= 10 else f"{value:,.2g}"
