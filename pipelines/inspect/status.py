"""The progress of a run, from its folders alone: while it runs, after it ended, and after it was killed.

A stage is at work when a process holds its lock. The lock is tried without changing the file and released at once;
a driver that starts at that very moment would report that another one is at work, and can simply be started again.
"""

import fcntl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.description import load
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.engine.silence import silent_workers
from corpusmill.pipelines.engine.stage import Stage
from corpusmill.pipelines.inspect.places import read_plan, run_stages
from corpusmill.pipelines.recipe import path_resolver
from corpusmill.pipelines.registry import description_of, stage_type
from corpusmill.pipelines.settings import validate

SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""

MOST_MARKERS = 20_000
"""Markers that are opened to add up an unfinished stage's documents; a listing is enough for its tasks."""


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """A line of the table.

    Attributes:
        state: done, at work or stopped.
        holder: who is at work.
        phases: (phase, tasks finished, tasks known; None where the plan cannot tell).
        counts: of a finished stage, its manifest's; of another, what its markers add up to.
        seconds: of all runs of a finished stage, of the present run of one at work.
        note: how far a training run is.
        silent: workers without a sign of life, a line each.
    """

    name: str
    folder: str
    stage: str
    state: str
    holder: str
    phases: Sequence[tuple[str, int, int | None]]
    counts: Mapping[str, int]
    seconds: float | None
    note: str
    silent: Sequence[str] = ()


def run_status(run: str) -> list[StageStatus]:
    """The status of each stage of a run. Raises UserError for a folder that is no run."""
    stages = run_stages(run)
    folders = dict(stages)
    return [_stage_status(name, folder, folders) for name, folder in stages]


def status_values(run: str, stages: Sequence[StageStatus]) -> dict[str, Any]:
    """The same as `status --json` prints it (docs/output.md)."""
    return {
        "schema": SCHEMA,
        "run": storage.absolute(run),
        "stages": [
            {
                "name": line.name,
                "stage": line.stage,
                "folder": line.folder,
                "state": line.state.replace(" ", "_"),
                "holder": line.holder or None,
                "phases": [{"name": phase, "finished": done, "tasks": known} for phase, done, known in line.phases],
                "counts": dict(line.counts),
                "seconds": line.seconds,
                "note": line.note or None,
            }
            for line in stages
        ],
    }


def lock_holder(folder: str) -> str | None:
    """Who holds the folder's lock ("process 12 on host"); None when nobody does, or where there are no locks."""
    path = Path(folder, state.STATE, "driver.lock")
    if storage.is_url(folder) or not path.exists():
        return None
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read(100).decode(errors="replace").strip() or "a process"
    return None


def _stage_status(name: str, folder: str, folders: Mapping[str, str]) -> StageStatus:
    holder = lock_holder(folder)
    manifest = state.read_manifest(folder)
    plan = read_plan(folder) or (manifest or {})
    finished = {phase: len(state.finished_tasks(folder, phase)) for phase in _phases(folder)}
    if manifest is not None:
        phases: list[tuple[str, int, int | None]] = [(phase, done, done) for phase, done in finished.items()]
    else:
        phases = _against_plan(finished, _planned(plan, folders))
    known = "done" if manifest is not None else "at work" if holder else "stopped"
    return StageStatus(
        name=name,
        folder=folder,
        stage=plan.get("stage", "?"),
        state=known,
        holder=holder or "",
        phases=phases,
        counts=manifest["counts"] if manifest is not None else _counted(folder, finished),
        seconds=_seconds(folder, known),
        note=_note(folder, plan) if known != "done" else "",
        silent=_silent(folder, finished) if known == "at work" else (),
    )


def _silent(folder: str, phases: Iterable[str]) -> list[str]:
    """A line for each worker that shows no sign of life: which it is, its task, since when, and on what document."""
    lines = []
    for phase in phases:
        for task, note in sorted(silent_workers(folder, phase).items()):
            on = f", on {note['document']!r}" if note.get("document") else ""
            since = clock(max(0.0, time.time() - note["since"]))
            lines.append(f"no sign of life from worker {note['worker']} for {since}: {phase}/{task}{on}")
    return lines


def _phases(folder: str) -> list[str]:
    """Phases that were begun, in the order in which they last wrote a marker (by name on an object store)."""
    path = storage.join(folder, state.STATE)
    names = [name for name in storage.list_names(path) if storage.list_names(storage.join(path, name))]
    return names if storage.is_url(folder) else sorted(names, key=lambda name: Path(path, name).stat().st_mtime_ns)


def _against_plan(finished: Mapping[str, int], planned: Mapping[str, int] | None) -> list[tuple[str, int, int | None]]:
    """The phases begun, then those that the plan says are to come."""
    if planned is None:
        return [(phase, done, None) for phase, done in finished.items()]
    begun = [(phase, done, max(done, planned.get(phase, 0))) for phase, done in finished.items()]
    return [*begun, *((phase, 0, total) for phase, total in planned.items() if phase not in finished)]


def _planned(plan: Mapping[str, Any], folders: Mapping[str, str]) -> dict[str, int] | None:
    """Tasks of each phase, from the settings and inputs as they are now; None where an input cannot be found."""
    if description_of(plan.get("stage", "")) is None:
        return None
    try:
        made_of = stage_type(plan["stage"])
        settings = validate(made_of.Settings, plan["settings"])
        stage: Stage = made_of(settings, seed=plan["seed"], resolve=path_resolver(folders))
        return {phase.name: phase.tasks for phase in stage.phases()}
    except (UserError, OSError):
        return None


def _counted(folder: str, finished: Mapping[str, int]) -> dict[str, int]:
    """Documents that came in, by the markers of the phase that is furthest on; nothing where there are too many."""
    best: dict[str, int] = {}
    for phase, tasks in finished.items():
        if tasks > MOST_MARKERS:
            continue
        total = 0
        for task in sorted(state.finished_tasks(folder, phase)):
            total += int(state.read_marker(folder, phase, task)["result"].get("documents_in", 0))
        if total > best.get("documents_in", 0):
            best = {"documents_in": total}
    return best


def _seconds(folder: str, known: str) -> float | None:
    path = storage.join(folder, state.STATE, "seconds.json")
    if known == "done":
        return state.read_json(path)["seconds"] if storage.exists(path) else None
    if known == "at work":  # the lock is written anew by each driver when it takes it
        return max(0.0, time.time() - Path(folder, state.STATE, "driver.lock").stat().st_mtime)
    return None


def _note(folder: str, plan: Mapping[str, Any]) -> str:
    """How far unfinished work is, where the stage can say it."""
    description = description_of(plan.get("stage", ""))
    return str(load(description.progress)(folder, plan)) if description and description.progress else ""
