"""The progress of a run, from its folders alone: while it runs, after it ended, and after it was killed.

A stage is at work when a process holds its lock. The lock is tried without changing the file and released at once;
a driver that starts at that very moment would report that another one is at work, and can simply be started again.
On an object store, where there is no lock, it is when its driver left a note of late (`engine/record.py`).

Cost: a listing a phase, and the notes. Markers of an unfinished stage are opened on file systems only, and only as far
as `MOST_MARKERS`; on an object store their sums are the driver's.
"""

import fcntl
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.description import load
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.engine.record import PhaseRecord, read_record
from corpusmill.pipelines.engine.silence import ENDING as SILENT
from corpusmill.pipelines.engine.silence import silent_workers
from corpusmill.pipelines.inspect.liveness import STALLED_FACTOR, Live, is_recent, live
from corpusmill.pipelines.inspect.places import read_plan, run_stages
from corpusmill.pipelines.registry import description_of, stage_type

SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""

MOST_MARKERS = 20_000
"""Markers that are opened to add up an unfinished stage's documents; a listing is enough for its tasks."""


_FILES = (".json", ".jsonl", ".lock", ".lease", ".log")
"""Endings of what lies beside the phases' folders."""
_TASK_FILES = (".json", ".at", ".deaths", SILENT)
"""Endings of what lies in them."""


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
        live: rates, time left and tasks at work, by the driver's last note; None for a finished stage.
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
    live: Live | None = None


def run_status(run: str, factor: float = STALLED_FACTOR) -> list[StageStatus]:
    """The status of each stage of a run. Raises UserError for a folder that is no run.

    Args:
        factor: a task that takes so many times as long as is usual counts as stalled.
    """
    stages = run_stages(run)
    folders = dict(stages)
    return [_stage_status(name, folder, folders, factor) for name, folder in stages]


def stages_to_come(run: str, stages: Sequence[StageStatus]) -> list[str]:
    """Stages that the run's recipe names and that have not begun; none for a single stage."""
    from corpusmill.pipelines.recipe import KEPT
    from corpusmill.pipelines.yaml_text import load_yaml

    path = storage.join(run, KEPT)
    if not storage.exists(path):
        return []
    recipe = load_yaml(storage.read_bytes(path).decode(), path)
    named = recipe.get("stages") if isinstance(recipe, dict) else None
    begun = {stage.name for stage in stages}
    return [name for name in named if name not in begun] if isinstance(named, dict) else []


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
                "silent": list(line.silent),
                "live": asdict(line.live) if line.live else None,
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


def _stage_status(name: str, folder: str, folders: Mapping[str, str], factor: float) -> StageStatus:
    manifest = state.read_manifest(folder)
    plan = read_plan(folder) or (manifest or {})
    record = None if manifest is not None else read_record(folder)
    holder = lock_holder(folder)
    if holder is None and storage.is_url(folder) and record is not None and is_recent(record):
        holder = record.driver
    known = "done" if manifest is not None else "at work" if holder else "stopped"
    names = _phases(folder)
    finished = {phase: sum(1 for file in files if file.endswith(".json")) for phase, files in names.items()}
    if manifest is not None:
        phases: list[tuple[str, int, int | None]] = [(phase, done, done) for phase, done in finished.items()]
    else:
        phases = _against_plan(finished, _planned(plan, folders), {record.phase: record.tasks} if record else {})
    return StageStatus(
        name=name,
        folder=folder,
        stage=plan.get("stage", "?"),
        state=known,
        holder=holder or "",
        phases=phases,
        counts=manifest["counts"] if manifest is not None else _counted(folder, finished, record),
        seconds=_seconds(folder, known, record),
        note=_note(folder, plan) if known != "done" else "",
        silent=_silent(folder, names) if known == "at work" else (),
        live=live(record, factor) if record is not None else None,
    )


