"""Takes a stage from plan to manifest: refuses changed settings, runs what is missing, checks that nothing was lost.

The order is the design's: the plan (settings, input identities) is written first; each task commits its outputs and
then its marker; the manifest comes last, after the conservation law held. A stage whose manifest matches its plan is
done, and neither the engine nor any heavy library is started for it.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.urls import mask_values
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.card import cards
from corpusmill.pipelines.engine.executor import Executor
from corpusmill.pipelines.engine.lease import require_lease, take_lease
from corpusmill.pipelines.engine.lock import FolderLock
from corpusmill.pipelines.engine.manifest import done_manifest, make_manifest, remove_orphans
from corpusmill.pipelines.engine.output_folder import checked_folder, clear_folder
from corpusmill.pipelines.engine.progress import Advance, Progress, make_progress
from corpusmill.pipelines.engine.record import Record
from corpusmill.pipelines.engine.scheduler import Scheduler
from corpusmill.pipelines.engine.stalls import StallWatch
from corpusmill.pipelines.engine.task import Task


class StageSettings(BaseModel):
    """Base of every stage's settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


DocumentSeconds = Annotated[
    float, Field(description="a document that takes longer is quarantined (seconds)", gt=0, le=86_400)
]
"""The setting `document_seconds` of stages whose work on a document may take for ever: by an extractor, a rule, a
regular expression."""
DOCUMENT_SECONDS = 10.0


@dataclass(kw_only=True)
class Summary:
    """What a stage says when its tasks are done.

    Attributes:
        counts: whole numbers; for stages over documents, `documents_in` and the `FATES`.
        parts: the dataset's parts, in order: path below the folder, rows, bytes, digest.
        files: other outputs, the same way.
        facts: anything else that is a pure function of the inputs and settings, JSON-able.
    """

    counts: dict[str, int]
    parts: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Watched:
    """How far a long task is: the share of it that is done, and what to say of it, the most important first."""

    share: float = 0.0
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """One phase as `--dry-run` shows it."""

    name: str
    tasks: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a stage will take: bytes of input, seconds, MB of memory in all, bytes of disk."""

    bytes: int
    seconds: float
    megabytes: int
    disk: int


def _say_nothing(line: str) -> None:
    """What a stage says when nobody listens."""


class Stage(ABC):
    """A kind of stage with its settings. Subclasses must not import heavy libraries at module level.

    Attributes:
        name: what it is called in recipes and on the command line.
        version: raised whenever the same settings give other bytes.
        settings: a frozen model; the command line's flags and the recipe's keys are made from it.
        resolve: turns a path as written in the settings into one that can be opened.
        over_documents: its documents are accounted for by their fates.
        say: prints a line for the user while it plans; nothing where nobody listens.
        kernels: warm-up modules (`pipelines.kernels`) for what its tasks call; they run before the first task starts.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    Settings: ClassVar[type[StageSettings]]
    over_documents: ClassVar[bool] = True
    kernels: tuple[str, ...] = ()

    def __init__(self, settings: Any, *, seed: int = 0, resolve: Callable[[str], str] = str) -> None:
        self.settings = settings
        self.seed = seed
        self.say: Callable[[str], None] = _say_nothing
        self.resolve = resolve

    @abstractmethod
    def inputs(self) -> dict[str, Any]:
        """Identities of all inputs, by name; a change in any of them makes the stage's outputs stale."""

    @abstractmethod
    def phases(self) -> list[PhasePlan]:
        """The plan for `--dry-run`, from what is on disk now; bytes are of the input."""

    @abstractmethod
    def run(self, run: "StageRun") -> Summary:
        """Does the work, phase by phase, through `run.map`."""

    def check(self) -> None:  # noqa: B027 - most stages have nothing more to check
        """Raises UserError for errors in settings that no model can see; called for all stages before any runs."""

    def check_output(self, folder: str) -> None:  # noqa: B027 - most stages write anywhere
        """Raises UserError where it cannot write to such a place; called for all stages before any runs."""

    def needs(self) -> Sequence[tuple[str, str]]:
        """(module, extra) of optional libraries that its work imports with these settings."""
        return ()

    def require_files(self, made: Callable[[str], bool]) -> None:  # noqa: B027 - most stages name no files
        """Raises UserError for a file that the settings name and that is not there.

        Args:
            made: whether an earlier stage of the run makes this path.
        """

    def document_seconds(self) -> float:
        """How long the work on one document may take; 0 for no limit."""
        return float(getattr(self.settings, "document_seconds", 0.0))

    def is_unbounded(self) -> bool:
        """Whether its tasks hand documents to code of others, whose time on one nobody bounds.

        Then they run in a process that can be ended, also where there is one worker. Our own kernels take time in
        proportion to the text; their documents are watched where workers are processes anyway.
        """
        return False

    def is_planned_elsewhere(self) -> bool:
        """Whether `--dry-run` plans it for other machines, whose memory this one's says nothing of."""
        return False

    def require_memory(self) -> None:  # noqa: B027 - most stages are bounded by their settings
        """Raises UserError for work that this machine's memory cannot hold."""

    def check_inputs(self, folder: str) -> None:  # noqa: B027 - most stages have nothing more to check
        """Raises UserError for settings that do not go with the inputs or the output folder; nothing is written yet."""

    def input_bytes(self) -> int:
        """Bytes of text that go in, of a stage that does not read datasets; for estimates."""
        return sum(phase.bytes for phase in self.phases())

    def costs(self, settings_of: Callable[[str], Mapping[str, Any]]) -> Costs | None:
        """The stage's own estimate of its costs; None to use the rates of its description.

        Args:
            settings_of: gives the settings of the stage that makes a folder, by the folder's name as written.
        """
        return None

    def written_plan(self) -> dict[str, Any]:
        """The plan as `plan.json` has it, and as plans are compared: URLs without their secrets, with digests."""
        written: dict[str, Any] = mask_values(self.plan())
        return written

    def plan(self) -> dict[str, Any]:
        """Everything that the outputs depend on."""
        return {
            "stage": self.name,
            "stage_version": self.version,
            "seed": self.seed,
            "settings": self.settings.model_dump(mode="json"),
            "inputs": self.inputs(),
        }


