"""Progress: a rate and a time left before the first task ends, numbers that are never cut, lines as JSON by setting."""

import json
import re
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import messages, progress
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.lease import take_lease
from corpusmill.pipelines.engine.progress import Advance, Phase, PlainProgress, bar_line, parts_of
from corpusmill.pipelines.engine.scheduler import Scheduler
from corpusmill.pipelines.engine.task import Task

NUMBER = re.compile(r"\d(?:[\d.,:]*\d)?")
TASKS = "tests.pipelines.engine.faulty_tasks"
STATES = st.fixed_dictionaries(
    {
        "stage": st.sampled_from(["documents", "ingest", "quality-domains"]),
        "phase": st.sampled_from(["read", "measure", "survivors"]),
        "seconds": st.floats(0, 400_000),
        "bytes_done": st.integers(0, 10**13),
        "bytes_total": st.integers(0, 10**13),
        "bytes_per_second": st.none() | st.integers(1, 10**10),
        "seconds_left": st.floats(0, 10**7),
        "documents": st.integers(0, 10**10),
        "words": st.just(()) | st.just(("step 120 of 300", "loss 4.312", "5 min left", "1.9k tokens/s")),
    }
)


@given(STATES, st.sampled_from([60, 80, 130]))
@settings(deadline=None)
def test_every_number_of_the_widest_line_is_whole_or_absent_in_a_narrower_one(state: dict, width: int) -> None:
    wide, line = bar_line(state, 400), bar_line(state, width)
    assert len(line) <= width
    assert set(NUMBER.findall(line)) <= set(NUMBER.findall(wide))
    assert progress.clock(state["seconds"]) in line, "the elapsed time is always there"
    assert all(part in wide for part in parts_of(state))


def test_what_is_at_work_counts_before_any_task_ends() -> None:
    phase = Phase("documents", "read", 10_000_000, 2_000_000, lambda: Advance(bytes=3_000_000))
    phase.started -= 2.0
    state = phase.measure()
    assert state["bytes_done"] == 5_000_000
    assert 1.4e6 < state["bytes_per_second"] < 1.6e6 and 3.2 < state["seconds_left"] < 3.4
    assert parts_of(state)[:2] == ["0:03 left", "1.5 MB/s"]
    beyond = Phase("documents", "read", 10_000_000, 0, lambda: Advance(bytes=1e9)).measure()
    assert beyond["bytes_done"] == 10_000_000, "never more than there is"
    assert parts_of(Phase("documents", "read", 10_000_000, 0).measure()) == ["starting", "0.0 of 10.0 MB"]
    expected = Phase("documents", "read", 10_000_000, 0, lambda: Advance(expected=1e6)).measure()
    assert parts_of(expected) == ["starting", "about 0:10 left", "0.0 of 10.0 MB"]
    assert bar_line(Phase("unique", "cluster", 0, 0).measure(), 60) == "unique: cluster  0:00"
    state = {"seconds": 3e-302, "bytes_done": 0, "bytes_total": 1, "bytes_per_second": 1, "seconds_left": 0.0}
    young = {"stage": "documents", "phase": "read", "documents": 1, "words": ()} | state
    assert parts_of(young) == ["0:00 left", "0.0 kB/s", "0.0 of 0.0 MB"], "no rate of a phase that has just begun"


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_report_the_bytes_of_a_task_while_they_are_at_it(workers: int, tmp_path: Path) -> None:
    executor = make_executor("local", workers=workers)
    seen: list[float] = []
    scheduler = Scheduler(
        executor, folder=str(tmp_path), phase="read", kernels=(), lease=take_lease(str(tmp_path)),
        on_end=lambda task, result: None, say=lambda line: None,
    )  # fmt: skip
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            seen.append(scheduler.bytes_at_work())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        scheduler.run([Task(id=f"part-{number}", function=f"{TASKS}:in_batches", bytes=1000) for number in range(2)])
    finally:
        ended.set()
        watcher.join()
        executor.close()
    assert any(0 < done < 1000 for done in seen), "some of a task is done before it ends"
    assert max(seen) <= 1000 * workers


def test_lines_are_json_by_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(messages.VARIABLE, "json")
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.05)
    lines = PlainProgress()
    lines.say("documents: done")
    lines.start("documents", "read", 1000, 0, partial(Advance, bytes=250.0))
    time.sleep(0.3)
    lines.stop()
    first, *rest = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["level"], first["event"], first["message"]) == ("info", "message", "documents: done")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert rest and rest[0]["event"] == "progress"
    assert {"stage": "documents", "phase": "read", "bytes_done": 250, "bytes_total": 1000}.items() <= rest[0].items()


def test_an_unknown_log_format_is_refused_in_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(messages.VARIABLE, "xml")
    with pytest.raises(UserError, match="CORPUSMILL_LOG_FORMAT: no log format 'xml'"):
        messages.choose_log_format(None)
    assert not messages.in_json()
    with pytest.raises(UserError, match="--log-format: no log format 'jsn'; did you mean 'json'"):
        messages.choose_log_format("jsn")


def test_a_terminal_gets_a_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv(messages.VARIABLE, raising=False)
    assert isinstance(progress.make_progress(), progress.TerminalProgress)
    monkeypatch.setenv(messages.VARIABLE, "json")
    assert isinstance(progress.make_progress(), PlainProgress)