def _silent(folder: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each worker that shows no sign of life: which it is, its task, since when, and on what document."""
    lines = []
    for phase, files in names.items():
        if not any(file.endswith(SILENT) for file in files):
            continue
        for task, note in sorted(silent_workers(folder, phase).items()):
            on = f", on {note['document']!r}" if note.get("document") else ""
            since = clock(max(0.0, time.time() - note["since"]))
            lines.append(f"no sign of life from worker {note['worker']} for {since}: {phase}/{task}{on}")
    return lines


def _phases(folder: str) -> dict[str, list[str]]:
    """The files of each phase that was begun, phases in the order in which they last wrote a marker (by name on an
    object store)."""
    path = storage.join(folder, state.STATE)
    folders = [name for name in storage.list_names(path) if not name.endswith(_FILES)]
    listed = {name: storage.list_names(storage.join(path, name)) for name in folders}
    listed = {name: files for name, files in listed.items() if any(file.endswith(_TASK_FILES) for file in files)}
    if storage.is_url(folder):
        return listed
    return dict(sorted(listed.items(), key=lambda phase: Path(path, phase[0]).stat().st_mtime_ns))


def _against_plan(
    finished: Mapping[str, int], planned: Mapping[str, int] | None, noted: Mapping[str, int]
) -> list[tuple[str, int, int | None]]:
    """The phases begun, then those that the plan says are to come. `noted`: the tasks of a phase as its driver knows
    them, which the plan can only guess for phases that follow from earlier ones."""
    finished = {**finished, **{phase: 0 for phase in noted if phase not in finished}}
    if planned is None:
        return [(phase, done, noted.get(phase)) for phase, done in finished.items()]
    planned = {**planned, **noted}
    begun = [(phase, done, max(done, planned.get(phase, 0))) for phase, done in finished.items()]
    return [*begun, *((phase, 0, total) for phase, total in planned.items() if phase not in finished)]


def _planned(plan: Mapping[str, Any], folders: Mapping[str, str]) -> dict[str, int] | None:
    """Tasks of each phase, from the settings and inputs as they are now; None where an input cannot be found."""
    if description_of(plan.get("stage", "")) is None:
        return None
    from corpusmill.pipelines.recipe import path_resolver  # these take half a second, which finished stages need not
    from corpusmill.pipelines.settings import validate

    try:
        made_of = stage_type(plan["stage"])
        settings = validate(made_of.Settings, plan["settings"])
        stage = made_of(settings, seed=plan["seed"], resolve=path_resolver(folders))
        return {phase.name: phase.tasks for phase in stage.phases()}
    except (UserError, OSError):
        return None


def _counted(folder: str, finished: Mapping[str, int], record: PhaseRecord | None) -> dict[str, int]:
    """Documents that came in and were quarantined, by the phase that is furthest on: added up from its markers, or as
    the driver noted it where these are too many, or too dear to open."""
    best = {"documents_in": 0, "quarantined": 0}
    for phase, tasks in finished.items():
        if tasks > MOST_MARKERS or storage.is_url(folder):
            noted = record.phases.get(phase, {}) if record else {}
            sums = {"documents_in": int(noted.get("documents", 0)), "quarantined": int(noted.get("quarantined", 0))}
        else:
            results = [state.read_marker(folder, phase, task)["result"] for task in state.finished_tasks(folder, phase)]
            sums = {key: sum(int(result.get(key, 0)) for result in results) for key in best}
        if sums["documents_in"] > best["documents_in"]:
            best = sums
    return {key: count for key, count in best.items() if count}


def _seconds(folder: str, known: str, record: PhaseRecord | None) -> float | None:
    path = storage.join(folder, state.STATE, "seconds.json")
    if known == "done":
        return state.read_json(path)["seconds"] if storage.exists(path) else None
    if known == "at work" and storage.is_url(folder):
        return max(0.0, time.time() - record.phase_started) if record else None
    if known == "at work":  # the lock is written anew by each driver when it takes it
        return max(0.0, time.time() - Path(folder, state.STATE, "driver.lock").stat().st_mtime)
    return None


def _note(folder: str, plan: Mapping[str, Any]) -> str:
    """How far unfinished work is, where the stage can say it."""
    description = description_of(plan.get("stage", ""))
    return str(load(description.progress)(folder, plan)) if description and description.progress else ""
