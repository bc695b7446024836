"""Runs a phase's tasks to their markers: a bounded number in flight, with retries only for errors that may go away.

    a user's mistake, a bug    no retry; tasks in flight may finish, then the stage fails
    no space left              the same, with a line that says that a re-run resumes here
    a transient error          up to TRANSIENT_ATTEMPTS, with growing pauses
    a document that took too   the worker was ended: another attempt, without that document, which is quarantined;
    long                       after a batch that did, one that does this batch a document at a time
    a worker's death           another attempt in careful mode; a document named by two of three deaths is quarantined
                               by its id, and a task that dies MAX_DEATHS times on nothing in particular fails

Memory: one `Task` and one small result for each task of the phase: some 400 bytes beside its arguments
(`benchmarks/scheduler.py`).
"""

import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.executor import Executor
from corpusmill.pipelines.engine.heartbeat import Mark, reason_of
from corpusmill.pipelines.engine.task import Call, Ended, Task, TaskError
from corpusmill.pipelines.engine.task_input import input_of

TRANSIENT_ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.5
DEATHS_TO_QUARANTINE = 3
MAX_DEATHS = 4
POLL_SECONDS = 0.5
MOST_DURATIONS = 1001
"""Tasks that ended last, whose time says what is usual."""


class StageFailed(Exception):
    """A stage that could not finish: printed as it is, exit code 1. `trace` is a bug's traceback, else empty."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


@dataclass
class _Attempts:
    """What has happened to a task so far; deaths and slow batches are kept on disk, so that they count across
    drivers."""

    made: int = 0
    transient: int = 0
    deaths: list[dict[str, Any]] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    @property
    def skip(self) -> dict[str, str]:
        return {death["quarantined"]: death["reason"] for death in self.deaths if death.get("quarantined")}

    @property
    def since_quarantine(self) -> list[dict[str, Any]]:
        last = max((i for i, death in enumerate(self.deaths) if death.get("quarantined")), default=-1)
        return self.deaths[last + 1 :]


class Scheduler:
    """Runs one phase of one stage.

    Args:
        executor: where calls go.
        folder: the stage's output folder.
        phase: names the folder of markers.
        kernels: warm-up modules of the compiled kernels that the tasks call.
        lease: this driver's token (`lease.py`).
        document_seconds: how long a document may take; 0 for no limit.
        apart: whether tasks call code whose time nobody bounds.
        on_end: called with each task and its result as it is done.
        say: prints a line for the user: retries, deaths and their causes.
        notes: the names in the phase's folder, so that nothing is asked for that is not there.
        reserved: what each task reserves of a cluster's node.

    Attributes:
        store_requests: requests of the tasks that ended, to object stores, by kind; those made `again` as well.
        task_seconds: how long the tasks took that ended last.
        last_ended: when the last one did, in seconds since 1970.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        folder: str,
        phase: str,
        kernels: tuple[str, ...],
        lease: str,
        document_seconds: float = 0.0,
        apart: bool = False,
        on_end: Callable[[Task, dict[str, Any]], None],
        say: Callable[[str], None],
        notes: Collection[str] = (),
        reserved: Mapping[str, Any] | None = None,
    ) -> None:
        self._noted = {name.removesuffix(".deaths") for name in notes if name.endswith(".deaths")}
        self.store_requests: Counter[str] = Counter()
        self._executor = executor
        self._folder = folder
        self._phase = phase
        self._kernels = kernels
        self._lease = lease
        self._document_seconds = document_seconds
        self._apart = apart
        self._on_end = on_end
        self._say = say
        self._reserved = dict(reserved or {})
        self._queue: deque[Task] = deque()
        self._later: list[tuple[float, int, Task]] = []
        self._in_flight: dict[int, Task] = {}
        self._begun: dict[int, float] = {}
        self.task_seconds: deque[float] = deque(maxlen=MOST_DURATIONS)
        self.last_ended: float | None = None
        self._attempts: dict[str, _Attempts] = {}
        self._failure: Exception | None = None
        self._ticket = 0
        self._ended_bytes, self._ended_reported = 0.0, 0.0

    def running(self) -> list[dict[str, Any]]:
        """The tasks in flight: id, since when, attempt; worker and document where they are known.

        For another thread.
        """
        known, tasks = self._executor.at_work(), []
        for ticket, task in dict(self._in_flight).items():
            attempts = self._attempts.get(task.id)  # none of one that has just ended
            entry: dict[str, Any] = {"task": task.id, "attempt": attempts.made if attempts else 1}
            entry["since"] = self._begun.get(ticket, time.time())
            if ticket in known:
                seen = known[ticket]
                entry |= {"worker": seen.worker, "document": seen.document, "document_since": seen.document_since}
            tasks.append(entry)
        return tasks

    def longest_running(self, number: int) -> list[dict[str, Any]]:
        """So many of the tasks in flight, those that were handed out first: id, since when, input, worker and document
        ("" where they are not known). For another thread."""
        in_flight = heapq.nsmallest(number, dict(self._in_flight).items())
        seen = self._executor.at_work() if in_flight else {}
        return [
            {
                "task": task.id,
                "since": self._begun.get(ticket, time.time()),
                "input": input_of(task.arguments),
                "worker": seen[ticket].worker if ticket in seen else self._executor.find_worker(ticket),
                "document": seen[ticket].document if ticket in seen else "",
            }
            for ticket, task in in_flight
        ]

    def bytes_at_work(self) -> float:
        """Bytes of input that the tasks in flight have done, as far as their workers report it; for another thread.

        They report text, while a task's size is that of its files: the tasks that ended say how the two compare.
        """
        scale = self._ended_bytes / self._ended_reported if self._ended_reported else 1.0
        tasks = dict(self._in_flight)
        reported = self._executor.bytes_done()
        return sum(min(reported[ticket] * scale, task.bytes) for ticket, task in tasks.items() if ticket in reported)

    def run(self, tasks: Sequence[Task]) -> None:
        """Runs all tasks. Raises UserError or StageFailed for the first that cannot be done."""
        self._queue.extend(tasks)
        for task in tasks if self._noted else ():
            if task.id in self._noted:
                self._attempts[task.id] = self._recall(task)
        while self._in_flight or (not self._failure and (self._queue or self._later)):
            self._submit_what_fits()
            pause = POLL_SECONDS
            if not self._in_flight and self._later:
                time.sleep(min(POLL_SECONDS, max(self._later[0][0] - time.monotonic(), 0)))
            for ended in self._wait(pause):
                begun = self._begun.pop(ended.ticket)
                if ended.result is not None:
                    self.last_ended = time.time()
                    self.task_seconds.append(self.last_ended - begun)
                self._handle(self._in_flight.pop(ended.ticket), ended)
        if self._failure:
            raise self._failure

    def _wait(self, pause: float) -> list[Ended]:
        try:
            return self._executor.wait(pause)
        except KeyboardInterrupt:
            if self._executor.is_driver:  # Ctrl-C is no death of the task's
                for task in self._in_flight.values():
                    self._remember(task, self._attempts[task.id])
            raise

    def _submit_what_fits(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            self._queue.append(heapq.heappop(self._later)[2])
        while self._queue and not self._failure and len(self._in_flight) < self._executor.slots:
            task = self._queue.popleft()
            attempts = self._attempts.setdefault(task.id, _Attempts())
            self._ticket += 1
            attempts.made += 1
            self._begun[self._ticket] = time.time()
            self._in_flight[self._ticket] = task
            if self._executor.is_driver:
                self._remember(task, attempts, pending=True)
            self._executor.submit(
                Call(
                    ticket=self._ticket,
                    function=task.function,
                    arguments=task.arguments,
                    folder=self._folder,
                    phase=self._phase,
                    task=task.id,
                    attempt=attempts.made,
                    careful=bool(attempts.since_quarantine),
                    skip=attempts.skip,
                    ranks=task.ranks,
                    kernels=self._kernels,
                    lease=self._lease,
                    document_seconds=self._document_seconds,
                    apart=self._apart and self._document_seconds > 0,
                    slow=tuple(attempts.slow),
                    reserved=self._reserved,
                )
            )

    def _handle(self, task: Task, ended: Ended) -> None:
        attempts = self._attempts[task.id]
        self.store_requests.update(ended.store_requests)
        if self._executor.is_driver:
            self._remember(task, attempts)
        if ended.result is not None:
            self._ended_bytes += task.bytes if ended.bytes_done else 0
            self._ended_reported += ended.bytes_done
            del self._attempts[task.id]
            self._on_end(task, ended.result)
        elif ended.late is not None and self._is_new(attempts, ended.late):
            self._handle_late(task, attempts, ended.late)
        elif ended.death is not None:
            self._handle_death(task, attempts, ended.death)
        elif ended.error is not None and ended.error.kind == "memory":
            self._handle_death(task, attempts, f"out of memory: {ended.error.message}")
        elif ended.error is not None:
            self._handle_error(task, attempts, ended.error)

    def _handle_error(self, task: Task, attempts: _Attempts, error: TaskError) -> None:
        name = f"{self._phase}/{task.id}"
        if error.kind == "transient" and attempts.transient + 1 < TRANSIENT_ATTEMPTS:
            pause = FIRST_PAUSE_SECONDS * 2**attempts.transient
            attempts.transient += 1
            self._say(f"{name}: {error.message}; attempt {attempts.made + 1} in {pause:g} s")
            heapq.heappush(self._later, (time.monotonic() + pause, self._ticket, task))
            return
        if error.kind == "user":
            failure: Exception = UserError(error.message)
        elif error.kind == "full":
            failure = StageFailed(f"{error.message} ({name}); free some space and run again: finished tasks are kept")
        elif error.kind == "transient":
            failure = StageFailed(f"{name}: {error.message}, {attempts.made} times; run again to resume")
        else:
            failure = StageFailed(f"{name}: {error.message}", error.traceback)
        self._failure = self._failure or failure

    def _is_new(self, attempts: _Attempts, late: Mark) -> bool:
        """Whether another attempt would leave out, or take apart, what took too long; if not, it counts as a death."""
        return late.name not in (attempts.skip if late.documents == 1 else attempts.slow)

    def _handle_late(self, task: Task, attempts: _Attempts, late: Mark) -> None:
        """Notes what took too long, and has the task tried again."""
        name, reason = f"{self._phase}/{task.id}", reason_of(self._document_seconds)
        if late.documents == 1:
            attempts.deaths.append({"cause": reason, "document": late.name, "quarantined": late.name, "reason": reason})
            self._say(f"{name}: quarantined {late.name!r}: {reason}")
        else:
            attempts.slow.append(late.name)
            self._say(
                f"{name}: a batch of {late.documents:,} documents from {late.name!r} on takes too long; "
                "trying it one document at a time"
            )
        self._remember(task, attempts)
        self._queue.append(task)

    def _handle_death(self, task: Task, attempts: _Attempts, cause: str) -> None:
        self._count_death(task, attempts, cause)
        self._queue.append(task)

    def _count_death(self, task: Task, attempts: _Attempts, cause: str, *, by_driver: bool = False) -> None:
        name = f"{self._phase}/{task.id}"
        document = self._read_breadcrumb(task) if attempts.since_quarantine else None
        attempts.deaths.append({"cause": cause, "document": document})
        since = attempts.since_quarantine
        on_same = sum(1 for death in since if document is not None and death["document"] == document)
        if len(since) >= DEATHS_TO_QUARANTINE and on_same >= DEATHS_TO_QUARANTINE - 1:
            reason = f"ended its worker {len(since)} times ({cause})"
            attempts.deaths[-1] |= {"quarantined": document, "reason": reason}
            self._say(f"{name}: quarantined {document!r}: it {reason}")
        elif len(since) >= MAX_DEATHS and not by_driver:  # a driver may be killed often for no fault of the task's
            self._failure = self._failure or StageFailed(
                f"{name}: its worker died {len(since)} times; the last cause: {cause}; "
                "try smaller parts, fewer workers or more memory, then run again"
            )
        else:
            where = f" on {document!r}" if document else ""
            self._say(f"{name}: worker died{where}: {cause}; trying again one document at a time")
        self._remember(task, attempts)

    def _read_breadcrumb(self, task: Task) -> str | None:
        path = state.breadcrumb_path(self._folder, self._phase, task.id)
        document = storage.read_if_there(path)
        if document is None:
            return None
        storage.remove_file(path)
        return document.decode()

    def _remember(self, task: Task, attempts: _Attempts, pending: bool = False) -> None:
        """Keeps deaths on disk. `pending` marks an attempt inside the driver: if it kills the driver, that is seen."""
        path = state.deaths_path(self._folder, self._phase, task.id)
        if attempts.deaths or attempts.slow or pending:
            record = {"deaths": attempts.deaths, "slow": attempts.slow, "pending": pending}
            storage.commit_bytes(path, state.to_json(record), durable=False)
            self._noted.add(task.id)
        elif task.id in self._noted:
            storage.remove_file(path)
            self._noted.discard(task.id)

    def _recall(self, task: Task) -> _Attempts:
        path = state.deaths_path(self._folder, self._phase, task.id)
        record = state.read_json(path)
        attempts = _Attempts(deaths=record["deaths"], slow=record.get("slow", []))
        if record.get("pending"):
            self._count_death(task, attempts, "the driver died while it worked on this task", by_driver=True)
        return attempts
