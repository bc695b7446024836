"""What a run writes down, one JSON line a step.

`metrics.jsonl` holds only what the seed decides, so two runs with the same settings leave the same bytes; times, rates
and memory go to `timing.jsonl`, in a folder that is not part of the output. Lines are flushed as they come. A run that
goes on from a checkpoint, or back to one, first cuts both files to its step: what was written after it would otherwise
be there twice.

The files grow with the run (one like V3's leaves about 240,000 lines, 400 MB), while readers want their end: how far it
is, the last losses, what is to be cut. So they are read backwards, a block at a time, at the cost of the lines asked
for, not of the file.
"""

import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from corpusmill.training.watching.tensorboard import EventWriter, open_writer

METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
_BLOCK = 1 << 16


def cut_after(path: Path, step: int) -> None:
    """Cuts a JSONL file after its last whole line whose "step" is at most `step`; nothing happens without a file.

    A kill in the middle leaves the file as it was or cut: the next run cuts again.
    """
    if not path.exists():
        return
    with path.open("r+b") as file:
        keep = 0
        for start, line in _backwards(file):
            if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                keep = start + len(line)
                break
        if keep < file.seek(0, os.SEEK_END):
            file.truncate(keep)
            os.fsync(file.fileno())


class MetricsLog:
    """Appends to both files of a run that continues after `step` (0: from the start).

    Args:
        output: where the metrics go.
        state_folder: where the times go.
        step: the last step whose lines are kept.
        tensorboard: whether all of it also goes to event files, in `tensorboard/` of `state_folder`; UserError where
            TensorBoard is missing. A writer may be given instead.
    """

    def __init__(
        self, output: Path, state_folder: Path, step: int, tensorboard: bool | EventWriter | None = None
    ) -> None:
        self._paths = (output / METRICS_FILE, state_folder / TIMING_FILE)
        self._events: EventWriter | None = tensorboard if not isinstance(tensorboard, bool) else None
        if tensorboard is True:
            self._events = open_writer(state_folder / TENSORBOARD_FOLDER)
        for path in self._paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.cut_back(step)
        self._metrics, self._timing = (path.open("ab") for path in self._paths)

    def cut_back(self, step: int) -> None:
        """Takes back what was written of steps after `step`."""
        for path in self._paths:
            cut_after(path, step)
        if self._events is not None:
            self._events.cut_back(step)

    def write(self, metrics: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """One step's line to each file; both carry "step"."""
        for file, line in ((self._metrics, metrics), (self._timing, timing)):
            file.write((json.dumps(line) + "\n").encode())
            file.flush()
        if self._events is not None:
            self._events.write(metrics, timing)

    def sync(self) -> None:
        """Forces both files to disk: a checkpoint must not outlive the lines that lead to it."""
        for file in (self._metrics, self._timing):
            os.fsync(file.fileno())

    def close(self) -> None:
        """Closes all files."""
        self._metrics.close()
        self._timing.close()
        if self._events is not None:
            self._events.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines of a metrics or timing file. For long runs see `last_lines`."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def last_lines(path: str | Path, count: int) -> list[dict[str, Any]]:
    """The last whole lines of a JSONL file, at most `count`, in their order; none where there is no file.

    A line that is still being written is left out. The file may be cut back meanwhile, by another process: then
    what is no longer a line is left out as well.
    """
    try:
        with Path(path).open("rb") as file:
            lines = (line for _, line in _backwards(file) if line.endswith(b"\n"))
            parsed = [_parsed(line) for line in islice(lines, count)]
    except FileNotFoundError:
        return []
    return [line for line in reversed(parsed) if line is not None]


def last_line(path: str | Path) -> dict[str, Any] | None:
    """The last whole line of a JSONL file; None where there is none."""
    return next(iter(last_lines(path, 1)), None)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _backwards(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(offset, line) from the last line to the first; lines keep their newline, which the last may lack."""
    start = file.seek(0, os.SEEK_END)
    rest: list[bytes] = []  # of the line whose beginning was not found yet, last piece first
    while start:
        size = min(_BLOCK, start)
        start -= size
        file.seek(start)
        block = file.read(size)
        end = len(block)
        while end and (newline := block.rfind(b"\n", 0, end - 1 if not rest else end)) >= 0:
            rest.append(block[newline + 1 : end])
            yield start + newline + 1, b"".join(reversed(rest))
            rest, end = [block[newline : newline + 1]], newline
        rest.append(block[:end])
    if line := b"".join(reversed(rest)):
        yield 0, line


def live_words(metrics: Mapping[str, Any], timing: Mapping[str, Any] | None, steps: int) -> list[str]:
    """How far a run is, for a terminal: its last step's numbers, and how long the rest will take at that step's pace.

    For instance `step 120 of 300`, `5 min left`, `loss 4.312`, `1.9k tokens/s`, the most important first, since a
    narrow terminal shows only the first few. The busiest expert's load is in multiples of the average one. What the
    lines lack is left out.

    Args:
        metrics: a line of `metrics.jsonl`.
        timing: a line of `timing.jsonl`, of the same step or a near one.
        steps: of the whole run.
    """
    step, timing = metrics["step"], timing or {}
    words = [f"step {step:,} of {steps:,}"]
    if timing.get("seconds") and step < steps:
        words.append(f"{_rough(timing['seconds'] * (steps - step))} left")
    if metrics.get("loss") is not None:
        words.append(f"loss {metrics['loss']:.3f}")
    if timing.get("tokens_per_second"):
        words.append(f"{_short(timing['tokens_per_second'])} tokens/s")
    if metrics.get("validation_loss") is not None:
        words.append(f"held-back loss {metrics['validation_loss']:.3f}")
    if timing.get("mfu") is not None:
        words.append(f"MFU {timing['mfu']:.1%}")
    if metrics.get("learning_rate") is not None:
        words.append(f"learning rate {metrics['learning_rate']:.1e}".replace("e-0", "e-"))
    if metrics.get("gradient_norm") is not None:
        words.append(f"gradient norm {metrics['gradient_norm']:.2f}")
    if metrics.get("expert_violations"):
        words.append(f"busiest expert {1 + metrics['expert_max_violation']:.1f} times the average")
    return words


def _short(number: float) -> str:
    """A number with three digits at most: 870, 1.9k, 24k, 1.2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            scaled = number / size
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return f"{number:.0f}"


def _rough(seconds: float) -> str:
    """A time to come, to one unit: 40 s, 5 min, 3 h, 12 days."""
    for size, unit, most in ((1, "s", 90), (60, "min", 90), (3600, "h", 48)):
        if round(seconds / size) < most:
            return f"{max(1, round(seconds / size))} {unit}"
    return f"{round(seconds / 86400)} days"
