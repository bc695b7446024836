"""What a driver holds for each task of a phase: little enough for a million."""

import tracemalloc
from pathlib import Path

from benchmarks.scheduler import AtOnce, EmptySettings, EmptyStage
from corpusmill.pipelines.engine.progress import SilentProgress
from corpusmill.pipelines.engine.stage import Session, run_stage

TASKS = 1_500
MOST_BYTES = 500


def test_a_task_and_its_result_take_under_half_a_kilobyte(tmp_path: Path) -> None:
    def run(tasks: int) -> int:
        with Session(make_executor=lambda: AtOnce(100), progress=SilentProgress()) as session:
            tracemalloc.start()
            run_stage(EmptyStage(EmptySettings(tasks=tasks)), str(tmp_path / str(tasks)), session)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return most

    run(10)
    assert (run(TASKS) - run(100)) / (TASKS - 100) < MOST_BYTES
