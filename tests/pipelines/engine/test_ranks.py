"""Tasks of several processes: what comes of them, which error is told, and that none is left behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.lease import take_lease
from corpusmill.pipelines.engine.ranks import launched_ranks, outcome, start_here
from corpusmill.pipelines.engine.ray_ranks import choose_device, cpus_per_rank
from corpusmill.pipelines.engine.scheduler import Scheduler, StageFailed
from corpusmill.pipelines.engine.state import to_json
from corpusmill.pipelines.engine.task import Call, Ended, Task, TaskFailed
from corpusmill.pipelines.engine.worker import run_call
from tests.pipelines.road import ROOT, environment

FUNCTION = "tests.pipelines.engine.rank_tasks:run_all"


def ended(folder: Path, **arguments: str) -> Ended:
    """How a task of two ranks ends, in this process."""
    lease = take_lease(str(folder))
    return run_call(
        Call(ticket=1, function=FUNCTION, arguments={key[1:]: value for key, value in arguments.items()},
             folder=str(folder), phase="steps", task="one", ranks=2, lease=lease),
        start_here,
    )  # fmt: skip


def processes(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in sorted(folder.glob("rank-*.pid")) if path.read_text()]


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(map(psutil.pid_exists, pids)):
        assert time.monotonic() < deadline, "a rank outlived its task"
        time.sleep(0.02)


def test_the_result_is_that_of_rank_0(tmp_path: Path) -> None:
    assert ended(tmp_path).result == {"rank": 0, "of": 2, "by": os.getpid()}
    assert len(processes(tmp_path)) == 2


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_ends_the_others_with_its_own_error(
    tmp_path: Path, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpusmill.pipelines.engine.ranks.GRACE_SECONDS", 0.5)
    started = time.monotonic()
    error = ended(tmp_path, **{f"_{rank}": "user", f"_{1 - rank}": "waits"}).error
    assert error is not None and (error.kind, error.message) == ("user", "book.txt: the text is upside down; turn it")
    assert time.monotonic() - started < 30
    wait_until_gone(processes(tmp_path))


def test_a_bug_keeps_its_traceback_and_goes_before_what_it_broke(tmp_path: Path) -> None:
    error = ended(tmp_path, _0="broken", _1="bug").error
    assert error is not None and (error.kind, error.message) == ("bug", "ZeroDivisionError: a bug of ours")
    assert "rank_tasks.py" in error.traceback
    assert "a bug of ours" in (tmp_path / "_state/rank-1.log").read_text()


def test_a_rank_that_is_killed_costs_an_attempt(tmp_path: Path) -> None:
    said: list[str] = []
    results: list[dict] = []
    scheduler = Scheduler(
        make_executor("local", workers=1), folder=str(tmp_path), phase="steps", kernels=(),
        lease=take_lease(str(tmp_path)), on_end=lambda task, result: results.append(result),
        say=said.append,
    )  # fmt: skip
    scheduler.run([Task(id="one", function=FUNCTION, arguments={"1": "dies once"}, ranks=2)])
    assert [result["rank"] for result in results] == [0]
    assert len(said) == 1 and "rank 1 was lost: killed by SIGKILL" in said[0] and "attempt 2" in said[0]


def test_ranks_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from tests.pipelines.engine.test_ranks import ended; "
        f"ended(Path({str(tmp_path)!r}), _0='waits', _1='waits')"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment())
    try:
        deadline = time.monotonic() + 60
        while len(processes(tmp_path)) < 2:
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    wait_until_gone(processes(tmp_path))


def test_the_first_cause_is_told(tmp_path: Path) -> None:
    def reports(name: str, *contents: dict) -> str:
        for rank, report in enumerate(contents):
            storage.commit_bytes(str(tmp_path / name / f"{rank}.json"), to_json(report))
        return str(tmp_path / name)

    bug = {"error": {"kind": "bug", "message": "ValueError: x", "traceback": "here"}}
    broken = {"error": {"kind": "bug", "message": "RuntimeError: [/gloo/] Connection closed by peer", "traceback": ""}}
    full = {"error": {"kind": "full", "message": "no space", "traceback": ""}}
    for name, contents, said in (("one", (broken, bug), "ValueError: x"), ("two", (bug, full), "no space")):
        with pytest.raises(TaskFailed, match=said):
            outcome(reports(name, *contents), {0: "exited with code 1", 1: "exited with code 1"})
    with pytest.raises(ConnectionError, match="rank 1 was lost: killed by SIGSEGV"):
        outcome(reports("three", broken), {0: "exited with code 1", 1: "killed by SIGSEGV"})
    with pytest.raises(ConnectionError, match="rank 0 lost the others"):
        outcome(reports("four", broken), {0: "exited with code 1"})
    assert outcome(reports("five", {"result": {"a": 1}}, {"result": {}}), {}) == {"a": 1}


def test_a_task_that_always_loses_ranks_fails_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpusmill.pipelines.engine.scheduler.FIRST_PAUSE_SECONDS", 0.01)
    scheduler = Scheduler(
        make_executor("local", workers=1), folder=str(tmp_path), phase="steps", kernels=(),
        lease=take_lease(str(tmp_path)), on_end=lambda task, result: None, say=lambda line: None,
    )  # fmt: skip
    with pytest.raises(StageFailed, match=r"rank 0 lost the others.*4 times; run again to resume"):
        scheduler.run([Task(id="one", function=FUNCTION, arguments={"0": "broken", "1": "broken"}, ranks=2)])


def test_each_rank_reserves_the_cpus_that_it_uses_or_fewer() -> None:
    nodes = [{"CPU": 3.0}, {"CPU": 2.0, "GPU": 1.0}]
    fitting = partial(cpus_per_rank, nodes)
    assert [fitting(1, 8), fitting(2, 2), fitting(2, 8), fitting(3, 2), fitting(5, 1)] == [3, 2, 2, 1, 1]
    with pytest.raises(Exception, match="6 ranks need a CPU each, and Ray has 5"):
        fitting(6, 1)


def test_gpus_are_taken_where_there_are_enough_and_too_few_are_an_error() -> None:
    nodes = [{"CPU": 3.0}, {"CPU": 2.0, "GPU": 1.0}]
    assert choose_device(nodes, 1, "auto") == "cuda" and choose_device(nodes, 2, "cpu") == "cpu"
    assert choose_device(nodes[:1], 2, "auto") == "cpu"
    for wanted, known in (("auto", nodes), ("cuda", nodes[:1])):
        with pytest.raises(Exception, match="2 ranks need a GPU each"):
            choose_device(known, 2, wanted)


def test_a_launchers_variables_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert launched_ranks() == 1
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launched_ranks() == 4
