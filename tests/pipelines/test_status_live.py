"""`corpusmill status` of a run that is going on: rates, time left, running and stalled tasks, from another process."""

import contextlib
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc import storage
from corpusmill.pipelines.cli import status as command
from corpusmill.pipelines.cli.main import main
from corpusmill.pipelines.engine import record as records
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.lock import FolderLock
from corpusmill.pipelines.engine.progress import SilentProgress
from corpusmill.pipelines.engine.record import RECORD, PhaseRecord, RunningTask, read_record
from corpusmill.pipelines.engine.stage import Session, run_stage
from corpusmill.pipelines.guarded_streams import Console
from corpusmill.pipelines.inspect.liveness import LEAST_STALL_SECONDS, is_recent, live
from corpusmill.pipelines.inspect.status import StageStatus, run_status, status_values
from tests.pipelines.engine.faulty_tasks import FaultySettings, FaultyStage

DRIVER = """
import sys
from corpusmill.pipelines.engine import record
record.EVERY_SECONDS = 0.1
from tests.pipelines.test_status_live import drive
drive(sys.argv[1], sys.argv[2], workers=2)
"""
SECONDS = 40


def drive(folder: str, scratch: str, workers: int) -> None:
    """Runs five tasks, the last of which wait for a file `go`."""
    stage = FaultyStage(FaultySettings(scratch=scratch, tasks=5, faults={1: "raises", 3: "waits", 4: "waits"}))
    make = partial(make_executor, "local", workers=workers)
    with Session(make_executor=make, progress=SilentProgress()) as session:
        run_stage(stage, folder, session)


def _wait_for(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.05)
    raise AssertionError("this did not happen")


def _status(folder: object) -> StageStatus:
    (line,) = run_status(str(folder))
    return line


def test_a_run_is_seen_from_another_process_while_it_goes_on_and_after_it_was_killed(tmp_path: Path) -> None:
    folder, scratch = tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, folder, scratch], cwd=Path(__file__).parents[2])

    def both_wait() -> StageStatus | None:
        if not (folder / "_state" / RECORD).exists():
            return None
        line = _status(folder)
        waiting = line.live and [task.task for task in line.live.running] == ["task-3", "task-4"]
        return line if waiting and line.phases == [("copy", 3, 5)] else None

    try:
        line = _wait_for(both_wait)
        assert (line.state, line.holder) == ("at work", f"process {driver.pid} on {_node()}")
        assert line.counts == {"documents_in": 30, "quarantined": 1}
        assert line.live is not None and line.live.slots == 2 and line.live.share == 0.6
        workers = {task.worker for task in line.live.running}
        assert len(workers) == 2 and all(worker.startswith(f"{_node()}:") for worker in workers)
        assert line.live.overall is not None and line.live.overall.bytes > 0
    finally:
        driver.kill()
        driver.wait()
    line = _status(folder)
    assert line.state == "stopped" and line.phases == [("copy", 3, 5)]
    assert line.live is not None and [task.task for task in line.live.running] == ["task-3", "task-4"]
    (scratch / "go").touch()
    drive(str(folder), str(scratch), workers=1)
    line = _status(folder)
    assert (line.state, line.live, line.counts["kept"]) == ("done", None, 49)
    noted = read_record(str(folder))
    assert noted is not None and noted.over and noted.running == []
    assert noted.phases["copy"] == {"finished": 5, "documents": 50, "quarantined": 1, "whole": True}


def _node() -> str:
    import platform

    return platform.node()


@pytest.fixture
def remote() -> Iterator[str]:
    yield "memory://status/out"
    fsspec.filesystem("memory").rm("/status", recursive=True)


def test_an_object_store_is_asked_for_listings_and_the_note_alone(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "EVERY_SECONDS_REMOTE", 0.1)
    thread = threading.Thread(target=drive, args=(remote, str(tmp_path), 1))
    thread.start()
    path = storage.join(remote, state.STATE, RECORD)
    _wait_for(lambda: storage.exists(path) and (noted := read_record(remote)) and noted.phases["copy"]["finished"] == 3)
    opened, opening = [], storage.open_input

    def counted(path: str) -> Any:
        opened.append(path.rsplit("/", 1)[-1])
        return opening(path)

    try:
        monkeypatch.setattr(storage, "open_input", counted)
        line = _status(remote)
        assert {name for name in opened if name.startswith("task")} == set()
    finally:
        monkeypatch.setattr(storage, "open_input", opening)
        (tmp_path / "go").touch()
        thread.join(SECONDS)
    assert (line.state, line.phases) == ("at work", [("copy", 3, 5)])
    assert line.counts == {"documents_in": 30, "quarantined": 1}
    assert line.live is not None and [task.task for task in line.live.running] == ["task-3"]
    assert _status(remote).state == "done"


def _record(**changes: Any) -> PhaseRecord:
    now = time.time()
    about: dict[str, Any] = {
        "phase": "copy", "engine": "2 local processes", "slots": 2, "driver": "process 1 on here", "tasks": 10,
        "every_seconds": 5.0, "written": now, "over": False, "phase_started": now - 100, "last_ended": now - 8,
        "bytes_total": 1000, "bytes_before": 100, "bytes_done": 600, "documents": 50, "median_task_seconds": 10.0,
        "samples": [(now - 50, 400, 30, 3), (now, 600, 50, 5)],
        "phases": {"copy": {"finished": 5, "documents": 50, "quarantined": 0, "whole": True}},
        "running": [RunningTask(task="task-7", since=now - 60, attempt=2, worker="a:1", document="d")],
    }  # fmt: skip
    return PhaseRecord(**(about | changes))


