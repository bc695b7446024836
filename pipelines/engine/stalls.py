"""A phase that has come to a stand: no task ended for many times what is usual, said in a line while it lasts.

One worker that waits is noted by `silence.py` where it can be seen; here it is the phase: whatever the cause (a file
system that hangs, a worker that was stopped, a document that takes an hour, a cluster without a node that may run the
task), nothing ends any more. The tasks that have run longest are named with where they run, what they read and which
document they are on. Nothing is done about it: nobody can tell whether they will go on.

A phase in which nothing has ended yet has no usual time; on a cluster it is said after `SILENT_SECONDS` when no worker
has reported from any task either. Tasks that are one process of days (training, learning merges) are left out: they say
themselves how far they are.

Cost: a look every `LOOK_SECONDS`.
"""

import threading
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.engine.scheduler import Scheduler

FACTOR = 10
"""How many times the median task's time pass without an end before a phase has come to a stand."""
LEAST_SECONDS, LOOK_SECONDS, SILENT_SECONDS = 30.0, 5.0, 90.0
MOST_NAMED = 3


class StallWatch:
    """A context manager around a phase.

    Args:
        scheduler: who knows what is in flight, and what ended when.
        phase: its name, for the lines.
        say: prints one.
    """

    def __init__(self, scheduler: Scheduler, phase: str, say: Callable[[str], None]) -> None:
        self._scheduler, self._phase, self._say = scheduler, phase, say
        self._begun = time.time()
        self._next = 0.0
        self._since: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_now_and_then, name="stalls", daemon=True)

    def __enter__(self) -> "StallWatch":
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._over.set()
        self._thread.join()

    def _look_now_and_then(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.look(time.time())

    def look(self, now: float) -> None:
        """Says that nothing ends, if so: once, and again each time that as much time has passed as before."""
        last, durations = self._scheduler.last_ended or self._begun, list(self._scheduler.task_seconds)
        if last != self._since:
            self._since, self._next = last, 0.0
        waited = now - last
        if durations:
            usual = median(durations)
            limit = max(LEAST_SECONDS, FACTOR * usual)
            what = f"no task has ended for {clock(waited)}, where one takes {usual:.1f} s"
        else:
            limit = SILENT_SECONDS
            what = f"no task has ended or reported in {clock(waited)}"
        if waited < max(limit, self._next):
            return
        running = self._scheduler.longest_running(MOST_NAMED)
        if not running or (not durations and any(task["worker"] for task in running)):
            return
        self._next = 2 * waited
        if not durations:
            what += "; a node that offers what it asks for may be missing (see `ray status`)"
        self._say(f"{self._phase}: {what}; {'; '.join(_in_words(task, now) for task in running)}")


def _in_words(task: Mapping[str, Any], now: float) -> str:
    where = f" on {task['worker']}" if task["worker"] else ", where is not known,"
    line = f"{task['task']}{where} since {clock(now - task['since'])}"
    if task["input"]:
        line += f", of {task['input']}"
    return f"{line}, at {task['document']!r}" if task["document"] else line
