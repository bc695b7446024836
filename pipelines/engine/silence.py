"""A worker without a sign of life, noted in the stage's folder, where `corpusmill inspect status` finds it.

A sign of life is a mark of its heartbeat, or processor time used. A worker that gives neither for a minute waits for
something that does not come: a file system that hangs, a lock, a process that was stopped. Nobody can tell whether it
will go on, so it is left alone, and named.
"""

import contextlib
import platform
import time
from typing import Any

import psutil

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.heartbeat import SILENCE_SECONDS, Mark
from corpusmill.pipelines.engine.task import Call

ENDING = ".silent"


class Silence:
    """Watches one call of one worker.

    Args:
        call: which, and in which folder a silence is noted.
    """

    def __init__(self, call: Call) -> None:
        self._path = storage.join(call.folder, state.STATE, call.phase, f"{call.task}{ENDING}")
        self._ranks = call.ranks  # whose work is other processes'
        self._seen: tuple[int, float] = (-1, -1.0)
        self._since = time.monotonic()
        self._noted = False

    def look(self, process: int, mark: Mark) -> None:
        """Compares the worker with how it was; notes a silence once, and takes the note back when it ends."""
        used = 0.0
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(process).cpu_times()
            used = times.user + times.system
        if (mark.count, used) != self._seen:
            self._seen, self._since = (mark.count, used), time.monotonic()
            self.end()
        elif time.monotonic() - self._since > SILENCE_SECONDS and not self._noted and not self._ranks:
            self._noted = True
            record = {"worker": f"{platform.node()}:{process}", "since": time.time() - SILENCE_SECONDS}
            record |= {"document": mark.name} if mark.since else {}
            with contextlib.suppress(OSError, UserError):
                storage.commit_bytes(self._path, state.to_json(record), durable=False)

    def end(self) -> None:
        """Takes the note back: the worker is at work again, or its call has ended."""
        if self._noted:
            self._noted = False
            with contextlib.suppress(OSError, UserError):
                storage.remove(self._path)


def silent_workers(folder: str, phase: str) -> dict[str, dict[str, Any]]:
    """{task: what is noted of its worker} of a phase; a note that is being written or taken back is passed over."""
    path = storage.join(folder, state.STATE, phase)
    notes = {}
    for name in storage.list_names(path):
        if name.endswith(ENDING):
            with contextlib.suppress(OSError, UserError):
                notes[name.removesuffix(ENDING)] = state.read_json(storage.join(path, name))
    return notes