@dataclass(kw_only=True)
class Session:
    """What the stages of one command share: the engine (started when a task needs it), progress and run options; and
    what a worker may be expected to do of the present stage, to guess its time before anything is done; and what tasks
    reserve of a cluster's nodes, by the stage's name in the run (`Reserved.as_values`).

    `kernels_ahead` are warm-up modules of stages to come, compiled with those of the first stage that works: side by
    side, and in one go.
    """

    make_executor: Callable[[], Executor]
    progress: Progress = field(default_factory=make_progress)
    overwrite: bool = False
    kernels_ahead: tuple[str, ...] = ()
    expected_bytes_per_second: float = 0.0
    reserved: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    worker_requests: Counter[str] = field(default_factory=Counter)
    _requests_before: Counter[str] = field(default_factory=Counter)
    _executor: Executor | None = None

    def executor(self, *, kernels: tuple[str, ...]) -> Executor:
        """The engine, started on first use; kernels that were never compiled are compiled first."""
        if kernels:
            from corpusmill.pipelines.kernels import compile_if_needed

            compile_if_needed(self.progress.say, (*kernels, *self.kernels_ahead))
        if self._executor is None:
            self._executor = self.make_executor()
        return self._executor

    def requests_of_stage(self) -> dict[str, int]:
        """Requests made of object stores since this was last asked, by the driver and by tasks that ended."""
        here = Counter(storage.counted_requests())
        new = (here - self._requests_before) + self.worker_requests
        self._requests_before, self.worker_requests = here, Counter()
        return dict(new)

    def close(self) -> None:
        if self._executor is not None:
            self._executor.close()
            self._executor = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *details: object) -> None:
        self.progress.stop()
        self.close()


