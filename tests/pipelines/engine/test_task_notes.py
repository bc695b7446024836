"""What a worker out of reach notes of its task, and what the driver reads of it."""

import time
from pathlib import Path

import pytest

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine import task_notes
from corpusmill.pipelines.engine.heartbeat import HEARTBEAT_BYTES, Heartbeat
from corpusmill.pipelines.engine.task import Call
from corpusmill.pipelines.engine.task_notes import Notes, note_path, noting, remove_notes


def _call(folder: Path, ticket: int = 1) -> Call:
    return Call(ticket=ticket, function="", arguments=None, folder=str(folder), phase="copy", task=f"task-{ticket}")


def test_a_short_task_notes_nothing(tmp_path: Path) -> None:
    heartbeat = Heartbeat(bytearray(HEARTBEAT_BYTES))
    with noting(_call(tmp_path), lambda: (0.0, heartbeat.read())):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_long_task_is_seen_with_its_document_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_notes, "EVERY_SECONDS", 0.02)
    heartbeat, call, notes = Heartbeat(bytearray(HEARTBEAT_BYTES)), _call(tmp_path), Notes()
    heartbeat.write("web/a#1", 1)
    with noting(call, lambda: (300.0, heartbeat.read())):
        deadline = time.monotonic() + 20
        while not (seen := notes.of({1: call})) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (seen[1].bytes, seen[1].document) == (300.0, "web/a#1")
        assert seen[1].document_since is not None and 0 <= time.time() - seen[1].document_since < 20
    assert not Path(note_path(call)).exists()
    assert notes.of({}) == {}


def test_only_some_are_read_at_a_time_and_none_twice_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_notes, "MOST_READ", 3)
    calls = {ticket: _call(tmp_path, ticket) for ticket in range(1, 6)}
    for call in calls.values():
        storage.commit_bytes(note_path(call), b'{"worker": "a:1", "bytes": 5.0}')
    storage.commit_bytes(note_path(calls[5]), b'{"worker": "a:1", "unknown": 5.0}')
    notes = Notes()
    assert [len(notes.of(calls)) for _ in range(3)] == [3, 4, 4]
    remove_notes(str(tmp_path))
    assert len(notes.of(calls)) == 4
    assert not Path(note_path(calls[1])).exists()
