"""`--dry-run`: the plan with estimates of time, memory and disk, from rates measured on real text.

The rates are those of `benchmarks/stage_rates.py` on one core (docs/performance.md has the run that they come from);
training is reckoned from the floating-point operations of its preset. A stage whose input is not there yet is estimated
from the stage before it, by the measured ratio of output to input. Compressed JSON lines count as what they unpack to,
by the beginnings of a few files of each input.
"""

import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from gzip import GzipFile
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.pieces import COMPRESSED, recognise
from corpusmill.pipelines.datasets import list_parts
from corpusmill.pipelines.engine.executor import available_cores, choose_engine
from corpusmill.pipelines.engine.stage import Stage, done_manifest
from corpusmill.pipelines.engine.state import MANIFEST, require_manifest
from corpusmill.pipelines.recipe import NamedStage, Recipe
from corpusmill.pipelines.running import RunOptions
from corpusmill.pipelines.stages.train.plan import TOKEN_BYTES, TrainStage


@dataclass(frozen=True)
class Rates:
    """What a stage costs for each byte of text that it takes in.

    Attributes:
        megabytes_per_second: of input text, one core.
        text_out: bytes of text (or of shards) that come out for each byte in.
        disk: bytes on disk for each byte in, intermediate files included.
        worker_megabytes: most resident memory of one worker at the default part size.
    """

    megabytes_per_second: float
    text_out: float
    disk: float
    worker_megabytes: int


RATES: Mapping[str, Rates] = {
    "ingest": Rates(99.0, 1.0, 0.27, 400),
    "filter": Rates(65.0, 0.8, 0.35, 640),
    "dedup": Rates(100.0, 0.9, 0.24, 550),
    "query": Rates(150.0, 0.0, 0.01, 600),
    "spans": Rates(21.0, 1.0, 1.1, 700),
    "decontaminate": Rates(100.0, 1.0, 0.3, 480),
    "quality-train": Rates(14.0, 0.0, 5.0, 1500),
    "quality-score": Rates(47.0, 1.0, 0.3, 570),
    "quality-keep": Rates(130.0, 0.5, 0.3, 390),
    "quality-domains": Rates(50.0, 0.0, 0.1, 400),
    "quality-seeds": Rates(110.0, 0.1, 0.1, 400),
    "mixture": Rates(150.0, 1.0, 0.3, 400),
    "count": Rates(150.0, 0.0, 0.02, 600),
    "tokenizer": Rates(34.0, 0.0, 0.35, 760),
    "pack": Rates(92.0, 1.0, 1.03, 740),
    "import": Rates(90.0, 1.0, 1.05, 800),
    "export": Rates(200.0, 1.0, 1.0, 610),
}
TRAIN_GIGAFLOPS = 45.0
"""Of one core in FP32, validation and checkpoints included, of `quickstart`; `laptop` comes to 80."""

TRAIN_BYTES_A_PARAMETER = 28
"""On disk: the weights, and two checkpoints of weights and moments."""

TRAIN_MEGABYTES = 1500
PROBED_FILES, PROBE_BYTES = 8, 4 << 20
LOG_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class StageEstimate:
    """A line of the plan."""

    name: str
    phases: str
    tasks: int
    bytes: int
    seconds: float
    megabytes: int
    disk: int
    state: str


def estimate(recipe: Recipe, options: RunOptions) -> list[StageEstimate]:
    """The plan of each stage. Raises UserError as the run itself would: missing inputs, changed settings."""
    workers = options.workers or available_cores()
    text: dict[str, int] = {}
    lines = []
    for named in recipe.stages:
        named.stage.check()
        lines.append(_estimate_stage(named, recipe, text, workers))
    return lines


def _estimate_stage(named: NamedStage, recipe: Recipe, text: dict[str, int], workers: int) -> StageEstimate:
    stage = named.stage
    waits_for = [name for name in dict.fromkeys(taken_folders(stage)) if name in text and not _is_there(stage, name)]
    if waits_for:
        phases, tasks, state = f"after {', '.join(waits_for)}", 0, "waits"
    else:
        planned = stage.phases()
        phases = ", ".join(f"{phase.name} {phase.tasks}" for phase in planned)
        tasks = sum(phase.tasks for phase in planned)
        state = "done" if done_manifest(stage.plan(), named.folder) else "to do"
    taken = _bytes_taken(stage, recipe, text)
    disk, seconds, megabytes = _costs(stage, recipe, taken, workers)
    text[named.name] = 0 if isinstance(stage, TrainStage) else int(taken * RATES[stage.name].text_out)
    done = state == "done"
    return StageEstimate(
        name=named.name,
        phases=phases,
        tasks=tasks,
        bytes=taken,
        seconds=0.0 if done else seconds,
        megabytes=megabytes,
        disk=0 if done else disk,
        state=state,
    )


def _costs(stage: Stage, recipe: Recipe, taken: int, workers: int) -> tuple[int, float, int]:
    """(bytes on disk, seconds, MB of memory) of a stage that takes so many bytes in."""
    if isinstance(stage, TrainStage):
        parameters, gigaflops = stage.size(_sequence_length(stage, recipe))
        seconds = taken / TOKEN_BYTES * gigaflops / (TRAIN_GIGAFLOPS * available_cores())
        return parameters * TRAIN_BYTES_A_PARAMETER, seconds, TRAIN_MEGABYTES + 16 * parameters // 2**20
    rates = RATES[stage.name]
    return (
        int(taken * rates.disk),
        taken / (rates.megabytes_per_second * 1e6 * workers),
        rates.worker_megabytes * workers,
    )


