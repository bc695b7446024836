"""Workers of a driver that is gone write nothing for it, and end."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import lease, state
from corpusmill.pipelines.engine.lease import holds_lease, require_lease, take_lease
from corpusmill.pipelines.engine.task import Call
from corpusmill.pipelines.engine.worker import TaskContext, run_call


def write_a_file(task: TaskContext) -> dict[str, int]:
    """A task; in between, when its arguments say so, another driver takes the folder over."""
    with storage.commit_file(task.path("part.txt")) as file:
        file.write(b"text")
        if task.arguments.get("taken over"):
            take_lease(task.folder)
    return {"documents_in": 1}


def call(folder: Path, token: str, **arguments: object) -> Call:
    function = f"{__name__}:write_a_file"
    return Call(
        ticket=1, function=function, arguments=arguments, folder=str(folder), phase="copy", task="t", lease=token
    )


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != lease.LEASE)


def test_the_last_driver_holds_the_lease(tmp_path: Path) -> None:
    first = take_lease(str(tmp_path))
    assert holds_lease(str(tmp_path), first)
    second = take_lease(str(tmp_path))
    assert not holds_lease(str(tmp_path), first)
    require_lease(str(tmp_path), second)
    with pytest.raises(UserError, match="another driver has taken over this output"):
        require_lease(str(tmp_path), first)


def test_a_folder_that_is_gone_has_no_lease(tmp_path: Path) -> None:
    token = take_lease(str(tmp_path / "out"))
    storage.remove(str(tmp_path / "out"))
    assert not holds_lease(str(tmp_path / "out"), token)


def test_a_task_of_the_present_driver_leaves_its_output_and_its_marker(tmp_path: Path) -> None:
    ended = run_call(call(tmp_path, take_lease(str(tmp_path))))
    assert ended.error is None
    assert files(tmp_path) == ["part.txt", "t.json"]
    assert state.finished_tasks(str(tmp_path), "copy") == {"t"}


def test_a_task_of_a_former_driver_writes_nothing_not_even_a_folder(tmp_path: Path) -> None:
    former = take_lease(str(tmp_path))
    take_lease(str(tmp_path))
    ended = run_call(call(tmp_path, former))
    assert ended.error is not None
    assert "another driver" in ended.error.message
    assert files(tmp_path) == []
    assert not (tmp_path / state.STATE / "copy").exists()


def test_a_takeover_in_the_middle_of_a_write_stops_it(tmp_path: Path) -> None:
    ended = run_call(call(tmp_path, take_lease(str(tmp_path)), **{"taken over": True}))
    assert ended.error is not None
    assert files(tmp_path) == []


def test_writes_outside_a_task_need_no_lease(tmp_path: Path) -> None:
    run_call(call(tmp_path, "never taken"))
    storage.commit_bytes(str(tmp_path / "free.txt"), b"text")
    assert files(tmp_path) == ["free.txt"]


def test_a_worker_that_computes_for_a_former_driver_ends(tmp_path: Path) -> None:
    token = take_lease(str(tmp_path))
    body = (
        "import time; from pipelines.engine.lease import ends_with_lease\n"
        f"with ends_with_lease({str(tmp_path)!r}, {token!r}): print('at work', flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "at work\n"
    time.sleep(1.5 * lease.POLL_SECONDS)
    assert worker.poll() is None, "its driver is still the folder's"
    take_lease(str(tmp_path))
    assert worker.wait(20) == lease.GONE_EXIT_CODE