def test_rates_are_those_of_the_last_minutes_and_of_the_phase_and_what_is_left_lies_between() -> None:
    seen = live(_record())
    assert seen.recent is not None and (seen.recent.bytes, seen.recent.documents) == pytest.approx((4.0, 0.4))
    assert seen.overall is not None and (seen.overall.bytes, seen.overall.documents) == pytest.approx((5.0, 0.5))
    assert seen.seconds_left == pytest.approx((400 / 5.0, 400 / 4.0 + 10.0))
    assert seen.share == 0.6


def test_a_task_has_stalled_that_takes_far_longer_than_half_of_the_others() -> None:
    assert [task.stalled for task in live(_record()).running] == [True]
    assert live(_record(), factor=7.0).stalled == []
    assert live(_record(median_task_seconds=None)).stalled == []
    quick = _record(median_task_seconds=0.1, running=[RunningTask(task="t", since=time.time() - 20, attempt=1)])
    assert LEAST_STALL_SECONDS > 20
    assert live(quick).stalled == []
    assert not live(_record()).phase_stalled
    assert live(_record(last_ended=time.time() - 51)).phase_stalled


def test_a_driver_that_left_no_note_of_late_counts_as_gone_where_no_lock_tells() -> None:
    assert is_recent(_record())
    assert not is_recent(_record(over=True))
    assert not is_recent(_record(written=time.time() - 60))


@given(
    done=st.integers(0, 1000), before=st.integers(0, 1000), early=st.integers(0, 1000), seconds=st.floats(0, 1e4),
    usual=st.none() | st.floats(0, 1e4),
)  # fmt: skip
def test_the_range_of_what_is_left_is_one(done: int, before: int, early: int, seconds: float, usual: float) -> None:
    now = time.time()
    samples = [(now - seconds, early, 0, 0), (now, done, 0, 0)]
    seen = live(
        _record(bytes_done=done, bytes_before=before, samples=samples, median_task_seconds=usual, written=now)
    ).seconds_left
    assert seen is None or 0 <= seen[0] <= seen[1]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A stage as if its driver had just left a note."""
    folder = tmp_path / "run" / "clean"
    (folder / "_state/copy").mkdir(parents=True)
    plan = {"stage": "faulty", "stage_version": 1, "seed": 0, "settings": {}, "inputs": {}}
    (folder / "_state/plan.json").write_bytes(state.to_json(plan))
    noted = _record()
    values = vars(noted) | {"schema": records.SCHEMA, "stage": "faulty", "running": [vars(t) for t in noted.running]}
    (folder / "_state" / RECORD).write_bytes(state.to_json(values))
    return folder


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"schema": 99}', b'{"schema": 1}', b'{"schema": 1, "running": 3}'])
def test_a_note_that_cannot_be_read_is_none(planted: Path, content: bytes) -> None:
    (planted / "_state" / RECORD).write_bytes(content)
    assert read_record(str(planted)) is None
    assert _status(planted).live is None


def _print(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["corpusmill", "status", *arguments])
    monkeypatch.setattr(command, "ENDED_SECONDS", 0.2)
    with contextlib.suppress(SystemExit):
        main()
    return capsys.readouterr().out.splitlines()


def test_the_view_names_rates_workers_and_what_has_stalled(
    planted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FolderLock(str(planted)):
        lines = _print(monkeypatch, capsys, str(planted.parent))
        (values,) = status_values("run", run_status(str(planted)))["stages"]
    assert lines[1].split()[:3] == ["clean", "at", "work"] and "copy 0/10" in lines[1]
    assert "clean: copy 60%, 0.0 kB/s of late, 0.0 kB/s overall, 1:20 to 1:50 left, 1 of 2 at work" in lines[2]
    assert lines[2].endswith("1 stalled")
    assert lines[-1].split()[:2] == ["copy/task-7", "1:00"] and lines[-1].endswith("attempt 2, stalled, usually 0:10")
    assert json.loads(json.dumps(values))["live"]["running"][0]["worker"] == "a:1"


def test_off_a_terminal_watching_prints_a_line_a_look_until_the_run_has_ended(
    planted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FolderLock(str(planted)):
        looks = command._looks(str(planted), 5.0, 0.01)
        assert [next(looks)[0].state for _ in range(3)] == ["at work"] * 3
    lines = _print(monkeypatch, capsys, str(planted), "--watch", "--every", "0.1")
    assert lines == ["clean: stopped, 0/10 tasks"]
    objects = [json.loads(line) for line in _print(monkeypatch, capsys, str(planted), "--watch", "--json")]
    assert objects[0]["stages"][0]["state"] == "stopped" and len(objects) > 1


def test_on_a_terminal_the_view_is_drawn_again_in_place(planted: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    command._redraw(console, iter([run_status(str(planted))] * 3))
    written = console.file.getvalue()
    assert written.count("clean") >= 3
    assert "\x1b[1A" in written
