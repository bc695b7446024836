"""What a worker publishes of itself in memory that it shares with the process that watches it: the document it is on.

The worker writes a few bytes for each document or batch, a microsecond each; the watcher reads them four times a
second. Nothing is locked, since a worker that is killed would keep the lock: a counter, odd while the rest is written,
tells the reader that it came at the wrong moment. Times are of the machine's monotonic clock, the same for both.

A document's limit is of time as it passes, so what is near it depends on the machine and its load. A batch of documents
may take `BATCH_SHARE` times as long; one that takes longer is tried again a document at a time. What comes first in a
call may take `START_SECONDS` more, in which libraries, kernels and models are loaded, unless the code says that it has
loaded them (`watching.ready`).
"""

import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corpusmill.pipelines.engine.kept_names import NAME_BYTES, kept_name

BATCH_SHARE = 3
START_SECONDS = 60.0
SILENCE_SECONDS = 60.0
"""A worker that published nothing and used no processor for so long shows no sign of life."""

_COUNT, _REST = struct.Struct("<Q"), struct.Struct("<ddQI")
HEARTBEAT_BYTES = _COUNT.size + _REST.size + NAME_BYTES
_READS = 100


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What a worker was on when it was looked at.

    Attributes:
        count: rises with every mark.
        since: when it began, of `time.monotonic`; 0 between documents.
        grace: seconds that it may take beyond its limit.
        documents: how many it works on together.
        name: the document, or the first of them.
    """

    count: int
    since: float
    grace: float
    documents: int
    name: str

    def is_late(self, seconds: float) -> bool:
        """Whether a document of so many seconds at most, or a batch of such, should have been done by now."""
        allowed = seconds * (1 if self.documents == 1 else BATCH_SHARE)
        return self.since > 0 and time.monotonic() - self.since > allowed + self.grace


NOTHING = Mark(count=0, since=0.0, grace=0.0, documents=0, name="")
"""Of a worker that is between documents, or was never looked at."""


class Heartbeat:
    """The shared memory, as either side sees it: `HEARTBEAT_BYTES` bytes."""

    def __init__(self, shared: Any) -> None:
        self._view = memoryview(shared).cast("B")
        self._count = 0

    def write(self, name: str, documents: int, grace: float = 0.0) -> None:
        """Publishes the beginning of work; "" and 0 its end."""
        spelled = name.encode("utf-8", "surrogatepass")[:NAME_BYTES]
        since = time.monotonic() if documents else 0.0
        _COUNT.pack_into(self._view, 0, self._count + 1)
        _REST.pack_into(self._view, _COUNT.size, since, grace, documents, len(spelled))
        begin = _COUNT.size + _REST.size
        self._view[begin : begin + len(spelled)] = spelled
        self._count += 2
        _COUNT.pack_into(self._view, 0, self._count)

    def read(self) -> Mark:
        """What the worker is on. Of one that is killed while it writes: that it is on nothing."""
        begin = _COUNT.size + _REST.size
        for _ in range(_READS):
            (count,) = _COUNT.unpack_from(self._view, 0)
            since, grace, documents, size = _REST.unpack_from(self._view, _COUNT.size)
            spelled = bytes(self._view[begin : begin + min(size, NAME_BYTES)])
            if count % 2 == 0 and _COUNT.unpack_from(self._view, 0)[0] == count:
                name = spelled.decode("utf-8", "surrogatepass" if size < NAME_BYTES else "ignore")
                return Mark(count=count, since=since, grace=grace, documents=documents, name=name)
        return NOTHING


class PublishedWatch:
    """The `dataproc.watching.Watch` of a task: publishes by a heartbeat, and refuses what was too slow before.

    Args:
        heartbeat: None where nobody watches from outside.
        refused: documents that are not to be tried again, by their kept names, with the reason.
    """

    def __init__(self, heartbeat: Heartbeat | None, refused: Mapping[str, str]) -> None:
        self._heartbeat = heartbeat
        self._refused = refused
        self._ready = False

    def ready(self) -> None:
        self._ready = True

    def begin(self, name: str, documents: int) -> None:
        if self._heartbeat:
            self._heartbeat.write(kept_name(name), documents, 0.0 if self._ready else START_SECONDS)
        self._ready = True

    def end(self) -> None:
        if self._heartbeat:
            self._heartbeat.write("", 0)

    def refusal(self, name: str) -> str | None:
        return self._refused.get(kept_name(name)) if self._refused else None


def reason_of(seconds: float) -> str:
    """Why a document that took too long is quarantined: the same words whenever and wherever that was."""
    return f"it took longer than {seconds:g} seconds (document_seconds)"
