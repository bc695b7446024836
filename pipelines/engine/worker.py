"""The worker's side of a task: run it, write its marker last, and say in plain text how it ended.

The same function runs in the driver (one local worker), in a spawned process and as a Ray task, which is why outputs
cannot depend on the engine.
"""

import errno
import importlib
import os
import platform
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from corpusmill.dataproc import storage, watching
from corpusmill.dataproc.errors import Unreachable, UserError
from corpusmill.dataproc.urls import mask_text
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.guard import Guard
from corpusmill.pipelines.engine.heartbeat import Heartbeat, PublishedWatch
from corpusmill.pipelines.engine.lease import require_lease
from corpusmill.pipelines.engine.task import Call, Ended, TaskError, TaskFailed

TRANSIENT_ERRNO = {
    errno.EIO, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET,
    errno.ECONNREFUSED, errno.ECONNABORTED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPIPE,
}  # fmt: skip
MENDS = {
    errno.EROFS: "use a folder that can be written to",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.ELOOP: "links lead in a circle here",
    errno.ENOENT: "",
    errno.EISDIR: "",
    errno.ENOTDIR: "",
}
"""Errors of storage that a user can mend, and how where the error does not say it."""
FULL_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

StartRanks = Callable[[Call, str, int], dict[str, Any]]
"""How an engine starts a task's ranks: call, function and their number to what rank 0 returned."""


Advanced = Callable[[int], None]
"""Is given the bytes of text that were done since it was last called."""

Arguments = TypeVar("Arguments", covariant=True)


class TaskContext(Generic[Arguments]):
    """What a task function is given.

    Attributes:
        arguments: the task's arguments, of the type that its stage declares for them.
        folder: the stage's output folder; outputs go below it, by relative names.
        id: the task's id, which names its outputs.
        guard: runs per-document work (`guard.apply`) and collects the quarantined.
    """

    def __init__(self, call: Call, start_ranks: StartRanks | None = None, advance: Advanced | None = None) -> None:
        self.call = call
        self._start_ranks = start_ranks
        self.arguments: Arguments = call.arguments
        self.folder = call.folder
        self.id = call.task
        self.phase = call.phase
        self.guard = Guard(
            skip=call.skip,
            careful=call.careful,
            breadcrumb=state.breadcrumb_path(call.folder, call.phase, call.task),
            slow=call.slow,
            advance=advance,
        )

    def path(self, *names: str) -> str:
        """A path below the stage's folder."""
        return storage.join(self.folder, *names)

    def work_path(self, *names: str) -> str:
        """A path for an intermediate file of the stage."""
        return storage.join(self.folder, state.WORK, *names)

    def run_ranks(self, function: str) -> dict[str, Any]:
        """Runs `function` ("module:name", given a context like this one) on all ranks of the task; gives what it
        returned on rank 0."""
        if self._start_ranks is None:
            raise RuntimeError("this context was made without a way to start ranks")
        return self._start_ranks(self.call, function, self.call.ranks)


def run_call(
    call: Call,
    start_ranks: StartRanks | None = None,
    heartbeat: Heartbeat | None = None,
    advance: Advanced | None = None,
) -> Ended:
    """Runs a task to its marker; ranks start on this machine, or as the engine says. Never raises: an exception comes
    back as a `TaskError`."""
    started, done = time.monotonic(), 0
    before = storage.counted_requests()

    def advanced(count: int) -> None:
        nonlocal done
        done += count
        if advance:
            advance(count)

    try:
        with (
            storage.commits_only_while(partial(require_lease, call.folder, call.lease)),
            watching.watched_by(PublishedWatch(heartbeat, call.skip)),
        ):
            module, _, name = call.function.partition(":")
            result = getattr(importlib.import_module(module), name)(TaskContext(call, start_ranks, advanced))
            marker = {
                "task": call.task,
                "result": result,
                "seconds": round(time.monotonic() - started, 3),
                "finished": time.time(),
                "attempt": call.attempt,
                "worker": f"{platform.node()}:{os.getpid()}",
            }
            storage.commit_bytes(state.marker_path(call.folder, call.phase, call.task), state.to_json(marker))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return Ended(ticket=call.ticket, error=describe(error), store_requests=_requests_since(before))
    return Ended(ticket=call.ticket, result=result, bytes_done=done, store_requests=_requests_since(before))


def _requests_since(before: Mapping[str, int]) -> dict[str, int]:
    counts = storage.counted_requests()
    return {kind: number - before.get(kind, 0) for kind, number in counts.items() if number > before.get(kind, 0)}


def describe(error: BaseException) -> TaskError:
    """Sorts an exception into what the engine does about it."""
    if isinstance(error, TaskFailed):
        return error.error
    if isinstance(error, Unreachable):
        return TaskError(kind="transient", message=str(error))
    trace = mask_text("".join(traceback.format_exception(error)))
    if isinstance(error, UserError):
        return TaskError(kind="user", message=str(error))
    if isinstance(error, MemoryError):
        return TaskError(kind="memory", message=str(error) or "a MemoryError", traceback=trace)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        if error.errno in FULL_ERRNO or "No space left on device" in str(error):
            return TaskError(kind="full", message=f"{place}no space left on the device")
        message = mask_text(f"{place}{error.strerror or error}")
        transient = error.errno in TRANSIENT_ERRNO or isinstance(error, ConnectionError | TimeoutError)
        # Remote file systems raise OSErrors of their own without a number: worth another attempt, too.
        if transient or error.errno is None:
            return TaskError(kind="transient", message=message, traceback=trace)
        if error.errno in MENDS:
            mend = MENDS[error.errno]
            return TaskError(kind="user", message=f"{message}; {mend}" if mend else message)
    return TaskError(kind="bug", message=mask_text(f"{type(error).__name__}: {error}"), traceback=trace)