def taken_folders(stage: Stage) -> list[str]:
    """The folders that a stage takes in, as written in its settings; text first."""
    settings = stage.settings
    fields = ("shards", "tokenizer", "continue_from", "model", "collected", "before", "start_from")
    single = [name for field in fields if isinstance(name := getattr(settings, field, None), str) and name]
    several = [
        name
        for field in ("datasets", "positive", "negative", "counts", "extend")
        for name in getattr(settings, field, ())
    ]
    return [*several, *single]


def _bytes_taken(stage: Stage, recipe: Recipe, text: Mapping[str, int]) -> int:
    """Bytes of text (of tokens, for training) that go in: from what is there, else from the stages before."""
    if isinstance(stage, TrainStage):
        return stage.tokens(_sequence_length(stage, recipe)) * TOKEN_BYTES
    classes = [name for field in ("positive", "negative") for name in getattr(stage.settings, field, ())]
    datasets = getattr(stage.settings, "datasets", ()) or tuple(dict.fromkeys(classes))
    if not datasets and not all(_is_there(stage, name) for name in taken_folders(stage)):
        return 0
    if not datasets:
        return sum(phase.bytes for phase in stage.phases()) + _packed_away(stage)
    there = [name for name in datasets if _is_there(stage, name)]
    return sum(part.arrow_bytes for part in list_parts(there, stage.resolve)) + sum(
        text[name] for name in datasets if name not in there
    )


def _packed_away(stage: Stage) -> int:
    """Bytes by which the compressed JSON lines among the inputs are larger than their files."""
    more = 0.0
    for files in stage.inputs().values():
        packed = [path for path in files if recognise(path) == "jsonl" and path.endswith(COMPRESSED)]
        if packed:
            probes = [_unpack(path) for path in packed[:: -(-len(packed) // PROBED_FILES)]]
            ratio = sum(text for text, _ in probes) / sum(taken for _, taken in probes)
            more += sum(files[path][0] for path in packed) * (max(1.0, ratio) - 1)
    return int(more)


def _unpack(path: str) -> tuple[int, int]:
    """(bytes that come out, bytes taken in) of a compressed file's beginning; alike where it cannot be unpacked."""
    import zstandard

    with storage.open_input(path) as file:
        unzstd = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        packed = GzipFile(fileobj=file) if path.endswith(".gz") else unzstd.stream_reader(file, read_across_frames=True)
        try:
            return len(packed.read(PROBE_BYTES)), max(1, file.tell())
        except (OSError, EOFError, zlib.error, zstandard.ZstdError):  # the run will quarantine it and say where
            return 1, 1


def _sequence_length(stage: TrainStage, recipe: Recipe) -> int:
    for named in recipe.stages:
        if named.name == stage.settings.shards:
            return int(named.stage.settings.sequence_length)
    return int(require_manifest(stage.resolve(stage.settings.shards))["settings"]["sequence_length"])


def _is_there(stage: Stage, name: str) -> bool:
    return storage.exists(storage.join(stage.resolve(name), MANIFEST))


def print_plan(recipe: Recipe, options: RunOptions) -> None:
    """Prints the plan; runs nothing."""
    from rich.console import Console
    from rich.table import Table

    from corpusmill.pipelines.engine.progress import clock

    engine = choose_engine(options.engine, options.address)
    workers = options.workers or available_cores()
    lines = estimate(recipe, options)
    table = Table(title=f"{recipe.name}: plan for {workers} workers, engine {engine}")
    for column in ("stage", "phases and tasks", "input", "time", "memory", "disk", "state"):
        table.add_column(column, justify="right" if column in ("input", "time", "memory", "disk") else "left")
    for line in lines:
        table.add_row(
            line.name,
            line.phases,
            f"{line.bytes / 1e6:,.1f} MB",
            clock(line.seconds),
            f"{line.megabytes:,} MB",
            f"{line.disk / 1e6:,.1f} MB",
            line.state,
        )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    console.print(table)
    for named, line in zip(recipe.stages, lines, strict=True):
        if named.stage.name == "mixture" and line.state == "to do":
            _print_mixture(named, console)
    total = sum(line.seconds for line in lines)
    disk = sum(line.disk for line in lines)
    most = max(line.megabytes for line in lines)
    for said in (
        f"In all about {clock(total)}, at most {most:,} MB of memory, {disk / 1e6:,.1f} MB of disk.",
        "Estimates from rates measured on one core of a small machine (docs/performance.md), without start-up.",
    ):
        console.print(said, soft_wrap=True)
    _warn_of_disk(recipe.output, disk)


def _print_mixture(named: NamedStage, console: Any) -> None:
    """The plan of a mixture, group by group, for which its input's texts are gone over in this process."""
    from corpusmill.pipelines.stages.mixture.plan import MixtureStage
    from corpusmill.pipelines.stages.mixture.work import sum_groups
    from corpusmill.pipelines.summary import plan_rows

    stage = named.stage
    assert isinstance(stage, MixtureStage)
    stage.check_inputs(named.folder)
    told = stage.measuring()
    groups = [
        group for part in list_parts(stage.settings.datasets, stage.resolve) for group in sum_groups(part.path, told)
    ]
    planned = [each.to_values() for each in stage.planned(groups)]
    console.print(
        f"{named.name}: {sum(each['target'] for each in planned):,} {stage.settings.unit} in all", markup=False
    )
    for what, value in plan_rows(planned, stage.settings.unit):
        console.print(f"{what}: {value}", soft_wrap=True, markup=False)


def _warn_of_disk(output: str, needed: int) -> None:
    if storage.is_url(output):
        return
    import psutil

    folder = storage.absolute(output)
    while not storage.exists(folder):
        folder = folder.rsplit("/", 1)[0] or "/"
    free = psutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{free / 1e6:,.0f} MB are free and about {needed / 1e6:,.0f} MB are needed",
            where=folder,
            hint="make space",
        )
