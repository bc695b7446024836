"""What a worker that its driver cannot see notes of its task: where it runs, how far it is, what document it is on.

A local worker shares memory with the driver (`heartbeat.py`); one of Ray's may be on another machine, and shares with
it only the stage's folder. So it writes a small file there, `_state/running/<phase>.<task>.note`, first when a task has
taken `EVERY_SECONDS`, then again as often: short tasks cost nothing. The driver reads some at a time, never more than
`MOST_READ` at once; when a phase ends it removes them all, those of workers that were killed among them.
"""

import contextlib
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.heartbeat import Mark
from corpusmill.pipelines.engine.task import Call

FOLDER, ENDING = "running", ".note"
EVERY_SECONDS, EVERY_SECONDS_REMOTE = 5.0, 60.0
MOST_READ = 256


@dataclass(frozen=True, kw_only=True)
class AtWork:
    """What is known of a call in flight.

    Attributes:
        worker: "node:process".
        bytes: of text that it has done.
        document: what it is on; "" between documents.
        document_since: when it began with that, in seconds since 1970.
    """

    worker: str
    bytes: float = 0.0
    document: str = ""
    document_since: float | None = None

    @classmethod
    def by_mark(cls, worker: str, size: float, mark: Mark) -> "AtWork":
        """Of a worker on this machine, whose clock a mark goes by."""
        since = time.time() - (time.monotonic() - mark.since) if mark.since else None
        return cls(worker=worker, bytes=size, document=mark.name if mark.since else "", document_since=since)


class Seen(Protocol):
    """Says how far the worker of this process is: bytes of text, and the document it is on."""

    def __call__(self) -> tuple[float, Mark]: ...


@contextmanager
def noting(call: Call, seen: Seen) -> Iterator[None]:
    """Notes the call now and then while the block runs, and takes the note back."""
    path = note_path(call)
    every = EVERY_SECONDS_REMOTE if storage.is_url(call.folder) else EVERY_SECONDS
    worker, over, written = f"{platform.node()}:{os.getpid()}", threading.Event(), False

    def note() -> None:
        nonlocal written
        while not over.wait(every):
            values = vars(AtWork.by_mark(worker, *seen()))
            with contextlib.suppress(Exception):  # object stores have errors of their own, and the next note comes soon
                storage.commit_bytes(path, state.to_json(values), durable=False)
                written = True

    thread = threading.Thread(target=note, name="note", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if written:
            with contextlib.suppress(Exception):
                storage.remove(path)


class Notes:
    """The notes of calls in flight, as the driver reads them; what was read lately is not read again."""

    def __init__(self) -> None:
        self._known: dict[int, AtWork] = {}
        self._next: dict[int, float] = {}

    def of(self, calls: Mapping[int, Call]) -> dict[int, AtWork]:
        """What is known of these calls, by ticket."""
        self._known = {ticket: note for ticket, note in self._known.items() if ticket in calls}
        self._next = {ticket: due for ticket, due in self._next.items() if ticket in calls}
        now = time.monotonic()
        due = sorted((ticket for ticket in calls if self._next.get(ticket, 0.0) <= now), key=self._due)
        for ticket in due[:MOST_READ]:
            call = calls[ticket]
            remote = storage.is_url(call.folder)
            self._next[ticket] = now + (EVERY_SECONDS_REMOTE if remote else EVERY_SECONDS)
            if note := _read(note_path(call)):
                self._known[ticket] = note
        return dict(self._known)

    def _due(self, ticket: int) -> float:
        return self._next.get(ticket, 0.0)


def note_path(call: Call) -> str:
    return storage.join(call.folder, state.STATE, FOLDER, f"{call.phase}.{call.task}{ENDING}")


def remove_notes(folder: str) -> None:
    """Removes all notes of a stage. A failure is no reason to fail: nothing depends on them."""
    with contextlib.suppress(Exception):
        storage.remove(storage.join(folder, state.STATE, FOLDER))


def _read(path: str) -> AtWork | None:
    try:
        if not storage.exists(path):
            return None
        values: dict[str, Any] = state.read_json(path)
        return AtWork(**values)
    except (OSError, UserError, TypeError):
        return None
