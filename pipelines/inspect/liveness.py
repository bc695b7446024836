"""How a stage at work goes on: rates, time left, what runs where, and what has stalled; from the driver's last note.

A rate is that of the last minutes where samples reach that far back, and that of the whole phase. The time left is a
range between what the two say, and is of the present phase: phases go at different speeds. The slow end has a usual
task's time more, since the last tasks run with ever fewer beside them.

A task is stalled when it has run for `factor` times as long as half of the tasks before it took, and for
`LEAST_STALL_SECONDS` at least. The whole phase is when no task has ended for as long.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from corpusmill.pipelines.engine.record import PhaseRecord, RunningTask

STALLED_FACTOR = 5.0
LEAST_STALL_SECONDS = 30.0
LEAST_WINDOW_SECONDS = 5.0
"""A rate over less time says little."""
LATE_NOTES = 4
"""Notes of a driver that may be missed before it counts as gone, where no lock tells."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What is done in a second, over so many seconds."""

    seconds: float
    documents: float
    bytes: float


@dataclass(frozen=True, kw_only=True)
class Running:
    """A task at work.

    Attributes:
        seconds: since it was handed out, until the driver's last note.
        stalled: whether that is far longer than usual.
    """

    task: str
    worker: str
    attempt: int
    seconds: float
    document: str
    document_seconds: float | None
    stalled: bool


@dataclass(frozen=True, kw_only=True)
class Live:
    """A stage as its driver last noted it.

    Attributes:
        phase: that it is on.
        engine, slots: what its tasks run on, and how many at once.
        age: seconds since the note.
        share: of the phase's bytes that is done; None where nobody knows its bytes.
        recent, overall: rates of the last minutes, and of the phase; None as long as they are not known.
        seconds_left: [fewest, most] for the present phase; None where it is not known.
        median_task_seconds: half of the tasks took no longer.
        since_last_end: seconds, at the time of the note.
        phase_stalled: whether no task has ended for far longer than usual.
    """

    phase: str
    engine: str
    slots: int
    driver: str
    age: float
    share: float | None
    bytes_done: int
    bytes_total: int
    recent: Rate | None
    overall: Rate | None
    seconds_left: tuple[float, float] | None
    median_task_seconds: float | None
    since_last_end: float | None
    phase_stalled: bool
    running: Sequence[Running] = field(default_factory=list)

    @property
    def stalled(self) -> list[Running]:
        return [task for task in self.running if task.stalled]


def is_recent(record: PhaseRecord) -> bool:
    """Whether a driver that left this note is still there, as far as clocks agree."""
    return not record.over and time.time() - record.written < LATE_NOTES * record.every_seconds


def live(record: PhaseRecord, factor: float = STALLED_FACTOR) -> Live:
    """What a note says; a task has stalled that takes `factor` times as long as is usual."""
    recent, overall = _rate_of_samples(record), _rate_of_phase(record)
    usual = record.median_task_seconds
    limit = max(factor * usual, LEAST_STALL_SECONDS) if usual is not None else None
    since_end = record.written - record.last_ended if record.last_ended is not None else None
    return Live(
        phase=record.phase,
        engine=record.engine,
        slots=record.slots,
        driver=record.driver,
        age=max(0.0, time.time() - record.written),
        share=min(record.bytes_done / record.bytes_total, 1.0) if record.bytes_total else None,
        bytes_done=record.bytes_done,
        bytes_total=record.bytes_total,
        recent=recent,
        overall=overall,
        seconds_left=_seconds_left(record, recent, overall),
        median_task_seconds=usual,
        since_last_end=since_end,
        phase_stalled=bool(record.running) and limit is not None and since_end is not None and since_end > limit,
        running=[_running(task, record.written, limit) for task in record.running],
    )


def _running(task: RunningTask, now: float, limit: float | None) -> Running:
    seconds = max(0.0, now - task.since)
    return Running(
        task=task.task,
        worker=task.worker,
        attempt=task.attempt,
        seconds=seconds,
        document=task.document,
        document_seconds=None if task.document_since is None else max(0.0, now - task.document_since),
        stalled=limit is not None and seconds > limit,
    )


def _rate_of_samples(record: PhaseRecord) -> Rate | None:
    """Of the samples that the note holds: the last minutes."""
    if len(record.samples) < 2:
        return None
    (begin, bytes_before, documents_before, _), (end, size, documents, _) = record.samples[0], record.samples[-1]
    seconds = end - begin
    if seconds < LEAST_WINDOW_SECONDS:
        return None
    return Rate(
        seconds=seconds, documents=(documents - documents_before) / seconds, bytes=(size - bytes_before) / seconds
    )


def _rate_of_phase(record: PhaseRecord) -> Rate | None:
    seconds = record.written - record.phase_started
    if seconds <= 0 or record.bytes_done <= record.bytes_before:
        return None
    return Rate(
        seconds=seconds,
        documents=record.documents / seconds,
        bytes=(record.bytes_done - record.bytes_before) / seconds,
    )


def _seconds_left(record: PhaseRecord, recent: Rate | None, overall: Rate | None) -> tuple[float, float] | None:
    rates = [rate.bytes for rate in (recent, overall) if rate is not None and rate.bytes > 0]
    if not rates or not record.bytes_total:
        return None
    left = max(record.bytes_total - record.bytes_done, 0)
    last = record.median_task_seconds or 0.0
    return left / max(rates), left / min(rates) + (last if left else 0.0)