class StageRun:
    """One run of a stage: its name, its folder, and `map`, which carries a phase's tasks to their markers."""

    def __init__(self, stage: Stage, name: str, folder: str, session: Session, lease: str) -> None:
        self.stage = stage
        self.name = name
        self.folder = folder
        self.session = session
        self.lease = lease
        self.tasks_run = 0

    def path(self, *names: str) -> str:
        return storage.join(self.folder, *names)

    def map(
        self, phase: str, tasks: Sequence[Task], *, watch: Callable[[], Watched] | None = None
    ) -> list[dict[str, Any]]:
        """Runs the tasks that have no marker yet; gives all results, in the order of the tasks.

        Args:
            phase: names the folder of markers.
            tasks: the whole phase.
            watch: says how far a long task is; asked a few times a second, from another thread.
        """
        if len({task.id for task in tasks}) != len(tasks):
            raise ValueError(f"task ids of phase {phase} are not unique")
        notes = state.phase_files(self.folder, phase)
        missing = [task for task in tasks if f"{task.id}.json" not in notes]
        results = self._run(phase, tasks, missing, watch, notes) if missing else {}
        before = [task.id for task in tasks if task.id not in results]
        for name, marker in zip(before, state.read_markers(self.folder, phase, before), strict=True):
            results[name] = marker["result"]
        return [results[task.id] for task in tasks]

    def say(self, line: str) -> None:
        """Prints a line for the user, under the stage's name."""
        self.session.progress.say(f"{self.name}: {line}")

    def _run(
        self,
        phase: str,
        tasks: Sequence[Task],
        missing: Sequence[Task],
        watch: Callable[[], Watched] | None,
        notes: set[str],
    ) -> dict[str, dict[str, Any]]:
        """Runs the missing tasks; gives their results as their markers have them, which need not be read again."""
        results: dict[str, dict[str, Any]] = {}
        executor, progress = self.session.executor(kernels=self.stage.kernels), self.session.progress
        if self.folder.startswith("memory://") and not executor.is_driver:
            raise UserError("memory:// is visible to one process only", where=self.folder, hint="use --workers 1")
        total, left = sum(task.bytes for task in tasks), sum(task.bytes for task in missing)

        def on_end(task: Task, result: dict[str, Any]) -> None:
            self.tasks_run += 1
            results[task.id] = state.as_written(result)
            progress.advance(count=task.bytes, documents=int(result.get("documents_in", 0)))
            record.ended(task.bytes, result)

        scheduler = Scheduler(
            executor,
            folder=self.folder,
            phase=phase,
            kernels=self.stage.kernels,
            lease=self.lease,
            document_seconds=self.stage.document_seconds(),
            apart=self.stage.is_unbounded(),
            on_end=on_end,
            say=self.say,
            notes=notes,
            reserved=self.session.reserved.get(self.name),
        )

        def at_work() -> Advance:
            if watch is None:
                expected = self.session.expected_bytes_per_second * executor.slots
                return Advance(bytes=scheduler.bytes_at_work(), expected=expected)
            watched = watch()
            return Advance(bytes=left * watched.share, words=watched.words or ("starting",))

        record = Record(
            folder=self.folder,
            lease=self.lease,
            stage=self.stage.name,
            phase=phase,
            engine=(executor.description, executor.slots),
            total_bytes=total,
            done_bytes=total - left,
            tasks=len(tasks),
            finished=len(tasks) - len(missing),
            scheduler=scheduler,
            bytes_at_work=lambda: at_work().bytes,
            leaves_notes=executor.leaves_notes,
        )
        watched = any(task.ranks for task in missing) or watch is not None
        stalls = StallWatch(scheduler, phase, self.say)
        progress.start(self.name, phase, total, total - left, at_work)
        try:
            with record, contextlib.nullcontext() if watched else stalls:
                scheduler.run(missing)
        finally:
            progress.stop()
            if not executor.is_driver:  # else they are among the driver's own
                self.session.worker_requests.update(scheduler.store_requests)
        return results


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished stage: its manifest, the seconds that this run took, whether there was anything to do, and the
    requests that it made of object stores, by kind; those made `again` as well."""

    folder: str
    manifest: Mapping[str, Any]
    seconds: float
    was_done: bool
    store_requests: Mapping[str, int] = field(default_factory=dict)


def run_stage(stage: Stage, folder: str, session: Session, name: str = "") -> Finished:
    """Brings a stage to its manifest.

    Args:
        name: what the run calls it; its kind if left out.

    Raises:
        UserError: settings or inputs changed, the folder is not ours, another driver is at work, bad input.
        StageFailed: a task could not be done.
    """
    started = time.monotonic()
    if not folder:
        raise UserError("an output needs a name", hint="use a new folder for the output")
    plan = stage.written_plan()
    if not session.overwrite and (manifest := done_manifest(plan, folder)) is not None:
        return Finished(folder=folder, manifest=manifest, seconds=0.0, was_done=True)
    unplanned = not session.overwrite and state.read_manifest(folder) is not None
    if unplanned and not storage.exists(storage.join(folder, state.STATE, "plan.json")):
        hint = "use another output, or pass --overwrite to make it again"
        raise UserError("this is finished, but its plan is missing (copied without _state?)", where=folder, hint=hint)
    stage.check_inputs(folder)
    with FolderLock(checked_folder(folder)):
        lease = take_lease(folder)
        if session.overwrite:
            clear_folder(folder)
        elif (manifest := done_manifest(plan, folder)) is not None:  # another driver ended between look and lock
            return Finished(folder=folder, manifest=manifest, seconds=0.0, was_done=True)
        storage.remove_temporaries(folder)
        _write_plan(plan, folder)
        run = StageRun(stage, name or stage.name, folder, session, lease)
        summary = stage.run(run)
        _check_unchanged(stage, plan, folder)
        manifest = make_manifest(plan, over_documents=stage.over_documents, **vars(summary))
        remove_orphans(folder, manifest)
        # All markers are there, so nothing needs these again; after the manifest, a kill would leave them for good.
        storage.remove(storage.join(folder, state.WORK))
        storage.remove_temporaries(folder)  # workers of a killed driver may have ended in the middle of writing
        require_lease(folder, lease)
        for name, content in cards(folder, manifest).items():
            storage.commit_bytes(storage.join(folder, name), content)
        storage.commit_bytes(storage.join(folder, state.MANIFEST), state.to_json(manifest))
    seconds = time.monotonic() - started
    requests = session.requests_of_stage()
    _record_time(folder, seconds, session, requests)
    return Finished(folder=folder, manifest=manifest, seconds=seconds, was_done=False, store_requests=requests)


def _write_plan(plan: Mapping[str, Any], folder: str) -> None:
    path = storage.join(folder, state.STATE, "plan.json")
    if not storage.exists(path):
        storage.commit_bytes(path, state.to_json(plan))


def _check_unchanged(stage: Stage, plan: Mapping[str, Any], folder: str) -> None:
    """Refuses to write a manifest if its inputs are no longer those that were read."""
    changed = state.differences(plan["inputs"], mask_values(stage.inputs()), "inputs.")
    if changed:
        raise UserError(
            f"inputs changed while this was made: {'; '.join(changed[:3])}",
            where=folder,
            hint="run again with --overwrite when nothing writes to them",
        )


def _record_time(folder: str, seconds: float, session: Session, requests: Mapping[str, int]) -> None:
    path = storage.join(folder, state.STATE, "seconds.json")
    before = (state.read_json_if_there(path) or {}).get("seconds", 0.0)
    engine = session._executor.description if session._executor else "nothing to run"
    values: dict[str, Any] = {"seconds": round(before + seconds, 3), "engine": engine}
    if requests:
        values["store_requests"] = dict(sorted(requests.items()))
    storage.commit_bytes(path, state.to_json(values))


def add_counts(results: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[str, int]:
    """Sums of the named counts over task results."""
    totals = dict.fromkeys(names, 0)
    for result in results:
        for name in names:
            totals[name] += int(result.get(name, 0))
    return totals
