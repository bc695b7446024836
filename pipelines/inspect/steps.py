"""The steps of a training run as one table: what `metrics.jsonl` holds, beside the times of `timing.jsonl`.

They are two files because the first is decided by the seed alone, and compares between runs byte for byte.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.engine.state import STATE

METRICS, TIMING = "metrics.jsonl", "timing.jsonl"
SHOWN = 8
STEP_COLUMNS = ("step", "loss", "held-back loss", "learning rate", "gradient norm", "tokens/s", "s/step", "elapsed")


def read_steps(folder: str, count: int = 0) -> list[dict[str, Any]]:
    """Steps of a run with their times, `elapsed` added up from the first.

    Args:
        folder: of a training run, finished or not.
        count: about evenly spaced ones, the last one always, preferably with a held-back loss; 0 for all.
    """
    path = storage.join(folder, METRICS)
    measured = [b'"validation_loss"' in line for line in _lines(path)]
    chosen = set(range(len(measured)) if not count else _spaced(measured, count))
    steps = {
        line["step"]: line
        for number, text in enumerate(_lines(path))
        if number in chosen and (line := json.loads(text))
    }
    elapsed = 0.0
    for line in map(json.loads, _lines(storage.join(folder, STATE, TIMING))):
        elapsed += line["seconds"] + line.get("evaluation_seconds", 0.0)
        if line["step"] in steps:
            steps[line["step"]] |= line | {"elapsed": round(elapsed, 3)}
    return list(steps.values())


def _spaced(measured: list[bool], count: int) -> set[int]:
    """Evenly spaced places up to the last; one just before that has a held-back loss is taken in its stead."""
    places = {round((place + 1) * len(measured) / count) - 1 for place in range(count)} - {-1}
    reach = max(1, len(measured) // (4 * count))
    return {
        next((near for near in range(at, max(at - reach, -1), -1) if measured[near]), at)
        if at < len(measured) - 1
        else at
        for at in places
    }


def step_cells(step: Mapping[str, Any]) -> tuple[str, ...]:
    """A step's row, by `STEP_COLUMNS`; empty where a number is missing."""

    def number(name: str, form: str) -> str:
        return "" if step.get(name) is None else format(step[name], form)

    return (
        number("step", ",d"),
        number("loss", ".3f"),
        number("validation_loss", ".3f"),
        number("learning_rate", ".2e"),
        number("gradient_norm", ".3f"),
        number("tokens_per_second", ",.0f"),
        number("seconds", ".3f"),
        "" if step.get("elapsed") is None else clock(step["elapsed"]),
    )


def step_lines(folder: str) -> list[tuple[str, ...]]:
    """A few steps for an overview, under the columns' names; none where nothing is recorded."""
    steps = read_steps(folder, SHOWN)
    return [STEP_COLUMNS, *map(step_cells, steps)] if steps else []


def _lines(path: str) -> Iterator[bytes]:
    """The whole lines of a file; none where there is no file. A line that is being written is left out."""
    if not storage.exists(path):
        return
    with storage.open_input(path) as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line
