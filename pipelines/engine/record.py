"""What a driver notes of the phase that it is on, every few seconds, so that others see how far it is: `progress.json`.

Markers say which tasks are done, but neither how fast nor what is being worked on. So while a phase runs, a thread of
the driver writes one small file into the stage's `_state/`: bytes and documents done, now and a few minutes ago, which
tasks run where and since when, and how long tasks take. `corpusmill status` reads it in another process, on another
machine, and after the driver was killed, since the file appears whole each time. Nothing that a stage makes depends on
it.

Cost: a file of a few kB every `EVERY_SECONDS`, on an object store one PUT every `EVERY_SECONDS_REMOTE`.
"""

import contextlib
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lease import holds_lease
from corpusmill.pipelines.engine.scheduler import Scheduler
from corpusmill.pipelines.engine.task_notes import remove_notes

RECORD = "progress.json"
SCHEMA = 1
EVERY_SECONDS, EVERY_SECONDS_REMOTE = 5.0, 30.0
FIRST_SECONDS = 1.0
"""After the beginning of a phase: by then its first tasks are handed out."""
WINDOW_SECONDS = 300.0
"""How far back the samples go by which a rate of the last minutes is known."""
MOST_RUNNING = 1000
"""Tasks that are named; of more, those that have run for longest."""


@dataclass
class _Done:
    """What a phase has done, by all drivers that noted it."""

    finished: int = 0
    documents: int = 0
    quarantined: int = 0
    whole: bool = True
    """Whether no task ended between the last note of a killed driver and its death."""

    def as_values(self) -> dict[str, Any]:
        return dict(vars(self))


class Record:
    """A context manager around a phase; `ended` is called for each task that ends.

    Args:
        folder: the stage's; with the token of its driver (`lease.py`).
        engine: of its executor, for people; with how many tasks it can run at once.
        total_bytes, done_bytes: of the phase, and of the tasks that had been done before.
        tasks, finished: the same, in tasks.
        scheduler: who knows what is in flight.
        leaves_notes: workers leave notes in the folder, which are removed before and after.
        bytes_at_work: bytes of input that the tasks in flight have done.
    """

    def __init__(
        self,
        *,
        folder: str,
        lease: str,
        stage: str,
        phase: str,
        engine: tuple[str, int],
        total_bytes: int,
        done_bytes: int,
        tasks: int,
        finished: int,
        scheduler: Scheduler,
        bytes_at_work: Callable[[], float],
        leaves_notes: bool,
    ) -> None:
        self._folder, self._lease, self._path = folder, lease, storage.join(folder, state.STATE, RECORD)
        self._every = EVERY_SECONDS_REMOTE if storage.is_url(folder) else EVERY_SECONDS
        self._scheduler, self._bytes_at_work = scheduler, bytes_at_work
        self._leaves_notes = leaves_notes
        self._about: dict[str, Any] = {
            "schema": SCHEMA, "stage": stage, "phase": phase, "engine": engine[0], "slots": engine[1],
            "driver": f"process {os.getpid()} on {platform.node()}", "every_seconds": self._every,
            "phase_started": time.time(), "tasks": tasks, "bytes_total": total_bytes, "bytes_before": done_bytes,
        }  # fmt: skip
        self._phase, self._bytes, self._documents = phase, float(done_bytes), 0
        self._phases = self._of_before(finished)
        self._samples: deque[tuple[float, int, int, int]] = deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_now_and_then, name="progress", daemon=True)

    def __enter__(self) -> "Record":
        self._remove_notes()
        self._write(over=False)
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._over.set()
        self._thread.join()
        if holds_lease(self._folder, self._lease):  # else another driver has taken over, and the notes are its own
            self._write(over=True)
            self._remove_notes()

    def _remove_notes(self) -> None:
        if self._leaves_notes:
            remove_notes(self._folder)

    def ended(self, size: int, result: Mapping[str, Any]) -> None:
        """Counts a task that ended."""
        done = self._phases[self._phase]
        done.finished += 1
        done.documents += int(result.get("documents_in", 0))
        done.quarantined += int(result.get("quarantined", 0))
        self._documents += int(result.get("documents_in", 0))
        self._bytes += size

    def _of_before(self, finished: int) -> dict[str, _Done]:
        """What earlier drivers noted, as far as it agrees with the markers that are there."""
        phases = {}
        with contextlib.suppress(OSError, UserError, KeyError, TypeError):
            if (written := state.read_json_if_there(self._path)) is not None:
                phases = {name: _Done(**values) for name, values in written["phases"].items()}
        done = phases.setdefault(self._phase, _Done())
        if done.finished != finished:
            done.whole, done.finished = False, finished
        return phases

    def _write_now_and_then(self) -> None:
        pause = min(FIRST_SECONDS, self._every)
        while not self._over.wait(pause):
            self._write(over=False)
            pause = self._every

    def _write(self, *, over: bool) -> None:
        """Writes what there is to say now. Storage that fails is no reason to fail: the next note comes soon."""
        now = time.time()
        done = min(self._bytes + self._bytes_at_work(), max(self._about["bytes_total"], self._bytes))
        self._samples.append((round(now, 3), int(done), self._documents, self._phases[self._phase].finished))
        while now - self._samples[0][0] > WINDOW_SECONDS:
            self._samples.popleft()
        seconds = self._scheduler.task_seconds
        values = self._about | {
            "written": now,
            "over": over,
            "bytes_done": int(done),
            "documents": self._documents,
            "samples": list(self._samples),
            "phases": {name: phase.as_values() for name, phase in self._phases.items()},
            "median_task_seconds": round(median(list(seconds)), 3) if seconds else None,
            "last_ended": self._scheduler.last_ended,
            "running": [] if over else _longest_first(self._scheduler.running()),
        }
        with contextlib.suppress(Exception):  # object stores have errors of their own
            storage.commit_bytes(self._path, state.to_json(values), durable=False)


@dataclass(frozen=True, kw_only=True)
class RunningTask:
    """A task as the driver notes it; times are seconds since 1970.

    Attributes:
        task: its id.
        since: when it was handed out.
        attempt: from 1.
        worker: "node:process"; "" where the driver does not know.
        document: what the worker is on; "" between documents, and where it is not known.
        document_since: when that was begun.
    """

    task: str
    since: float
    attempt: int
    worker: str = ""
    document: str = ""
    document_since: float | None = None


@dataclass(frozen=True, kw_only=True)
class PhaseRecord:
    """`progress.json`, read back. The attributes are those of the file; samples are (time, bytes, documents, tasks)."""

    phase: str
    engine: str
    slots: int
    driver: str
    every_seconds: float
    written: float
    over: bool
    phase_started: float
    tasks: int
    bytes_total: int
    bytes_before: int
    bytes_done: int
    documents: int
    samples: list[tuple[float, int, int, int]]
    phases: Mapping[str, Mapping[str, Any]]
    median_task_seconds: float | None
    last_ended: float | None
    running: list[RunningTask] = field(default_factory=list)


def read_record(folder: str) -> PhaseRecord | None:
    """What the last driver noted; None where it noted nothing, or something that this version cannot read."""
    path = storage.join(folder, state.STATE, RECORD)
    if not storage.exists(path):
        return None
    try:
        values = state.read_json(path)
        if values.pop("schema") != SCHEMA:
            return None
        values.pop("stage")
        values["running"] = [RunningTask(**task) for task in values["running"]]
        values["samples"] = [tuple(sample) for sample in values["samples"]]
        return PhaseRecord(**values)
    except (UserError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _longest_first(running: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(running, key=lambda task: (task["since"], task["task"]))[:MOST_RUNNING]
