"""The local engine: in the driver for one worker, else spawned processes that are watched one by one.

Our own pool and not `concurrent.futures`, because that one breaks as a whole when a worker dies and cannot say which
task it was on. Here each worker has a pipe and a sentinel, so a death names its task, its signal and its memory; the
other workers go on. Workers are spawned, never forked: Arrow, numba and torch all hold threads. They import tasks by
name and never the caller's script, so a script needs no `if __name__ == "__main__":` for their sake.

A worker is watched for what it holds, for how long it has been on one document (`heartbeat.py`), and for a sign of
life. The one worker inside the driver cannot be: a task that calls code whose time nobody bounds gets a process of its
own even there, unless what it reads or writes is in the driver's memory (`memory://`, a function of a notebook's).
"""

import contextlib
import multiprocessing
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any

import psutil

from corpusmill.dataproc import storage
from corpusmill.dataproc.operating_system import die_with_parent, held_bytes
from corpusmill.dataproc.stopping import EXIT_CODE, catch_sigterm, grace_seconds
from corpusmill.pipelines.engine.heartbeat import HEARTBEAT_BYTES, Heartbeat, Mark, reason_of
from corpusmill.pipelines.engine.processes import describe_exit
from corpusmill.pipelines.engine.ranks import start_here
from corpusmill.pipelines.engine.silence import Silence
from corpusmill.pipelines.engine.task import Call, Ended
from corpusmill.pipelines.engine.task_notes import AtWork
from corpusmill.pipelines.engine.worker import run_call

POLL_SECONDS = 0.25
END_SECONDS = 5.0
MEMORY_SHARE = 0.9


def _names_memory_files(call: Call) -> bool:
    """Whether a call reads or writes `memory://`, which no other process sees: then it cannot be ended from outside."""
    return storage.holds_memory_files() and "memory://" in f"{call.folder} {call.arguments!r}"


class InProcessExecutor:
    """One worker: the driver itself, which starts at once, and where a debugger works. Only a call that must be `apart`
    goes to a process that can be ended."""

    slots = 1
    leaves_notes = False
    description = "this process"
    is_driver = True

    def __init__(self, *, memory_per_worker: int = 0) -> None:
        self._waiting: list[Call] = []
        self._apart = ProcessExecutor(workers=1, memory_per_worker=memory_per_worker)
        self._done: tuple[int, float] = (0, 0.0)

    def submit(self, call: Call) -> None:
        if call.apart and not _names_memory_files(call):
            self._apart.submit(call)
        else:
            self._waiting.append(call)

    def wait(self, timeout: float) -> list[Ended]:
        if not self._waiting:
            return self._apart.wait(timeout)
        call = self._waiting.pop(0)
        self._done = (call.ticket, 0.0)
        return [run_call(call, start_here, advance=self._advance)]

    def _advance(self, count: int) -> None:
        self._done = (self._done[0], self._done[1] + count)

    def bytes_done(self) -> Mapping[int, float]:
        return {self._done[0]: self._done[1], **self._apart.bytes_done()}

    def at_work(self) -> Mapping[int, AtWork]:
        return {self._done[0]: AtWork(worker=f"{platform.node()}:{os.getpid()}"), **self._apart.at_work()}

    def find_worker(self, ticket: int) -> str:
        known = self.at_work()
        return known[ticket].worker if ticket in known else ""

    def close(self) -> None:
        self._waiting.clear()
        self._apart.close()


class _Worker:
    """A spawned process, our end of its pipe, and the call that it is on."""

    late: Mark | None = None
    silence: Silence | None = None

    def __init__(self, context: Any) -> None:
        self.connection, theirs = context.Pipe()
        shared = context.RawArray("B", HEARTBEAT_BYTES)
        self.heartbeat = Heartbeat(shared)
        self.bytes_done = context.RawValue("d", 0.0)
        arguments = (theirs, os.getpid(), shared, self.bytes_done)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        with _without_main():
            self.process.start()
        theirs.close()
        self.call: Call | None = None
        self.killed_for: str | None = None

    def is_fit(self) -> bool:
        """Whether it can take a call: a worker that died idle must not cost the next task an attempt."""
        return self.process.is_alive() and self.killed_for is None

    def resident_bytes(self) -> int:
        return held_bytes(self.process.pid or 0)

    def kill(self, cause: str) -> None:
        self.killed_for = cause
        self.process.kill()

    def watch(self, memory_limit: int) -> None:
        """Ends a worker that holds too much or is too long on a document, and notes one without a sign of life."""
        call = self.call
        if call is None or self.killed_for:
            return
        mark = self.heartbeat.read()
        if self.resident_bytes() > memory_limit:
            self.kill(f"out of memory: the worker held more than its {memory_limit / 2**20:,.0f} MiB")
        elif call.document_seconds and mark.is_late(call.document_seconds):
            self.late = mark
            self.kill(reason_of(call.document_seconds))
        elif self.silence and self.process.pid:
            self.silence.look(self.process.pid, mark)


