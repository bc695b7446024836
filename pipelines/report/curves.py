"""The curves of a training run, from `metrics.jsonl`; long runs are averaged to as many points as a chart can show.

Memory: eight numbers a step.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataproc import storage

METRICS = "metrics.jsonl"
MOST_POINTS = 1000
COLUMNS = ("step", "loss", "mtp_loss", "learning_rate", "expert_max_violation", "validation_loss", "gradient_norm")


@dataclass(frozen=True)
class Curves:
    """Columns by name, float64 of shape (points,), NaN where a step has no value; `steps_per_point` were averaged.

    `validation`: (steps, losses) of the measurements on held-back text, not averaged.
    """

    columns: dict[str, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    steps_per_point: int


def read_curves(folder: str) -> Curves | None:
    """The curves of a run; None where no step was written."""
    path = storage.join(folder, METRICS)
    if not storage.exists(path):
        return None
    with storage.open_input(path) as file:
        rows = [[_number(line.get(name)) for name in COLUMNS] for line in map(_step, file) if line]
    if not rows:
        return None
    table = dict(zip(COLUMNS, np.array(rows, np.float64).T, strict=True))
    measured = ~np.isnan(table["validation_loss"])
    validation = table["step"][measured], table["validation_loss"][measured]
    width = -(-len(rows) // MOST_POINTS)
    return Curves({name: _averaged(values, width) for name, values in table.items()}, validation, width)


def _step(line: bytes) -> dict[str, Any]:
    """A line's values; empty for one that is still being written."""
    try:
        return json.loads(line)
    except ValueError:
        return {}


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _averaged(values: np.ndarray, width: int) -> np.ndarray:
    """Means of each `width` values in a row, NaN left out."""
    starts = np.arange(0, len(values), width)
    known = ~np.isnan(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts)
    counts = np.add.reduceat(known.astype(np.int64), starts)
    return np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0)
