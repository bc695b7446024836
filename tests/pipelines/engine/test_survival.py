"""What the engine survives, and how it says what it cannot survive. The faults are real: signals, memory, errors."""

import multiprocessing
import os
import platform
import struct
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import record, state
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.guard import Guard
from corpusmill.pipelines.engine.local import ProcessExecutor, _Worker
from corpusmill.pipelines.engine.lock import FolderLock
from corpusmill.pipelines.engine.scheduler import StageFailed
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.engine.task import Call
from tests.pipelines.engine.faulty_tasks import FaultySettings, FaultyStage


class Lines:
    """A progress that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def start(self, stage: str, phase: str, total_bytes: int, done_bytes: int, at_work: Any = None) -> None: ...
    def advance(self, *, count: int, documents: int) -> None: ...
    def stop(self) -> None: ...

    def say(self, line: str) -> None:
        self.said.append(line)


Runner = Callable[..., tuple[Finished, list[str]]]


@pytest.fixture(params=[1, 2])
def workers(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs the faulty stage with the given faults; gives what was finished and what was said."""
    (tmp_path / "scratch").mkdir()

    def go(faults: dict[int, str], *, workers: int = 2, tasks: int = 4, name: str = "out", **options: object):
        lines = Lines()
        make = partial(make_executor, "local", workers=workers, memory_per_worker=options.pop("memory", 0))
        settings = FaultySettings(scratch=str(tmp_path / "scratch"), tasks=tasks, faults=faults)
        with Session(make_executor=make, progress=lines, **options) as session:
            return run_stage(FaultyStage(settings), str(tmp_path / name), session), lines.said

    return go


def attempts(tmp_path: Path, number: int) -> int:
    return int((tmp_path / "scratch" / f"task-{number}.attempts").read_text())


def test_all_tasks_run_once_and_a_second_run_does_nothing(run: Runner, tmp_path: Path, workers: int) -> None:
    done, _ = run({}, workers=workers)
    assert done.manifest["counts"] == {"documents_in": 40, "kept": 40, "quarantined": 0}
    again, _ = run({}, workers=workers)
    assert again.was_done
    assert [attempts(tmp_path, number) for number in range(4)] == [1, 1, 1, 1]


def test_outputs_are_the_same_bytes_for_any_number_of_workers(run: Runner, tmp_path: Path) -> None:
    run({}, workers=1, name="one")
    run({}, workers=2, name="two")
    for path in (tmp_path / "one").glob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_transient_errors_are_tried_again(run: Runner, tmp_path: Path, workers: int) -> None:
    done, said = run({2: "transient"}, workers=workers)
    assert done.manifest["counts"]["kept"] == 40
    assert attempts(tmp_path, 2) == 3
    assert any("the store went away; attempt 2" in line for line in said)


def test_a_users_mistake_is_not_tried_again_and_is_one_line(run: Runner, tmp_path: Path, workers: int) -> None:
    with pytest.raises(UserError) as caught:
        run({1: "user"}, workers=workers)
    assert str(caught.value) == "book.txt: the text is upside down; turn it"
    assert attempts(tmp_path, 1) == 1


def test_a_bug_keeps_its_traceback(run: Runner, tmp_path: Path, workers: int) -> None:
    with pytest.raises(StageFailed) as caught:
        run({0: "bug"}, workers=workers)
    assert "ZeroDivisionError: a bug of ours" in str(caught.value)
    assert "copy_documents" in caught.value.trace
    assert attempts(tmp_path, 0) == 1


def test_a_full_disk_is_one_line_and_what_was_finished_is_kept(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"/somewhere/part: no space left on the device \(copy/task-3\)"):
        run({3: "full"}, workers=1)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/_state/copy").glob("*.json")}
    assert sorted(before) == ["task-0.json", "task-1.json", "task-2.json"]