class ProcessExecutor:
    """Spawned worker processes, one call each at a time.

    A worker whose resident memory, mapped files apart, passes `memory_per_worker` is killed by us, so that its death
    has a known cause and the machine does not swap; 0 means an even share of 90 % of the machine's memory.
    """

    def __init__(self, *, workers: int, memory_per_worker: int = 0) -> None:
        self.slots = workers
        self.is_driver = self.leaves_notes = False
        self.description = f"{workers} local processes"
        self._memory_limit = memory_per_worker or int(psutil.virtual_memory().total * MEMORY_SHARE / workers)
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._ended: list[Ended] = []
        self._next_look = 0.0

    def submit(self, call: Call) -> None:
        self._workers = [worker for worker in self._workers if worker.call is not None or worker.is_fit()]
        worker = next((worker for worker in self._workers if worker.call is None), None)
        if worker is None:
            worker = _Worker(self._context)
            self._workers.append(worker)
        worker.call, worker.silence = call, Silence(call)
        worker.bytes_done.value = 0.0
        try:
            worker.connection.send(call)
        except (BrokenPipeError, ConnectionResetError):
            self._bury(worker)

    def wait(self, timeout: float) -> list[Ended]:
        deadline = time.monotonic() + timeout
        while not self._ended and (busy := [worker for worker in self._workers if worker.call is not None]):
            patience = min(POLL_SECONDS, max(deadline - time.monotonic(), 0))
            ready = set(wait([*(w.connection for w in busy), *(w.process.sentinel for w in busy)], patience))
            for worker in busy:
                if worker.connection in ready or worker.process.sentinel in ready:
                    self._receive(worker)
            self._watch()
            if time.monotonic() >= deadline:
                break
        ended, self._ended = self._ended, []
        return ended

    def bytes_done(self) -> Mapping[int, float]:
        return {
            call.ticket: worker.bytes_done.value for worker in [*self._workers] if (call := worker.call) is not None
        }

    def at_work(self) -> Mapping[int, AtWork]:
        busy = [(worker, call) for worker in [*self._workers] if (call := worker.call) is not None]
        return {
            call.ticket: AtWork.by_mark(
                f"{platform.node()}:{worker.process.pid}", worker.bytes_done.value, worker.heartbeat.read()
            )
            for worker, call in busy
        }

    def find_worker(self, ticket: int) -> str:
        known = self.at_work()
        return known[ticket].worker if ticket in known else ""

    def close(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            saves = worker.call is not None and worker.call.ranks > 0
            worker.process.join(grace_seconds() + END_SECONDS if saves else END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
        self._workers.clear()

    def _receive(self, worker: _Worker) -> None:
        try:
            if worker.connection.poll():
                self._ended.append(worker.connection.recv())
                worker.call = None
                if worker.silence:
                    worker.silence.end()
                return
        except (EOFError, OSError):  # OSError: it died in the middle of sending
            pass
        if not worker.process.is_alive():
            self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        worker.process.join(5)
        self._workers.remove(worker)
        if worker.call is not None:
            cause = worker.killed_for or describe_exit(worker.process.exitcode)
            self._ended.append(Ended(ticket=worker.call.ticket, death=cause, late=worker.late))
            if worker.silence:
                worker.silence.end()

    def _watch(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + POLL_SECONDS
        for worker in self._workers:
            worker.watch(self._memory_limit)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keeps `multiprocessing` from having a child import the script that this process runs."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(connection: Connection, driver: int, shared: Any, bytes_done: Any) -> None:
    """A worker's loop: takes calls and returns their outcomes, until the driver is gone; how far it is with a call it
    writes to memory that the driver reads."""

    def advance(count: int) -> None:
        bytes_done.value += count

    die_with_parent(driver)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    heartbeat = Heartbeat(shared)
    while True:
        try:
            call = connection.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        if call.ranks:
            catch_sigterm()
        try:
            connection.send(run_call(call, start_here, heartbeat, advance))
        except KeyboardInterrupt:
            os._exit(EXIT_CODE)
