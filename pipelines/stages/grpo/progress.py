"""How far GRPO, or a reward model's training, is: by the last whole line of its metrics."""

from collections.abc import Callable, Mapping
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine.stage import StageRun, Watched

NAMES = ("reward", "accuracy", "held_back_reward", "loss", "kl_divergence")


def words(line: Mapping[str, Any], steps: int) -> list[str]:
    """The step, and the numbers that matter, the most important first."""
    known = [f"{name.replace('_', ' ')} {line[name]:.3f}" for name in NAMES if line.get(name) is not None]
    return [f"step {line['step']:,} of {steps:,}", *known]


def last_metrics(folder: str) -> dict[str, Any] | None:
    """The last whole line of a run's metrics; None where there is none, or they are not on this machine."""
    from corpusmill.training.watching.metrics import METRICS_FILE, last_line

    return None if storage.is_url(folder) else last_line(storage.join(folder, METRICS_FILE))


def progress_line(folder: str, plan: Mapping[str, Any]) -> str:
    """The same as a line for `status`; "" before the first step."""
    line = last_metrics(folder)
    return ", ".join(words(line, plan["settings"]["steps"])[:3]) if line else ""


def watcher(run: StageRun, steps: int) -> Callable[[], Watched]:
    """Gives how far the trainer is."""

    def watch() -> Watched:
        line = last_metrics(run.folder)
        return Watched(line["step"] / steps, tuple(words(line, steps))) if line else Watched(0.0, ("starting",))

    return watch
