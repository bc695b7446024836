"""What a stage cost: wall time, core-hours and the hosts it ran on, from what its tasks left below `_state/`.

Each task's marker says how long it took and which worker did it. A task keeps one core busy; those of training keep as
many as threads times ranks. Time that failed attempts took is not in it: their number is.

Cost: one listing a phase, and at most `MOST_MARKERS` markers of a phase are opened, evenly spaced ones where there are
more; sums are then scaled to all tasks, and `estimated` says so. Memory: a number for each host.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine import state

MOST_MARKERS = 256
SECONDS = "seconds.json"


@dataclass
class HostWork:
    """What a host did: tasks and the seconds of cores that they took."""

    tasks: float = 0.0
    core_seconds: float = 0.0


@dataclass
class StageCost:
    """What a stage cost.

    Attributes:
        seconds: from start to end, over all drivers; None where it was not noted.
        engine: that it ran on last; "" where it was not noted.
        tasks: that were finished.
        retried: of those whose markers were read, tasks that took more than one attempt.
        core_seconds: of all tasks.
        hosts: by name.
        estimated: whether not all markers were read.
    """

    seconds: float | None = None
    engine: str = ""
    tasks: int = 0
    retried: int = 0
    core_seconds: float = 0.0
    hosts: dict[str, HostWork] = field(default_factory=dict)
    estimated: bool = False

    def dollars(self, core_hour_price: float) -> float:
        """At a price of so many dollars a core-hour."""
        return self.core_seconds / 3600 * core_hour_price


def stage_cost(folder: str, manifest: Mapping[str, Any]) -> StageCost:
    """What a finished stage cost; of one that was copied without its `_state/`, nothing is known."""
    cost = StageCost()
    path = storage.join(folder, state.STATE)
    names = storage.list_names(path)
    if SECONDS in names:
        noted = state.read_json(storage.join(path, SECONDS))
        cost.seconds, cost.engine = float(noted["seconds"]), str(noted["engine"])
    cores = _cores_of_a_task(manifest.get("facts", {}))
    for phase in sorted(name for name in names if "." not in name):
        _add_phase(cost, folder, phase, cores)
    return cost


def _add_phase(cost: StageCost, folder: str, phase: str, cores: int) -> None:
    tasks = sorted(state.finished_tasks(folder, phase))
    read = tasks
    if len(tasks) > MOST_MARKERS:
        read = [tasks[number * len(tasks) // MOST_MARKERS] for number in range(MOST_MARKERS)]
        cost.estimated = True
    scale = len(tasks) / max(1, len(read))
    for task in read:
        marker = state.read_marker(folder, phase, task)
        host = str(marker.get("worker", "")).rpartition(":")[0] or "unknown"
        core_seconds = float(marker.get("seconds", 0.0)) * cores * scale
        work = cost.hosts.setdefault(host, HostWork())
        work.tasks += scale
        work.core_seconds += core_seconds
        cost.core_seconds += core_seconds
        cost.retried += int(marker.get("attempt", 1) > 1)
    cost.tasks += len(tasks)


def _cores_of_a_task(facts: Mapping[str, Any]) -> int:
    """Threads times ranks of training; 1 of every other stage."""
    if "threads" not in facts:
        return 1
    return max(1, int(facts["threads"])) * max(1, int(facts.get("ranks", 1)))
