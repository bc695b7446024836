"""A phase that has come to a stand is named: by the clock here, by stopped workers where it is slow."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from corpusmill.pipelines.engine import stalls
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Session, run_stage
from corpusmill.pipelines.engine.stalls import StallWatch
from corpusmill.pipelines.engine.task_input import input_of
from tests.pipelines.engine.faulty_tasks import FaultySettings, FaultyStage
from tests.pipelines.engine.test_survival import Lines


class Standing:
    """What a watch asks of a scheduler."""

    def __init__(self, worker: str = "node-3:77") -> None:
        self.last_ended: float | None = 1000.0
        self.task_seconds: deque[float] = deque([4.0, 5.0, 900.0])
        self.worker = worker

    def longest_running(self, number: int) -> list[dict[str, Any]]:
        return [{"task": "part-00007", "since": 995.0, "input": "/raw/7.gz", "worker": self.worker, "document": "a#1"}]


@pytest.fixture
def said() -> list[str]:
    return []


def watch(scheduler: Any, said: list[str]) -> StallWatch:
    return StallWatch(scheduler, "read", said.append)


def test_a_stand_is_said_with_task_node_input_and_document(said: list[str]) -> None:
    looking = watch(Standing(), said)
    looking.look(1049.9)
    assert said == []
    looking.look(1050.0)
    assert said == [
        "read: no task has ended for 0:50, where one takes 5.0 s; "
        "part-00007 on node-3:77 since 0:55, of /raw/7.gz, at 'a#1'"
    ]


def test_it_is_said_again_when_as_much_time_has_passed_and_anew_after_an_end(said: list[str]) -> None:
    scheduler = Standing()
    looking = watch(scheduler, said)
    for now in range(1050, 1100, 5):
        looking.look(float(now))
    assert len(said) == 1
    looking.look(1100.0)
    assert len(said) == 2
    scheduler.last_ended = 1101.0
    looking.look(1149.0)
    assert len(said) == 2
    looking.look(1152.0)
    assert len(said) == 3


def test_short_tasks_may_pause_for_half_a_minute(said: list[str]) -> None:
    scheduler = Standing()
    scheduler.task_seconds = deque([0.1])
    watch(scheduler, said).look(1029.0)
    assert said == []
    watch(scheduler, said).look(1031.0)
    assert len(said) == 1


@pytest.mark.parametrize(("worker", "lines"), [("node:1", 0), ("", 1)])
def test_before_any_end_only_tasks_that_nobody_reports_from_are_named(said: list[str], worker: str, lines: int) -> None:
    scheduler = Standing(worker)
    scheduler.task_seconds, scheduler.last_ended = deque(), None
    watch(scheduler, said).look(time.time() + 200)
    assert len(said) == lines
    assert all("ray status" in line and "where is not known" in line for line in said)


@dataclass(frozen=True)
class Piece:
    path: str
    stop: int


@dataclass(frozen=True)
class Work:
    format: str
    pieces: tuple[Piece, ...]


def test_the_input_of_a_task_is_the_first_path_among_its_arguments() -> None:
    work = Work("text/plain or so", (Piece("/raw/a.jsonl", 1), Piece("s3://b/c", 2), Piece("/raw/a.jsonl", 3)))
    assert input_of(work) == "/raw/a.jsonl and 1 more"
    assert input_of({"x": [1, None, "/a/b"]}) == "/a/b"
    assert input_of({"path": "o1/part-00000.parquet", "rules": ["gopher-quality/words"]}) == "o1/part-00000.parquet"
    assert input_of(None) == ""


def _stop_the_worker_of(task: str, scratch: Path, stopped: list[int], over: threading.Event) -> None:
    """Stops (SIGSTOP) the process that works on a task, once it says which one it is; lets it go on when it is over."""
    path = scratch / f"{task}.process"
    while not (path.exists() and path.read_text()) and not over.wait(0.02):
        pass
    if path.exists():
        over.wait(2.0)  # Ray's workers tell what they are on once a second
        stopped.append(int(path.read_text()))
        os.kill(stopped[0], signal.SIGSTOP)
        over.wait(100)
        os.kill(stopped[0], signal.SIGCONT)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_stopped_worker_is_named_within_a_minute(
    engine: str, tmp_path: Path, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "LOOK_SECONDS", 1.0)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "scratch").mkdir()
    stopped: list[int] = []
    stopper = threading.Thread(target=_stop_the_worker_of, args=("task-3", tmp_path / "scratch", stopped, over))
    stopper.start()

    class Listening(Lines):
        def say(self, line: str) -> None:
            super().say(line)
            if "no task has ended" in line:
                over.set()

    lines = Listening()
    settings = FaultySettings(scratch=str(tmp_path / "scratch"), tasks=4, faults={3: "says its process"})
    with Session(make_executor=partial(make_executor, engine, workers=2), progress=lines) as session:
        began = time.monotonic()
        run_stage(FaultyStage(settings), str(tmp_path / "out"), session)
    stopper.join()
    line = next(line for line in lines.said if "no task has ended" in line)
    assert "task-3 on " in line and f":{stopped[0]} since" in line and str(tmp_path / "scratch") in line
    assert time.monotonic() - began < 100
