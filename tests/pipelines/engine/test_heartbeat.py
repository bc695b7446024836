"""What a worker publishes of itself: read back as written, late when it should be, and silent when nothing moves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc import watching
from corpusmill.pipelines.engine import heartbeat, silence, state
from corpusmill.pipelines.engine.heartbeat import HEARTBEAT_BYTES, START_SECONDS, Heartbeat, Mark, PublishedWatch
from corpusmill.pipelines.engine.silence import Silence, silent_workers
from corpusmill.pipelines.engine.task import Call


@given(st.lists(st.tuples(st.text(st.characters(codec=None), max_size=5000), st.integers(0, 1 << 40)), max_size=5))
def test_what_is_written_is_read(marks: list[tuple[str, int]]) -> None:
    shared = bytearray(HEARTBEAT_BYTES)
    ours, theirs = Heartbeat(shared), Heartbeat(shared)
    for number, (name, documents) in enumerate(marks):
        ours.write(name, documents)
        mark = theirs.read()
        assert (mark.count, mark.documents, mark.since > 0) == (2 * number + 2, documents, documents > 0)
        assert name.startswith(mark.name)
        assert mark.name == name or len(name.encode("utf-8", "surrogatepass")) >= heartbeat.NAME_BYTES


def test_a_mark_that_was_never_finished_is_no_mark() -> None:
    shared = bytearray(HEARTBEAT_BYTES)
    Heartbeat(shared).write("a", 1)
    shared[0] = 3
    assert Heartbeat(shared).read().since == 0


def test_a_batch_has_longer_than_a_document_and_the_first_has_time_to_load() -> None:
    def mark(seconds: float, documents: int, grace: float = 0.0) -> Mark:
        return Mark(count=2, since=time.monotonic() - seconds, grace=grace, documents=documents, name="a")

    assert mark(11, 1).is_late(10)
    assert not mark(9, 1).is_late(10)
    assert not mark(29, 2).is_late(10)
    assert mark(31, 2).is_late(10)
    assert not mark(11, 1, START_SECONDS).is_late(10)
    assert not Mark(count=2, since=0.0, grace=0.0, documents=0, name="").is_late(10)


@pytest.mark.parametrize(("ready", "first"), [(False, START_SECONDS), (True, 0.0)])
def test_only_what_comes_first_has_time_to_load(ready: bool, first: float) -> None:
    shared = Heartbeat(bytearray(HEARTBEAT_BYTES))
    graces = []
    with watching.watched_by(PublishedWatch(shared, {})):
        if ready:
            watching.ready()
        for name in "ab":
            with watching.document(name):
                graces.append(shared.read().grace)
    assert graces == [first, 0.0]


def test_a_document_that_was_too_slow_is_not_begun_again() -> None:
    with watching.watched_by(PublishedWatch(None, {"a": "it was too slow"})):
        with pytest.raises(watching.TooSlow, match="it was too slow"), watching.document("a"):
            raise AssertionError("begun")
        with watching.document("b"):
            pass
    with watching.document("a"):
        pass


def test_a_stopped_worker_is_named_until_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 0.2)
    watch = Silence(Call(ticket=1, function="", arguments={}, folder=str(tmp_path), phase="copy", task="task-1"))
    mark = Mark(count=2, since=time.monotonic(), grace=0.0, documents=1, name="web/a#1")
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.kill(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while not (noted := silent_workers(str(tmp_path), "copy")) and time.monotonic() < deadline:
            watch.look(process.pid, mark)
            time.sleep(0.05)
        assert noted["task-1"]["document"] == "web/a#1"
        assert noted["task-1"]["worker"].endswith(f":{process.pid}")
        assert state.finished_tasks(str(tmp_path), "copy") == set()
        os.kill(process.pid, signal.SIGCONT)
        while silent_workers(str(tmp_path), "copy") and time.monotonic() < deadline:
            watch.look(process.pid, mark)
            time.sleep(0.05)
        assert silent_workers(str(tmp_path), "copy") == {}
    finally:
        process.kill()
        process.wait()
