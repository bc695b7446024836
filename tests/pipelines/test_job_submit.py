"""A real `ray start --head` and the tutorial on clusters, block by block; logs and status are read back."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import run_script, script_of
from tests.pipelines.ray_head import RAY, ray_head
from tests.pipelines.road import ROOT, assert_same_bytes, environment, markers, run
from tests.pipelines.small_run import prose

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ray_head(tmp_path_factory.mktemp("ray") / "head.log") as head:
        yield head.dashboard


def _job(verb: str, address: str, *rest: str) -> list[str]:
    return [RAY, "job", verb, "--address", address, *rest]


def test_the_tutorial_on_clusters_runs_as_it_is_written(dashboard: str, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "raw").mkdir(parents=True)
    for number in range(2):
        lines = [json.dumps({"text": f"{name} {prose(name)}"}) for name in range(number * 40, number * 40 + 40)]
        (shared / "raw" / f"{number}.jsonl").write_text("\n".join(lines))
    script = script_of(ROOT / "docs/tutorials/cluster.md", {"/shared": str(shared), "http://head:8265": dashboard})
    printed = run_script(script, tmp_path, timeout=400)
    assert "'crawl-1' succeeded" in printed and "'crawl-2' succeeded" in printed
    logs = subprocess.run(_job("logs", dashboard, "crawl-1"), capture_output=True, text=True, env=environment())
    assert "documents in" in logs.stdout, "the summary table is in the job's log"
    engine = json.loads((shared / "runs/crawl/documents/_state/seconds.json").read_text())["engine"]
    assert engine.startswith("Ray at "), "RAY_ADDRESS alone chose the engine"


def test_a_failing_job_fails(dashboard: str, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "corpusmill", "run", str(tmp_path / "nowhere.yaml")]
    submitted = subprocess.run(
        _job("submit", dashboard, "--submission-id", "broken", "--", *line),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        timeout=120,
    )
    assert submitted.returncode == 1
    assert "nowhere.yaml: no such file" in submitted.stdout + submitted.stderr


RECIPE = """
name: restarted
output: unused
stages:
  documents: {{stage: ingest, inputs: ["{folder}/0*.jsonl"], part_bytes: 64KiB}}
  more: {{stage: ingest, inputs: ["{folder}/[1-3]*.jsonl"], part_bytes: 64KiB, source: more}}
"""


def _raw(folder: Path) -> Path:
    """40 files of 66 kB, a task each."""
    folder.mkdir()
    for number in range(40):
        rows = [json.dumps({"text": f"Document {row} of file {number} is here to be read. " * 80}) for row in range(20)]
        (folder / f"{number:02d}.jsonl").write_text("\n".join(rows))
    return folder


def test_a_job_that_was_stopped_goes_on_when_it_is_submitted_again(dashboard: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(folder=_raw(tmp_path / "raw")))
    submit = ["submit", dashboard, "--no-wait", "--submission-id"]

    def line(output: Path) -> list[str]:
        return ["--", sys.executable, "-m", "corpusmill", "run", str(recipe), "--output", str(output)]

    output = tmp_path / "on-ray"
    subprocess.run(_job(*submit, "stopped", *line(output)), check=True, env=environment(), capture_output=True)
    deadline = time.monotonic() + 100
    while len(markers(output, "documents")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    subprocess.run(_job("stop", dashboard, "stopped"), check=True, env=environment(), capture_output=True)
    done = len(markers(output, "documents"))
    assert not (output / "more/_manifest.json").exists(), "the job ended before it could be stopped"
    before = {path: path.stat().st_mtime_ns for path in (output / "documents/_state/read").glob("*.json")}
    again = subprocess.run(
        _job("submit", dashboard, "--submission-id", "again", *line(output)),
        capture_output=True, text=True, env=environment(), timeout=200,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    assert done >= 3 and all(path.stat().st_mtime_ns == written for path, written in before.items())
    local = tmp_path / "local"
    assert run(recipe, local, "--workers", "2").returncode == 0
    assert_same_bytes(local, output)


def test_a_relative_output_of_a_job_with_a_working_directory_is_refused(dashboard: str, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/recipe.yaml").write_text(RECIPE.format(folder=_raw(tmp_path / "raw")))
    line = [sys.executable, "-m", "corpusmill", "run", "recipe.yaml", "--output", "out"]
    submitted = subprocess.run(
        _job("submit", dashboard, "--working-dir", str(tmp_path / "work"), "--", *line),
        capture_output=True, text=True, env=environment(), timeout=120,
    )  # fmt: skip
    assert submitted.returncode == 1
    assert "out/documents: this lies in Ray's copy of the job's working directory" in submitted.stdout
