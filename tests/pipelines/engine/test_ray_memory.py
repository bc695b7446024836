"""Ray ends a worker when its node runs short of memory; attempts are bounded, and the cause is told."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.pipelines.road import environment

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from functools import partial
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.progress import PlainProgress
from corpusmill.pipelines.engine.scheduler import StageFailed
from corpusmill.pipelines.engine.stage import Session, run_stage
from tests.pipelines.engine.faulty_tasks import FaultySettings, FaultyStage

settings = FaultySettings(scratch=sys.argv[1], tasks=2, faults={0: "much memory"})
with Session(make_executor=partial(make_executor, "ray", workers=1), progress=PlainProgress()) as session:
    try:
        run_stage(FaultyStage(settings), sys.argv[2], session)
    except StageFailed as error:
        print(error)
"""


def test_a_task_that_ray_ends_for_memory_is_tried_a_bounded_number_of_times(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    memory = psutil.virtual_memory()
    allowed = (memory.total - memory.available + (2 << 30)) / memory.total
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "scratch"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(RAY_memory_usage_threshold=f"{allowed:.4f}", RAY_memory_monitor_refresh_ms="100"),
        cwd=Path(__file__).parents[3],
    )
    assert "died 4 times; the last cause: out of memory: Ray ended the worker" in done.stdout, done.stdout + done.stderr
    deaths = json.loads((tmp_path / "out/_state/copy/task-0.deaths").read_text())["deaths"]
    assert len(deaths) == 4
    # Of these attempts Ray may have ended some before the task counted itself; there was no fifth.
    assert int((tmp_path / "scratch/task-0.attempts").read_text()) <= 4
