"""The curves of a training run, from `metrics.jsonl` and `timing.jsonl`; long runs are averaged to as many points as a
chart can show.

The files are read a line at a time, after their lines were counted, so memory does not grow with the run: it is that of
a thousand points, whose widest parts are a number for each router and six for each layer in FP8. Cost: 70 microseconds
a step with V3's 59 routers, so a quarter of a minute for as many steps as V3 took.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine import state

METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
SPIKES = "spikes.jsonl"
MOST_POINTS = 1000
MOST_SPIKES = 200
COLUMNS = (
    "step",
    "loss",
    "mtp_loss",
    "learning_rate",
    "batch_sequences",
    "expert_max_violation",
    "validation_loss",
    "average_validation_loss",
    "gradient_norm",
)
TIMES = ("step", "seconds", "tokens_per_second", "mfu", "memory_bytes")
_NUMBERS = tuple(dict.fromkeys(COLUMNS + TIMES))
_SOURCES = ("validation_by_source", "average_validation_by_source")
FP8_KINDS = ("inputs", "weights", "gradients")
FP8_ENDS = ("saturated", "flushed")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Curves:
    """What a run wrote down, with `steps_per_point` steps in a point; NaN where they have no value."""

    columns: dict[str, np.ndarray]
    """Of metrics.jsonl, float64 of shape (points,) by name."""
    times: dict[str, np.ndarray]
    """The same of timing.jsonl; empty columns where there is none."""
    validation: dict[str, tuple[np.ndarray, np.ndarray]]
    """(steps, values) of measurements on held-back text: losses as "validation_loss" and "average_validation_loss"."""
    by_source: dict[str, tuple[np.ndarray, np.ndarray]]
    """(steps, bits per byte) by source of the held-back documents."""
    average_by_source: dict[str, tuple[np.ndarray, np.ndarray]]
    """The same of the moving average of the weights."""
    violations: np.ndarray
    """Highest load over the mean load, less 1: float64 (points, routers); no columns where none was written."""
    loads: tuple[int, np.ndarray] | None
    """The last step of which it was written, and each expert's share of its router's choices, float64 (routers,
    experts)."""
    steps_per_point: int
    fp8: dict[str, tuple[np.ndarray, np.ndarray]]
    """Of a run in FP8 by layer: the steps where it was counted, int64 [N], and the shares of values that were saturated
    and flushed, float64 [N, kinds, ends] in the order of `FP8_KINDS` and `FP8_ENDS`."""


def read_curves(folder: str) -> Curves | None:
    """The curves of a run; None where no step was written."""
    path = storage.join(folder, METRICS)
    width = _width(path)
    loads: tuple[int, np.ndarray] | None = None
    points: list[_Point] = []
    for lines in _batches(path, width):
        points.append(_Point())
        for line in lines:
            points[-1].add(line)
            if line.get("expert_loads"):
                loads = int(line["step"]), np.array(line["expert_loads"], np.float64)
    if not points:
        return None
    measured = {name: _measured(points, name) for name in ("validation_loss", "average_validation_loss")}
    routers = max(len(point.violations) for point in points)
    empty = np.full(routers, np.nan)
    return Curves(
        {name: _column(points, name) for name in COLUMNS},
        _times(storage.join(storage.join(folder, state.STATE), TIMING)),
        {name: curve for name, curve in measured.items() if len(curve[0])},
        _sources(points, "validation_by_source"),
        _sources(points, "average_validation_by_source"),
        np.array([point.mean_violations() if len(point.violations) else empty for point in points]),
        loads,
        width,
        _fp8(points),
    )


def read_spikes(folder: str) -> tuple[list[dict[str, Any]], int]:
    """The first spikes of a run, at most `MOST_SPIKES`, and how many there were."""
    count = 0
    kept: list[dict[str, Any]] = []
    for line in _lines(storage.join(folder, SPIKES)):
        count += 1
        if len(kept) < MOST_SPIKES:
            kept.append({name: line.get(name) for name in ("step", "loss", "why", "done")})
    return kept, count


class _Point:
    """Sums over the steps of a point. A step's number counts for each of its values, so that a measurement which only
    some steps have stands where it was made."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}
        self.violations = np.zeros(0)
        self.routed = 0
        self.fp8: dict[str, np.ndarray] = {}
        self.fp8_steps: list[int] = []

    def add(self, line: Mapping[str, Any]) -> None:
        for name in _NUMBERS:
            self._add(name, line["step"], line.get(name))
        for name in _SOURCES:
            for source, value in line.get(name, {}).items():
                self._add(f"{name}/{source}", line["step"], value)
        if line.get("expert_violations"):
            violations = np.array(line["expert_violations"], np.float64)
            self.violations = violations if not self.routed else self.violations + violations
            self.routed += 1
        if line.get("fp8"):
            self._add_fp8(int(line["step"]), line["fp8"])

    def _add_fp8(self, step: int, layers: Mapping[str, Mapping[str, Any]]) -> None:
        """Sums of shares by layer; a kind that was not counted is NaN."""
        self.fp8_steps.append(step)
        for layer, kinds in layers.items():
            shares = np.array([kinds.get(kind, (np.nan, np.nan)) for kind in FP8_KINDS], np.float64)
            self.fp8[layer] = self.fp8.get(layer, 0.0) + shares

    def _add(self, name: str, step: int, value: float | None) -> None:
        if value is None or isnan(value):
            return
        sums = self.sums.setdefault(name, [0.0, 0.0, 0.0])
        sums[0] += value
        sums[1] += step
        sums[2] += 1

    def mean(self, name: str) -> tuple[float, float]:
        """(step, value); NaN where there is none."""
        value, step, count = self.sums.get(name, (0.0, 0.0, 0.0))
        return (step / count, value / count) if count else (float("nan"), float("nan"))

    def mean_violations(self) -> np.ndarray:
        return self.violations / self.routed


