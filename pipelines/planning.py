"""`--dry-run`: the plan with estimates of time, memory and disk, each time as a range.

Where the input is here, some of it is timed on this machine (`pipelines/sampling.py`); a stage that says its costs
itself does so (`Stage.costs`); all else goes by rates, measured by `benchmarks/stage_rates.py` on one core of another
machine. A stage whose input is not there yet is estimated from the stage before it, by the ratio of output to input.
docs/performance.md holds the estimates against real times.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.operating_system import available_cores
from corpusmill.pipelines.datasets import list_parts
from corpusmill.pipelines.description import Rates, StageDescription, load
from corpusmill.pipelines.engine.executor import choose_engine
from corpusmill.pipelines.engine.manifest import done_manifest
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.engine.stage import Costs, Stage
from corpusmill.pipelines.engine.state import MANIFEST, require_manifest
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import NamedStage, Recipe
from corpusmill.pipelines.registry import require_description
from corpusmill.pipelines.sampling import Samples
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import Column, output_console, print_lines, table, wrapped

if TYPE_CHECKING:
    from rich.text import Text

SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""

RANGES = {"sample": (0.7, 1.5), "rates": (0.5, 2.0), "model": (0.5, 2.0)}
"""The range of a time, in multiples of the estimate, by what it goes by."""

STAGE_SECONDS = (0.1, 1.0)
"""What a stage takes whatever its input, at least and at most: its plan, its phases, its manifest."""

START_RANGE = (1.0, 3.0)
"""What the run takes before its first task, in multiples of what this command took before it began to plan: the same
imports, and those of the workers."""

LONGEST_START = 20.0
"""A process that is older was not started for the plan."""


@dataclass(frozen=True, kw_only=True)
class StageEstimate:
    """A line of the plan.

    Attributes:
        name: of the stage in the run.
        phases: what it does, or what it waits for.
        tasks: 0 where the plan cannot tell yet.
        bytes: of input: text, or tokens.
        seconds: as estimated.
        by: what that goes by: sample, rates, or model (the stage's own account of its costs).
        megabytes: of memory, all workers together.
        disk: bytes.
        state: done, to do or waits.
    """

    name: str
    phases: str
    tasks: int
    bytes: int
    seconds: float
    by: str
    megabytes: int
    disk: int
    state: str

    @property
    def range(self) -> tuple[float, float]:
        """The fewest and the most seconds that it will probably take."""
        (low, high), (least, most) = RANGES[self.by], (STAGE_SECONDS if self.state != "done" else (0.0, 0.0))
        return self.seconds * low + least, self.seconds * high + most


def estimate(recipe: Recipe, options: RunOptions) -> list[StageEstimate]:
    """The plan of each stage. Raises UserError as the run itself would: missing inputs, changed settings."""
    _start_seconds()
    workers = options.workers or available_cores()
    text: dict[str, int] = {}
    lines = []
    for named in recipe.stages:
        named.stage.check()
    with Samples() as samples:
        here = choose_engine(options.engine, options.address) == "local"
        for named in recipe.stages:
            lines.append(_estimate_stage(named, recipe, text, workers, samples if here else None))
    return lines


def _estimate_stage(
    named: NamedStage, recipe: Recipe, text: dict[str, int], workers: int, samples: Samples | None
) -> StageEstimate:
    stage, description = named.stage, require_description(named.stage.name)
    folders = dict.fromkeys(named_folders(stage, (*description.reads, *description.uses)))
    waits_for = [name for name in folders if name in text and not _is_there(stage, name)]
    if waits_for:
        phases, tasks, state = f"after {', '.join(waits_for)}", 0, "waits"
    else:
        planned = stage.phases()
        phases = ", ".join(f"{phase.name} {phase.tasks}" for phase in planned)
        tasks = sum(phase.tasks for phase in planned)
        state = "done" if done_manifest(stage.written_plan(), named.folder) else "to do"
    costs, by = stage.costs(lambda name: _settings_of(stage, recipe, name)), "model"
    if costs is None:
        costs, by = (
            _by_rates(description.rates, _bytes_read(stage, description, text, bool(waits_for)), workers),
            "rates",
        )
    text[named.name] = int(costs.bytes * description.rates.text_out) if description.rates else 0
    done = state == "done"
    if samples and not done and (sampled := samples.of(named)):
        seconds, by = max(sampled.seconds / workers, sampled.longest) + sampled.loading, "sample"
        costs = replace(costs, seconds=seconds, disk=max(costs.disk, sampled.disk))
        text[named.name] = sampled.text_out
    return StageEstimate(
        name=named.name,
        phases=phases,
        tasks=tasks,
        bytes=costs.bytes,
        seconds=0.0 if done else costs.seconds,
        by=by,
        megabytes=costs.megabytes,
        disk=0 if done else costs.disk,
        state=state,
    )


def _by_rates(rates: Rates | None, taken: int, workers: int) -> Costs:
    """Of a stage that reads so many bytes of text; nothing is known of a stage without rates."""
    if rates is None:
        return Costs(bytes=taken, seconds=0.0, megabytes=0, disk=0)
    return Costs(
        bytes=taken,
        seconds=taken / (rates.megabytes_per_second * 1e6 * workers),
        megabytes=rates.worker_megabytes * workers,
        disk=int(taken * rates.disk),
    )


def named_folders(stage: Stage, settings: Sequence[str]) -> list[str]:
    """The folders that these settings name, as written."""
    folders: list[str] = []
    for setting in settings:
        named = getattr(stage.settings, setting) or ()
        folders += [named] if isinstance(named, str) else named
    return folders


def _bytes_read(stage: Stage, description: StageDescription, text: Mapping[str, int], waits: bool) -> int:
    """Bytes of text that go in: of datasets, from what is there, else from the stages before; else by the plan."""
    datasets = [] if description.reads_tokens else list(dict.fromkeys(named_folders(stage, description.reads)))
    if not datasets:
        return 0 if waits else stage.input_bytes()
    there = [name for name in datasets if _is_there(stage, name)]
    return sum(part.arrow_bytes for part in list_parts(there, stage.resolve)) + sum(
        text[name] for name in datasets if name not in there
    )


def _settings_of(stage: Stage, recipe: Recipe, name: str) -> Mapping[str, Any]:
    """Settings of the stage that makes a folder: by the recipe, else by the folder's manifest."""
    for named in recipe.stages:
        if named.name == name:
            values: Mapping[str, Any] = named.stage.settings.model_dump()
            return values
    settings: Mapping[str, Any] = require_manifest(stage.resolve(name))["settings"]
    return settings


def _is_there(stage: Stage, name: str) -> bool:
    return storage.exists(storage.join(stage.resolve(name), MANIFEST))


def print_plan(recipe: Recipe, options: RunOptions) -> None:
    """Prints the plan; runs nothing of it."""
    lines = estimate(recipe, options)
    disk = sum(line.disk for line in lines)
    if options.json:
        print_json(plan_values(recipe, options, lines))
    else:
        console = output_console()
        for line in plan_lines(recipe, options, lines, console.width):
            print_lines(console, [line])
    _warn_of_disk(recipe.output, disk)


def plan_lines(recipe: Recipe, options: RunOptions, lines: Sequence[StageEstimate], width: int) -> list["Text"]:
    """The plan in lines of at most `width` cells."""
    from rich.text import Text

    engine, workers = choose_engine(options.engine, options.address), options.workers or available_cores()
    title = f"{recipe.name}: plan for {workers} worker{'' if workers == 1 else 's'}, engine {engine}"
    names = ("stage", "phases and tasks", "input", "time", "by", "memory", "disk", "state")
    columns = [Column(name, right=name in ("input", "time", "memory", "disk")) for name in names]
    rows = [
        (
            line.name,
            line.phases,
            f"{line.bytes / 1e6:,.1f} MB",
            time_text(*line.range),
            "" if line.state == "done" else line.by,
            f"{line.megabytes:,} MB",
            f"{line.disk / 1e6:,.1f} MB",
            line.state,
        )
        for line in lines
    ]
    shown = [Text(title, style="bold"), *table(columns, rows, width)]
    for named, line in zip(recipe.stages, lines, strict=True):
        preview = require_description(named.stage.name).preview
        if preview and line.state == "to do":
            shown += [part for text in load(preview)(named) for part in wrapped(Text(text), width)]
        for text in _ahead(named, recipe, "plan_lines") or ():
            shown += wrapped(Text(text), width)
    disk, memory = sum(line.disk for line in lines), max(line.megabytes for line in lines)
    total = (
        f"In total {time_text(*total_range(lines))}, up to {memory:,} MB of memory and {disk / 1e6:,.1f} MB of disk."
    )
    return [*shown, *wrapped(Text(total), width), *wrapped(Text(_explain(lines)), width)]


def _ahead(named: NamedStage, recipe: Recipe, function: str) -> Any:
    """What a stage over tokens says before its input is there; None where it says nothing."""
    if not (module := require_description(named.stage.name).preview_ahead):
        return None
    length = int(_settings_of(named.stage, recipe, named.stage.settings.shards)["sequence_length"])
    return load(f"{module}:{function}")(named, length)


def total_range(lines: Sequence[StageEstimate]) -> tuple[float, float]:
    """The fewest and the most seconds of a whole run, its start included."""
    if all(line.state == "done" for line in lines):
        return 0.0, 0.0
    low, high = (sum(line.range[end] for line in lines) for end in (0, 1))
    started = min(_start_seconds(), LONGEST_START)
    return low + started * START_RANGE[0], high + started * START_RANGE[1]


@cache
def _start_seconds() -> float:
    """The age of this process when it was first asked, before the plan."""
    import psutil

    return max(0.1, time.time() - psutil.Process().create_time())


def time_text(low: float, high: float) -> str:
    """A range of times, in the larger one's unit: 20 to 45 s, 1:30 to 4:00 (minutes), 1:20:00 to 3:00:00."""
    if high < 1:
        return "0 s" if not high else "under 1 s"
    if high < 10:
        return f"{low:.1f} to {high:.1f} s"
    if high < 90:
        return f"{low:.0f} to {high:.0f} s"
    return f"{clock(low)} to {clock(high)}"


def _explain(lines: Sequence[StageEstimate]) -> str:
    """What the times go by, of those that are there."""
    what = {
        "sample": "sample: timed on some of the input, on this machine as it is now",
        "rates": "rates: by rates of another machine (docs/performance.md)",
        "model": "model: by the operations of the model's equations",
    }
    used = {line.by for line in lines if line.state != "done"}
    return "; ".join(text for by, text in what.items() if by in used)


def plan_values(recipe: Recipe, options: RunOptions, lines: Sequence[StageEstimate]) -> dict[str, Any]:
    """The same as `--json` prints it (docs/output.md)."""
    low, high = total_range(lines)
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "output": storage.absolute(recipe.output),
        "engine": choose_engine(options.engine, options.address),
        "workers": options.workers or available_cores(),
        "seconds": [round(low, 3), round(high, 3)],
        "memory_bytes": max(line.megabytes for line in lines) * 10**6,
        "disk_bytes": sum(line.disk for line in lines),
        "stages": [
            {
                "name": line.name,
                "stage": named.stage.name,
                "state": line.state.replace(" ", "_"),
                "tasks": line.tasks,
                "input_bytes": line.bytes,
                "seconds": [round(second, 3) for second in line.range],
                "estimated_by": line.by,
                "memory_bytes": line.megabytes * 10**6,
                "disk_bytes": line.disk,
                "simulated": _ahead(named, recipe, "plan_values"),
            }
            for named, line in zip(recipe.stages, lines, strict=True)
        ],
    }


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
            hint="free some space",
        )
