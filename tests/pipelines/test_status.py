"""`corpusmill status`: done, at work or stopped, without touching what it looks at."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.main import main
from corpusmill.pipelines.cli.status import _looks
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lock import FolderLock
from corpusmill.pipelines.inspect.status import lock_holder, run_status, stages_to_come
from tests.pipelines.small_run import GOOD, make_run

DEDUP = ["layout", "sign", "pairs", "cluster", "members", "route", "survivors", "apply"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("status"))


@pytest.fixture
def stopped(made: Path, tmp_path: Path) -> Path:
    """The run as if dedup had been killed after it had signed its documents."""
    run = tmp_path / "run"
    shutil.copytree(made, run)
    (run / "unique/_manifest.json").unlink()
    (run / "unique/_state/seconds.json").unlink()
    for phase in DEDUP[2:]:
        shutil.rmtree(run / "unique/_state" / phase)
    record = run / "unique/_state/progress.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"phase": "sign", "tasks": 1}))
    return run


def test_a_finished_run_is_done(made: Path) -> None:
    lines = run_status(str(made))
    assert [(line.name, line.state) for line in lines] == [("documents", "done"), ("clean", "done"), ("unique", "done")]
    assert lines[1].phases == [("measure", 1, 1)]
    assert [phase for phase, _, _ in lines[2].phases] == DEDUP
    assert lines[1].counts["rejected"] == 1
    assert all(line.seconds is not None for line in lines)


def test_a_killed_stage_is_stopped_and_says_what_is_left(stopped: Path) -> None:
    unique = run_status(str(stopped))[2]
    assert unique.state == "stopped"
    assert unique.phases == [(phase, int(number < 2), 1) for number, phase in enumerate(DEDUP)]
    assert unique.counts == {"documents_in": GOOD + 2}
    assert unique.seconds is None


def test_stages_that_the_recipe_names_are_to_come(stopped: Path) -> None:
    lines = run_status(str(stopped))
    assert stages_to_come(str(stopped), lines) == []
    assert stages_to_come(str(stopped), lines[:1]) == ["clean", "unique"]
    assert stages_to_come(str(stopped / "unique"), lines[2:]) == []


def test_watching_a_run_that_is_done_looks_once(made: Path) -> None:
    assert len(list(_looks(str(made), 5.0, 0.01))) == 1


def test_a_locked_stage_is_at_work_and_its_lock_is_left_alone(stopped: Path) -> None:
    folder = stopped / "unique"
    with FolderLock(str(folder)):
        before = (folder / "_state/driver.lock").stat()
        line = run_status(str(stopped))[2]
        assert line.state == "at work"
        assert line.holder.startswith("process ")
        assert line.seconds is not None and line.seconds < 60
        after = (folder / "_state/driver.lock").stat()
        assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
        with pytest.raises(UserError, match="another driver"), FolderLock(str(folder)):
            pass
    assert lock_holder(str(folder)) is None
    with FolderLock(str(folder)):
        pass


def test_a_plan_whose_inputs_are_gone_has_the_totals_that_its_driver_knew(stopped: Path) -> None:
    shutil.rmtree(stopped / "clean")
    unique = run_status(str(stopped))[1]
    assert unique.phases == [("layout", 1, None), ("sign", 1, 1)]


def test_a_training_run_says_its_step(stopped: Path) -> None:
    folder = stopped / "model"
    (folder / "_state").mkdir(parents=True)
    plan = {"stage": "train", "stage_version": 1, "seed": 0, "settings": {"steps": 9}, "inputs": {"unique": {}}}
    (folder / "_state/plan.json").write_bytes(state.to_json(plan))
    line = json.dumps({"step": 4, "loss": 5.25})
    (folder / "metrics.jsonl").write_text(f'{line}\n{{"step": 5, "lo')
    model = run_status(str(stopped))[-1]
    assert (model.name, model.state, model.note) == ("model", "stopped", "step 4 of 9, loss 5.250")


def test_the_command_prints_a_line_for_each_stage(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["corpusmill", "status", str(stopped)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["stage", "state", "tasks", "counts", "time"]
    assert [line.split()[:2] for line in lines[:3]] == [["documents", "done"], ["clean", "done"], ["unique", "stopped"]]
    assert lines[3].startswith("unique: last heard of ") and len(lines) == 4
    assert "sign 1/1, pairs 0/1" in lines[2]


def test_a_folder_that_is_no_run_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not made by corpusmill"):
        run_status(str(tmp_path))
