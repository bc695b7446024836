"""A run whose errors, settings and paths hold secrets of the environment: no line and no file of it has them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.road import environment

SECRET = "wJalrXUtnFEMI-K7MDENG_bPxRfiCY"
VARIABLES = {"AWS_SECRET_ACCESS_KEY": SECRET, "HF_TOKEN": "hf_" + SECRET[::-1], "CORPUSMILL_LOG_FORMAT": "json"}
FAILING = """
import sys
from functools import partial
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Session, run_stage
from tests.pipelines.engine.faulty_tasks import FaultySettings, FaultyStage

settings = FaultySettings(scratch=sys.argv[1], tasks=2, faults={0: sys.argv[3]})
with Session(make_executor=partial(make_executor, "local", workers=1)) as session:
    run_stage(FaultyStage(settings), sys.argv[2], session)
"""


def texts_below(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def require_none(said: str, files: list[bytes]) -> None:
    for secret in (SECRET, SECRET[::-1]):
        assert secret not in said
        assert not [data for data in files if secret.encode() in data]


def test_a_run_leaves_no_secret_in_lines_logs_manifests_and_the_kept_recipe(tmp_path: Path) -> None:
    raw = tmp_path / f"raw-{SECRET}"
    raw.mkdir()
    (raw / "in.jsonl").write_text('{"text": "one"}\nnot JSON\n')
    recipe = tmp_path / "recipe.yaml"
    stages = {"documents": {"stage": "ingest", "inputs": [str(raw / "*.jsonl")]}}
    values = {"name": "r", "description": f"by {VARIABLES['HF_TOKEN']}", "output": "unused", "stages": stages}
    recipe.write_text(json.dumps(values))
    line = [sys.executable, "-m", "corpusmill", "run", str(recipe), "--output", str(tmp_path / "out"), "--workers", "1"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(**VARIABLES))
    assert done.returncode == 3, done.stderr  # one of two records is quarantined
    files = texts_below(tmp_path / "out")
    assert any(b"raw-***/in.jsonl" in data for data in files)
    require_none(done.stdout + done.stderr, files)
    again = subprocess.run(line, capture_output=True, text=True, env=environment(**VARIABLES))
    assert "already done" in again.stderr, "a masked plan is known again"


@pytest.mark.parametrize("fault", ["tells a secret", "tells a secret transiently"])
def test_errors_of_libraries_are_told_without_secrets(fault: str, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    script = [sys.executable, "-c", FAILING, str(tmp_path / "scratch"), str(tmp_path / "out"), fault]
    done = subprocess.run(
        script, capture_output=True, text=True, env=environment(**VARIABLES), cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 1 and "StageFailed" in done.stderr and "***" in done.stderr
    require_none(done.stdout + done.stderr, texts_below(tmp_path / "out"))