def _column(points: list[_Point], name: str) -> np.ndarray:
    return np.array([point.mean(name)[1] for point in points], np.float64)


def _measured(points: list[_Point], name: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of the points that have one."""
    pairs = np.array([point.mean(name) for point in points if name in point.sums], np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _sources(points: list[_Point], kind: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The measurements by source, in the order of their names."""
    names = sorted({name for point in points for name in point.sums if name.startswith(f"{kind}/")})
    return {name.removeprefix(f"{kind}/"): _measured(points, name) for name in names}


def _fp8(points: list[_Point]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The shares by layer, in the order in which layers are first named."""
    layers = dict.fromkeys(layer for point in points for layer in point.fp8)
    counted = {layer: [point for point in points if layer in point.fp8] for layer in layers}
    return {
        layer: (
            np.array([round(np.mean(point.fp8_steps)) for point in own], np.int64),
            np.array([point.fp8[layer] / len(point.fp8_steps) for point in own]),
        )
        for layer, own in counted.items()
    }


def _times(path: str) -> dict[str, np.ndarray]:
    points: list[_Point] = []
    for lines in _batches(path, _width(path)):
        points.append(_Point())
        for line in lines:
            points[-1].add(line)
    return {name: _column(points, name) for name in TIMES}


def _width(path: str) -> int:
    """Steps of a point."""
    if not storage.exists(path):
        return 1
    with storage.open_input(path) as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
    return max(1, -(-lines // MOST_POINTS))


def _batches(path: str, width: int) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines in groups of `width`, each to be read before the next."""
    lines = _lines(path)
    for first in lines:
        yield _group(first, lines, width)


def _group(first: dict[str, Any], lines: Iterator[dict[str, Any]], width: int) -> Iterator[dict[str, Any]]:
    yield first
    for _, line in zip(range(width - 1), lines, strict=False):
        yield line


def _lines(path: str) -> Iterator[dict[str, Any]]:
    """The lines of a JSONL file but one that is still being written; none where there is no file."""
    if not storage.exists(path):
        return
    with storage.open_input(path) as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                continue
