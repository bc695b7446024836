"""Events for TensorBoard: what is told to a writer, and, where TensorBoard is installed, what it reads back."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.training.watching.metrics import MetricsLog
from corpusmill.training.watching.tensorboard import EventWriter, load_image, open_writer, relative_loads

METRICS: dict[str, Any] = {
    "step": 3,
    "loss": 2.5,
    "mtp_loss": 2.75,
    "gradient_norm": 1.5,
    "mtp_weight": 0.3,
    "expert_violations": [0.5, 0.25],
    "validation_by_source": {"web": 1.25},
    "expert_loads": [[0.25, 0.25, 0.5, 0.0], [0.25] * 4],
}
TIMING: dict[str, Any] = {"step": 3, "seconds": 2.0, "tokens_per_second": 512.0, "mfu": None}


class Fake:
    """A writer that remembers."""

    def __init__(self, folder: str, *, purge_step: int) -> None:
        self.purge_step, self.closed = purge_step, False
        self.scalars: dict[tuple[str, int], float] = {}
        self.arrays: dict[str, np.ndarray] = {}

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.scalars[tag, global_step] = scalar_value

    def add_image(self, tag: str, img_tensor: np.ndarray, global_step: int) -> None:
        self.arrays[tag] = img_tensor

    def add_histogram(self, tag: str, values: np.ndarray, global_step: int) -> None:
        self.arrays[tag] = values

    def close(self) -> None:
        self.closed = True


def test_every_number_of_a_step_has_a_tag(tmp_path: Path):
    opened: list[Fake] = []

    def opener(folder: str, *, purge_step: int) -> Fake:
        opened.append(Fake(folder, purge_step=purge_step))
        return opened[-1]

    events = EventWriter(tmp_path, opener)
    events.cut_back(2)
    events.write(METRICS, TIMING)
    events.cut_back(1)
    events.close()
    first, second = opened
    assert (first.purge_step, second.purge_step) == (3, 2)
    assert first.closed and second.closed
    assert first.scalars == {
        ("loss/training", 3): 2.5,
        ("loss/mtp", 3): 2.75,
        ("optimiser/gradient_norm", 3): 1.5,
        ("other/mtp_weight", 3): 0.3,
        ("balance_by_router/00", 3): 0.5,
        ("balance_by_router/01", 3): 0.25,
        ("bits_per_byte_by_source/web", 3): 1.25,
        ("speed/seconds", 3): 2.0,
        ("speed/tokens_per_second", 3): 512.0,
    }
    assert first.arrays["expert_load_over_even_load"].tolist() == [1, 1, 2, 0, 1, 1, 1, 1]
    assert first.arrays["expert_loads"].shape == (3, 16, 32)


def test_the_image_of_loads_is_grey_where_they_are_even():
    image = load_image(relative_loads([[0.25, 0.5, 0.0, 0.25], [0.9, 0.1, 0.0, 0.0]]))
    assert image.dtype == np.uint8
    assert image[:, ::8, ::8].tolist() == [[[128, 255, 0, 128], [255, 51, 0, 0]]] * 3
    assert (image == np.kron(image[:, ::8, ::8], np.ones((1, 8, 8), np.uint8))).all()


def test_a_missing_tensorboard_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"corpusmill\[tensorboard\]"):
        open_writer(tmp_path)


def test_tensorboard_shows_each_step_of_a_resumed_run_once(tmp_path: Path):
    """Killed after step 5, on from step 3 with other losses, back to step 4 from step 6."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    points = [(0, [(step, 1.0) for step in range(1, 6)]), (3, [(4, 2.0), (5, 2.0), (6, 2.0)])]
    for after, steps in points:
        log = MetricsLog(tmp_path / "run", tmp_path / "state", after, tensorboard=True)
        for step, loss in steps:
            log.write(METRICS | {"step": step, "loss": loss}, TIMING | {"step": step})
        if after:
            log.cut_back(4)
            log.write(METRICS | {"step": 5, "loss": 3.0}, TIMING | {"step": 5})
        log.close()
    read = EventAccumulator(str(tmp_path / "state/tensorboard"))
    read.Reload()
    losses = [(event.step, event.value) for event in read.Scalars("loss/training")]
    assert losses == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 3.0)]
    assert [event.step for event in read.Scalars("speed/seconds")] == [1, 2, 3, 4, 5]
    assert read.Images("expert_loads")[-1].width == 32
    assert read.Histograms("expert_load_over_even_load")[-1].histogram_value.num == 8
