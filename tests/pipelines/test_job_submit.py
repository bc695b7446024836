"""A real `ray start --head` and the tutorial on clusters, block by block; logs and status are read back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import run_script, script_of
from tests.pipelines.ray_head import RAY, ray_head
from tests.pipelines.road import ROOT, environment
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
