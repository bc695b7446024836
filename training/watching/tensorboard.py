"""The same numbers for TensorBoard: scalars of every step, and how experts share the load where it was measured.

Needs the extra `tensorboard`; the event files are written by torch. They lie beside the run's times, since they hold
the clock's time and so differ from run to run. A run that resumes after step n opens a new file that says so, and
TensorBoard hides what older files hold of later steps: no step is shown twice.

Cost: about 50 microseconds and as many bytes a number; V3's 59 routers make it 5 ms and 5 KB a step.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from corpusmill.dataproc.errors import require_extra

_GROUPS = {
    "loss": "loss/training",
    "mtp_loss": "loss/mtp",
    "balance_loss": "loss/balance",
    "validation_loss": "loss/validation",
    "average_validation_loss": "loss/average_validation",
    "validation_bits_per_byte": "bits_per_byte/validation",
    "average_validation_bits_per_byte": "bits_per_byte/average_validation",
    "validation_by_source": "bits_per_byte_by_source",
    "average_validation_by_source": "average_bits_per_byte_by_source",
    "gradient_norm": "optimiser/gradient_norm",
    "learning_rate": "optimiser/learning_rate",
    "expert_max_violation": "balance/max_violation",
    "expert_violations": "balance_by_router",
    "bias_speed": "balance/bias_speed",
    "tokens": "progress/tokens",
    "sequences": "progress/sequences",
    "batch_sequences": "progress/batch_sequences",
}
"""Tags of what a metrics line holds; other numbers are tagged `other/`, and those of a timing line `speed/`."""
_LOADS = "expert_loads"
_CELL = 8
"""Pixels of an expert's square in the image of loads."""


class Writer(Protocol):
    """What is used of torch's SummaryWriter."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...
    def add_image(self, tag: str, img_tensor: np.ndarray, global_step: int) -> None: ...
    def add_histogram(self, tag: str, values: np.ndarray, global_step: int) -> None: ...
    def close(self) -> None: ...


class Opener(Protocol):
    """Opens a writer into a folder; TensorBoard hides what earlier files have of `purge_step` and later."""

    def __call__(self, folder: str, *, purge_step: int) -> Writer: ...


class EventWriter:
    """Writes a run's lines as events.

    Args:
        folder: of the event files.
        opener: opens a writer.
    """

    def __init__(self, folder: Path, opener: Opener) -> None:
        self._folder, self._opener = folder, opener
        self._writer: Writer | None = None

    def cut_back(self, step: int) -> None:
        """The steps after `step` come next, even if some of them were written before."""
        self.close()
        self._writer = self._opener(str(self._folder), purge_step=step + 1)

    def write(self, metrics: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """One step, whose number is the metrics' "step"."""
        assert self._writer is not None, "opened by cut_back"
        step = metrics["step"]
        for tag, value in (*_scalars(metrics, "other"), *_scalars(timing, "speed")):
            self._writer.add_scalar(tag, value, step)
        if metrics.get(_LOADS):
            relative = relative_loads(metrics[_LOADS])
            self._writer.add_image("expert_loads", load_image(relative), step)
            self._writer.add_histogram("expert_load_over_even_load", relative.ravel(), step)

    def close(self) -> None:
        """Writes what is not on disk yet."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def open_writer(events: Path) -> EventWriter:
    """An event writer into a folder. Raises UserError where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise require_extra("tensorboard", "tensorboard") from error

    def opener(folder: str, *, purge_step: int) -> Writer:
        return SummaryWriter(folder, purge_step=purge_step)

    return EventWriter(events, opener)


def relative_loads(shares: list[list[float]]) -> np.ndarray:
    """Each expert's share of its router's choices [R][E] in multiples of an even share, 1/E: FP64 [R, E]."""
    table = np.array(shares, np.float64)
    return table * table.shape[1]


def load_image(relative: np.ndarray) -> np.ndarray:
    """Routers down, experts across, as uint8 [3, R * 8, E * 8]: black for no load, grey even, white for twice that or
    more."""
    grey = np.clip(np.rint(relative * 127.5), 0, 255).astype(np.uint8)
    return np.repeat(np.repeat(grey, _CELL, 0), _CELL, 1)[None].repeat(3, 0)


def _scalars(line: Mapping[str, Any], group: str) -> Iterator[tuple[str, float]]:
    """(tag, value) of every number in a line, including those in a list or under a name."""
    for name, value in line.items():
        tag = _GROUPS.get(name, f"{group}/{name}")
        if name in ("step", _LOADS) or value is None:
            continue
        if isinstance(value, Mapping):
            yield from ((f"{tag}/{key}", float(number)) for key, number in value.items())
        elif isinstance(value, list):
            yield from ((f"{tag}/{place:02d}", float(number)) for place, number in enumerate(value))
        elif isinstance(value, int | float):
            yield tag, float(value)