def test_finished_tasks_are_not_done_again_after_a_failure(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(StageFailed):
        run({3: "full"}, workers=1)
    plan = state.read_json(str(tmp_path / "out/_state/plan.json"))
    plan["settings"]["faults"] = {}
    (tmp_path / "out/_state/plan.json").write_bytes(state.to_json(plan))
    done, _ = run({}, workers=1)
    assert done.manifest["counts"]["kept"] == 40
    assert [attempts(tmp_path, number) for number in range(4)] == [1, 1, 1, 2]


def test_a_worker_killed_once_costs_one_attempt(run: Runner, tmp_path: Path) -> None:
    done, said = run({1: "dies once"})
    assert done.manifest["counts"]["kept"] == 40
    assert attempts(tmp_path, 1) == 2
    assert any("SIGKILL" in line for line in said)


def test_a_poisoned_document_is_quarantined_by_id_and_the_rest_unharmed(run: Runner, tmp_path: Path) -> None:
    done, said = run({2: "poison"})
    assert done.manifest["counts"] == {"documents_in": 40, "kept": 39, "quarantined": 1}
    (bad,) = done.manifest["facts"]["bad"]
    assert bad["id"] == "task-2/7"
    assert bad["reason"].startswith("ended its worker 3 times (killed by SIGKILL")
    assert attempts(tmp_path, 2) == 4, "three deaths, then one that skips the document"
    texts = (tmp_path / "out/task-2.txt").read_text().splitlines()
    assert texts == [f"TEXT TASK-2/{row}" for row in range(10) if row != 7]
    assert any("quarantined 'task-2/7'" in line for line in said)


def test_a_document_that_raises_is_quarantined_with_the_reason(run: Runner, workers: int) -> None:
    done, _ = run({0: "raises"}, workers=workers)
    assert done.manifest["facts"]["bad"] == [{"id": "task-0/3", "reason": "ValueError: cannot read this"}]
    assert done.manifest["counts"] == {"documents_in": 40, "kept": 39, "quarantined": 1}


def test_a_worker_that_always_dies_fails_with_the_cause(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"died 4 times; the last cause: killed by SIGSEGV"):
        run({0: "dies always"})
    assert attempts(tmp_path, 0) == 4


def test_a_task_without_memory_is_ended_with_the_cause_and_bounded_attempts(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"out of memory: the worker held more than its 300 MiB"):
        run({0: "memory"}, tasks=2, memory=300 << 20)
    assert attempts(tmp_path, 0) == 4


def test_a_memory_error_counts_as_a_death(run: Runner, tmp_path: Path, workers: int) -> None:
    with pytest.raises(StageFailed, match=r"out of memory: cannot allocate"):
        run({0: "memory error"}, workers=workers)
    assert attempts(tmp_path, 0) == 4


def test_a_second_driver_is_refused(run: Runner, tmp_path: Path) -> None:
    with FolderLock(str(tmp_path / "out")), pytest.raises(UserError, match="another driver is at work here"):
        run({})
    done, _ = run({})
    assert done.manifest["counts"]["kept"] == 40


def test_other_settings_are_refused_with_the_difference(run: Runner, tmp_path: Path) -> None:
    run({}, workers=1)
    with pytest.raises(UserError, match=r"settings.tasks: 4 -> 5.*--overwrite"):
        run({}, tasks=5, workers=1)
    done, _ = run({}, tasks=5, workers=1, overwrite=True)
    assert done.manifest["counts"]["kept"] == 50


def test_a_folder_of_other_things_is_never_written_to(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="contains other files"):
            run({}, overwrite=overwrite)
    assert (tmp_path / "out/thesis.txt").read_text() == "years of work"


def test_a_lost_output_is_noticed(run: Runner, tmp_path: Path) -> None:
    run({}, workers=1)
    (tmp_path / "out/task-1.txt").write_text("short")
    with pytest.raises(UserError, match="this output was changed"):
        run({}, workers=1)


def test_temporaries_of_killed_attempts_are_removed(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        run({1: "user"}, workers=1)
    (tmp_path / "out/.tmp-abc-task-1.txt").write_text("half")
    with pytest.raises(UserError):
        run({1: "user"}, workers=1)
    assert not (tmp_path / "out/.tmp-abc-task-1.txt").exists()


def test_ctrl_c_is_no_death_of_the_task(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run({1: "interrupted once"}, workers=1)
    done, said = run({1: "interrupted once"}, workers=1)
    assert done.manifest["counts"]["kept"] == 40
    assert said == []


def test_a_driver_that_is_killed_often_goes_on(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run({1: "interrupted once"}, workers=1)
    deaths = [{"cause": "the driver died", "document": None}] * 5
    Path(state.deaths_path(str(tmp_path / "out"), "copy", "task-1")).write_bytes(
        state.to_json({"deaths": deaths, "pending": True})
    )
    done, _ = run({1: "interrupted once"}, workers=1)
    assert done.manifest["counts"]["kept"] == 40


def test_a_document_that_never_ends_is_quarantined_and_the_rest_unharmed(
    run: Runner, tmp_path: Path, workers: int
) -> None:
    done, said = run({1: "stuck"}, workers=workers)
    assert done.manifest["counts"] == {"documents_in": 40, "kept": 39, "quarantined": 1}
    assert done.manifest["facts"]["bad"] == [
        {"id": "task-1/5", "reason": "it took longer than 2 seconds (document_seconds)"}
    ]
    assert (tmp_path / "out/task-1.txt").read_text().splitlines() == [
        f"TEXT TASK-1/{row}" for row in range(10) if row != 5
    ]
    assert attempts(tmp_path, 1) == 3, "the batch, its documents one by one, and without the one"
    assert any("a batch of 10 documents from 'task-1/0' on takes too long" in line for line in said)


def test_files_in_memory_that_a_task_does_not_name_take_no_watch_away(run: Runner, tmp_path: Path) -> None:
    storage.commit_bytes("memory://of-another-run/a", b"a")
    try:
        done, _ = run({1: "stuck"}, workers=1)
    finally:
        storage.remove("memory://of-another-run/a")
    assert done.manifest["counts"]["quarantined"] == 1


def test_what_was_too_slow_is_known_to_the_next_driver(run: Runner, tmp_path: Path) -> None:
    path = Path(state.deaths_path(str(tmp_path / "out"), "copy", "task-1"))
    path.parent.mkdir(parents=True)
    late = {"cause": "slow", "document": "task-1/5", "quarantined": "task-1/5", "reason": "it was slow before"}
    path.write_bytes(state.to_json({"deaths": [late], "slow": ["task-1/0"], "pending": False}))
    done, said = run({1: "stuck"})
    assert (done.manifest["facts"]["bad"], said) == ([{"id": "task-1/5", "reason": "it was slow before"}], [])


def test_a_document_that_makes_a_rust_library_panic_is_quarantined(run: Runner, workers: int) -> None:
    done, _ = run({0: "panics"}, workers=workers)
    (bad,) = done.manifest["facts"]["bad"]
    assert bad["id"] == "task-0/4"
    assert bad["reason"].startswith("PanicException:")
    assert done.manifest["counts"] == {"documents_in": 40, "kept": 39, "quarantined": 1}


@pytest.mark.parametrize("careful", [False, True])
def test_when_most_documents_raise_the_fault_is_ours_in_every_attempt(tmp_path: Path, careful: bool) -> None:
    def broken(documents: pa.RecordBatch) -> None:
        raise ZeroDivisionError("a bug of ours")

    guard = Guard(skip={}, careful=careful, breadcrumb=str(tmp_path / "task.at"))
    batch = pa.RecordBatch.from_pydict({"id": [str(row) for row in range(10)], "text": ["text"] * 10})
    with pytest.raises(ZeroDivisionError):
        list(guard.apply(batch, broken, "memory"))


def test_inputs_that_change_during_the_run_leave_no_manifest(tmp_path: Path) -> None:
    class Changing(FaultyStage):
        looks = 0

        def inputs(self) -> dict[str, object]:
            self.looks += 1
            return {"raw": {"a.jsonl": [self.looks, 0]}}

    (tmp_path / "scratch").mkdir()
    stage = Changing(FaultySettings(scratch=str(tmp_path / "scratch")))
    make = partial(make_executor, "local", workers=1)
    with (
        Session(make_executor=make, progress=Lines()) as session,
        pytest.raises(UserError, match=r"inputs changed while this was made: a\.jsonl changed since"),
    ):
        run_stage(stage, str(tmp_path / "out"), session)
    assert state.read_manifest(str(tmp_path / "out")) is None


def test_a_worker_that_died_idle_costs_no_attempt(tmp_path: Path) -> None:
    executor = ProcessExecutor(workers=1)
    settings = {"folder": str(tmp_path), "phase": "copy", "function": "os:getpid", "arguments": {}}
    try:
        for ticket in (1, 2):
            executor.submit(Call(ticket=ticket, task=f"task-{ticket}", **settings))
            (ended,) = executor.wait(20)
            assert ended.death is None
            (worker,) = executor._workers
            worker.process.kill()
            worker.process.join()
    finally:
        executor.close()


def test_a_worker_that_died_while_it_answered_is_a_death() -> None:
    executor = ProcessExecutor(workers=1)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=os.getpid)
    process.start()
    process.join()
    worker = object.__new__(_Worker)
    worker.connection, worker.process, worker.killed_for = ours, process, None
    worker.call = Call(ticket=1, function="", arguments={}, folder="", phase="", task="")
    executor._workers.append(worker)
    os.write(theirs.fileno(), struct.pack("!i", 1000) + b"the beginning of an answer")
    theirs.close()
    (ended,) = executor.wait(5)
    assert (ended.ticket, ended.death) == (1, "exited with code 0")


def test_a_kill_before_the_manifest_leaves_no_intermediate_files(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out/_state").mkdir(parents=True)
    (tmp_path / "out/_work").mkdir()
    removed = storage.remove

    def killed(path: str) -> None:
        if path.endswith("_work"):
            assert state.read_manifest(str(tmp_path / "out")) is None
        removed(path)

    monkeypatch.setattr(storage, "remove", killed)
    run({}, workers=1)
    assert not (tmp_path / "out/_work").exists()


def test_a_finished_folder_without_its_plan_is_not_written_over(run: Runner, tmp_path: Path) -> None:
    done, _ = run({}, workers=1)
    storage.remove(str(tmp_path / "out/_state"))
    with pytest.raises(UserError, match="its plan is missing"):
        run({}, tasks=2, workers=1)
    assert state.read_manifest(str(tmp_path / "out")) == done.manifest
    assert run({}, tasks=2, workers=1, overwrite=True)[0].manifest["counts"]["kept"] == 20


def test_an_output_needs_a_name(run: Runner, tmp_path: Path) -> None:
    stage = FaultyStage(FaultySettings(scratch=str(tmp_path / "scratch")))
    with Session(make_executor=make_executor, progress=Lines()) as session, pytest.raises(UserError, match="a name"):
        run_stage(stage, "", session)


@pytest.fixture(scope="module")
def ray_session() -> Iterator[Session]:
    lines = Lines()
    with Session(make_executor=partial(make_executor, "ray", workers=2), progress=lines) as session:
        yield session


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "kept"),
    [({}, 40), ({1: "dies once", 2: "transient"}, 40), ({2: "poison", 0: "raises"}, 38), ({1: "stuck"}, 39)],
    ids=["plain", "deaths and transient errors", "poison", "stuck"],
)
def test_ray_survives_the_same_and_gives_the_same_bytes(
    run: Runner, tmp_path: Path, ray_session: Session, faults: dict[int, str], kept: int
) -> None:
    done, _ = run(faults, name="local")
    for path in (tmp_path / "scratch").glob("*"):
        path.unlink()
    settings = FaultySettings(scratch=str(tmp_path / "scratch"), tasks=4, faults=faults)
    on_ray = run_stage(FaultyStage(settings), str(tmp_path / "ray"), ray_session)
    assert on_ray.manifest["counts"] == done.manifest["counts"]
    assert on_ray.manifest["counts"]["kept"] == kept
    assert [bad["id"] for bad in on_ray.manifest["facts"]["bad"]] == [
        bad["id"] for bad in done.manifest["facts"]["bad"]
    ]
    for path in (tmp_path / "local").glob("*.txt"):
        assert path.read_bytes() == (tmp_path / "ray" / path.name).read_bytes()


@pytest.mark.slow
def test_ray_workers_say_where_they_run_and_how_far_they_are(
    tmp_path: Path, ray_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "EVERY_SECONDS", 0.2)
    folder, scratch = str(tmp_path / "out"), tmp_path / "scratch"
    scratch.mkdir()
    stage = FaultyStage(FaultySettings(scratch=str(scratch), faults={2: "waits"}))
    driver = threading.Thread(target=run_stage, args=(stage, folder, ray_session))
    driver.start()
    try:
        deadline = time.monotonic() + 60
        while not (seen := _running_on_ray(folder)) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        (scratch / "go").touch()
        driver.join(60)
    (task,) = seen
    node, _, process = task.worker.rpartition(":")
    assert (task.task, node) == ("task-2", platform.node())
    assert int(process) != os.getpid()
    assert state.read_manifest(folder) is not None
    assert not (tmp_path / "out/_state/running").exists()


def _running_on_ray(folder: str) -> list[record.RunningTask]:
    """The one task that is left, when its worker is known."""
    noted = record.read_record(folder)
    left = noted.running if noted else []
    return left if len(left) == 1 and left[0].worker else []


@pytest.mark.slow
def test_ray_shows_the_cause_of_death(tmp_path: Path, ray_session: Session) -> None:
    (tmp_path / "scratch").mkdir()
    settings = FaultySettings(scratch=str(tmp_path / "scratch"), faults={0: "dies always"})
    with pytest.raises(StageFailed, match="died 4 times; the last cause: the worker process died"):
        run_stage(FaultyStage(settings), str(tmp_path / "out"), ray_session)
    assert attempts(tmp_path, 0) == 4
