"""What a driver takes to hand out a phase of empty tasks: time a task, and memory.

    python benchmarks/scheduler.py simulated [--tasks 1000000] [--slots 2000]
    python benchmarks/scheduler.py ray [--tasks 5000] [--workers 2]
    python benchmarks/scheduler.py local [--tasks 5000] [--workers 2]

`simulated` hands the tasks of a phase to an executor that ends each at once, and does nothing else: what is left is the
driver's own work, `StageRun.map` with its scheduler, watch and progress file. `ray` and `local` run real empty tasks,
which write their markers to a folder in memory (/dev/shm). Memory is what the process holds more than before the phase,
and at most at all.
"""

import argparse
import os
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.progress import SilentProgress
from corpusmill.pipelines.engine.stage import PhasePlan, Session, Stage, StageRun, StageSettings, Summary, run_stage
from corpusmill.pipelines.engine.task import Call, Ended, Task
from corpusmill.pipelines.engine.task_notes import AtWork

sys.path.insert(0, str(Path(__file__).parents[1]))


class AtOnce:
    """An executor that ends each call at once, without doing anything."""

    is_driver = leaves_notes = False
    description = "nothing"

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._ended: list[Ended] = []

    def submit(self, call: Call) -> None:
        self._ended.append(Ended(ticket=call.ticket, result={"documents_in": 1, "kept": 1}))

    def wait(self, timeout: float) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended

    def bytes_done(self) -> Mapping[int, float]:
        return {}

    def at_work(self) -> Mapping[int, AtWork]:
        return {}

    def find_worker(self, ticket: int) -> str:
        return ""

    def close(self) -> None:
        pass


class EmptySettings(StageSettings):
    """How many."""

    tasks: int


class EmptyStage(Stage):
    """A phase of tasks that do nothing, without arguments."""

    name = "empty"
    Settings = EmptySettings
    kernels = ()
    over_documents = False
    memory_before = 0

    def inputs(self) -> dict[str, Any]:
        return {}

    def phases(self) -> list[PhasePlan]:
        return []

    def run(self, run: StageRun) -> Summary:
        self.memory_before = psutil.Process().memory_info().rss
        function = "benchmarks.scheduler:do_nothing"
        tasks = [Task(id=f"part-{number:07d}", function=function, bytes=1) for number in range(self.settings.tasks)]
        results = run.map("read", tasks)
        self.memory_after = psutil.Process().memory_info().rss
        return Summary(counts={"tasks": len(results)})


def do_nothing(task: Any) -> dict[str, Any]:
    """An empty task."""
    return {"documents_in": 1, "kept": 1}


def measure(name: str, tasks: int, make: Any) -> None:
    """Runs the phase and prints what it took."""
    folder = f"/dev/shm/corpusmill-scheduler-{os.getpid()}"
    stage = EmptyStage(EmptySettings(tasks=tasks))
    try:
        with Session(make_executor=make, progress=SilentProgress()) as session:
            session.executor(kernels=())
            started, used = time.perf_counter(), time.process_time()
            run_stage(stage, folder, session)
            seconds, used = time.perf_counter() - started, time.process_time() - used
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    grown = (stage.memory_after - stage.memory_before) / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(
        f"{name}: {tasks:,} tasks in {seconds:.1f} s, {seconds / tasks * 1e3:.3f} ms each ({used / tasks * 1e3:.3f} of "
        f"CPU); the driver held {grown:.0f} MB more, {most:.0f} MB at most"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["simulated", "ray", "local"])
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--slots", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    values = parser.parse_args()
    if values.engine == "simulated":
        measure("simulated", values.tasks or 1_000_000, lambda: AtOnce(values.slots))
    else:
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        measure(values.engine, values.tasks or 5_000, partial(make_executor, values.engine, workers=values.workers))


if __name__ == "__main__":
    main()
