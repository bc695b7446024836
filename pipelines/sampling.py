"""How long stages take on a few megabytes of their real input, on this machine as it is now: for `--dry-run`.

Rates differ by more than a factor of ten between formats, extractors and lengths of documents, and by two between a
quiet machine and a crowded one. So where the input is here already, some of it goes through the real stages in a
temporary folder, one worker, a second or two a stage: ingest reads beginnings of pieces until its time is up, and what
comes out of one stage is the next one's sample. Each runs on it twice, since the first time also loads libraries and
kernels (as the run will, once), and once on a single document, to see what a task takes whatever its size, which must
not grow with the text.

Not sampled are stages whose time isn't proportional to their text (learning merges, training), kernels that are not
compiled yet, what lies behind a URL or is run on a cluster, and whatever fails: those are estimated by rates
(`planning.py`), and the plan says so.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import PART_BYTES, PartWriter, read_batches
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines import kernels
from corpusmill.pipelines.datasets import list_parts
from corpusmill.pipelines.description import load
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.local import InProcessExecutor
from corpusmill.pipelines.engine.manifest import make_manifest
from corpusmill.pipelines.engine.progress import SilentProgress
from corpusmill.pipelines.engine.scheduler import StageFailed
from corpusmill.pipelines.engine.stage import Finished, Session, Stage, run_stage
from corpusmill.pipelines.recipe import NamedStage
from corpusmill.pipelines.registry import require_description

SAMPLE_BYTES = 6 << 20
SAMPLED_PARTS = 8
TOLD = (UserError, StageFailed, OSError)
"""What a sample may end in, as the run itself would: there the line is printed, here it is no reason to fail."""


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """What a stage takes, by its sample.

    Attributes:
        seconds: one worker's, for the whole input.
        longest: seconds of the longest task, which no second worker shortens.
        loading: seconds that each worker takes once, to load libraries and kernels that no stage before it needed.
        text_out: bytes of text that come out.
        disk: bytes that it writes.
    """

    seconds: float
    longest: float = 0.0
    loading: float = 0.0
    text_out: int
    disk: int


@dataclass
class Samples:
    """The samples of a recipe's stages, in their order; a context, which removes them.

    Attributes:
        folder: where they lie.
        share: of each stage's output that its sample is, by the stage's name (or a dataset's, as written).
    """

    folder: str = ""
    share: dict[str, float] = field(default_factory=dict)
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "Samples":
        self._temporary = tempfile.TemporaryDirectory(prefix="corpusmill-sample-")
        self.folder = self._temporary.name
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._temporary:
            self._temporary.cleanup()

    def of(self, named: NamedStage) -> Sampled | None:
        """The costs of a stage; None where there is no sample of it."""
        stage, description = named.stage, require_description(named.stage.name)
        if not description.sampled or not all(map(kernels.is_compiled, stage.kernels)):
            return None
        folder = str(Path(self.folder, named.name))
        try:
            if description.sampler:
                return self._by_sampler(named, folder, description.sampler)
            if stage.is_unbounded():  # a plan runs nothing of the user's own
                return None
            return self._by_running(named, folder, description.reads)
        except TOLD:
            return None

    def _by_sampler(self, named: NamedStage, folder: str, sampler: str) -> Sampled | None:
        sampled, manifest, share = load(sampler)(named.stage, folder)
        if share:
            storage.commit_bytes(storage.join(folder, state.MANIFEST), state.to_json(manifest))
            self.share[named.name] = share
        costs: Sampled | None = sampled
        return costs

    def _by_running(self, named: NamedStage, folder: str, reads: tuple[str, ...]) -> Sampled | None:
        stage = named.stage
        datasets = [name for setting in reads for name in _names(getattr(stage.settings, setting))]
        if not datasets or not all(name in self.share or self._take(stage, name) for name in datasets):
            return None
        share = min(self.share[name] for name in datasets)
        samples = {name: str(Path(self.folder, _place(name))) for name in datasets}
        ones = {name: f"{path}.one" for name, path in samples.items()}
        if not share or not all(_copy_one(samples[name], ones[name]) for name in datasets):
            return None
        first = _task_seconds(_run(stage, samples, f"{folder}.first").folder)
        fixed = _task_seconds(_run(stage, ones, f"{folder}.one").folder)
        done = _run(stage, samples, folder)
        parts, files = done.manifest["parts"], done.manifest["files"]
        text = sum(part.get("arrow_bytes", part["bytes"]) for part in parts)
        read = sum(part.arrow_bytes for part in list_parts(list(samples.values()), str))
        self.share[named.name] = share
        again = _task_seconds(folder)
        return Sampled(
            seconds=max(again - fixed, 0.0) / share + fixed * max(1.0, read / share / PART_BYTES),
            loading=max(first - again, 0.0),
            text_out=int(text / share),
            disk=int(sum(entry["bytes"] for entry in [*parts, *files]) / share),
        )

    def _take(self, stage: Stage, name: str) -> bool:
        """Copies some documents of a dataset that is there already; whether it is one and has any."""
        opened = stage.resolve(name)
        manifest = state.read_manifest(opened)
        if manifest is None or storage.is_url(opened):
            return False
        parts = list_parts([name], stage.resolve)
        chosen = parts[:: -(-len(parts) // SAMPLED_PARTS)]
        folder = str(Path(self.folder, _place(name)))
        with PartWriter(folder, "part-00000", SCHEMA) as writer:
            for part in chosen:
                taken = 0
                for batch in read_batches(part.path):
                    writer.write(batch.select(SCHEMA.names))
                    taken += batch.nbytes
                    if taken >= SAMPLE_BYTES / len(chosen):
                        break
        whole = sum(part.arrow_bytes for part in parts)
        sample = sum(part["arrow_bytes"] for part in writer.parts)
        write_sample_manifest(folder, manifest, writer.parts)
        self.share[name] = min(1.0, sample / whole) if whole else 0.0
        return bool(self.share[name])


def sample_manifest(plan: Mapping[str, object], parts: list[dict[str, object]]) -> dict[str, object]:
    """The manifest of a sample, from the plan (or the manifest) of what it is a sample of."""
    rows = sum(int(str(part["rows"])) for part in parts)
    counts = {"documents_in": rows, "kept": rows}
    return make_manifest(plan, counts=counts, parts=parts, files=[], facts={}, over_documents=True)


def write_sample_manifest(folder: str, plan: Mapping[str, object], parts: list[dict[str, object]]) -> None:
    """Makes a folder with these parts a dataset."""
    storage.commit_bytes(storage.join(folder, state.MANIFEST), state.to_json(sample_manifest(plan, parts)))


def _run(stage: Stage, datasets: Mapping[str, str], folder: str) -> Finished:
    """Runs a stage as it is set, over other datasets in place of its own."""
    sampled = type(stage)(
        stage.settings, seed=stage.seed, resolve=lambda path: datasets.get(path) or stage.resolve(path)
    )
    with Session(make_executor=InProcessExecutor, progress=SilentProgress()) as session:
        return run_stage(sampled, folder, session)


def _copy_one(sample: str, folder: str) -> bool:
    """Makes a dataset of the first document of another, to see what a task takes that has hardly anything to do."""
    if storage.exists(storage.join(folder, state.MANIFEST)):
        return True
    parts = [part for part in list_parts([sample], str) if part.rows]
    if not parts:
        return False
    with PartWriter(folder, "part-00000", pq.read_schema(parts[0].path)) as writer:
        writer.write(next(iter(read_batches(parts[0].path))).slice(0, 1))
    write_sample_manifest(folder, state.require_manifest(sample), writer.parts)
    return True


def _place(name: str) -> str:
    """A folder's name for a dataset, as written."""
    return name.strip("/").replace("/", "_") or "_"


def _names(value: object) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())  # type: ignore[call-overload]


def _task_seconds(folder: str) -> float:
    """What the tasks of all phases took, without the driver's part, which doesn't grow with the text."""
    place = storage.join(folder, state.STATE)
    return sum(
        float(state.read_marker(folder, phase, task)["seconds"])
        for phase in storage.list_names(place)
        for task in state.finished_tasks(folder, phase)
    )
