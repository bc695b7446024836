"""`--dry-run`: the plan with estimates of time, memory and disk, from rates measured on real text.

Each stage describes its rates, measured by `benchmarks/stage_rates.py` on one core (docs/performance.md has the run
that they come from), or works its costs out itself. A stage whose input is not there yet is estimated from the stage
before it, by the measured ratio of output to input.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.operating_system import available_cores
from corpusmill.pipelines.datasets import list_parts
from corpusmill.pipelines.description import Rates, StageDescription, load
from corpusmill.pipelines.engine.executor import choose_engine
from corpusmill.pipelines.engine.manifest import done_manifest
from corpusmill.pipelines.engine.stage import Costs, Stage
from corpusmill.pipelines.engine.state import MANIFEST, require_manifest
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import NamedStage, Recipe
from corpusmill.pipelines.registry import require_description

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
    costs = stage.costs(lambda name: _settings_of(stage, recipe, name))
    if costs is None:
        costs = _by_rates(description.rates, _bytes_read(stage, description, text, bool(waits_for)), workers)
    text[named.name] = int(costs.bytes * description.rates.text_out) if description.rates else 0
    done = state == "done"
    return StageEstimate(
        name=named.name,
        phases=phases,
        tasks=tasks,
        bytes=costs.bytes,
        seconds=0.0 if done else costs.seconds,
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
    """Prints the plan; runs nothing."""
    from rich.table import Table

    from corpusmill.pipelines.engine.progress import clock
    from corpusmill.pipelines.terminal import Console

    engine = choose_engine(options.engine, options.address)
    workers = options.workers or available_cores()
    lines = estimate(recipe, options)
    table = Table(title=f"{recipe.name}: plan for {workers} worker{'s' if workers != 1 else ''}, engine {engine}")
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
        preview = require_description(named.stage.name).preview
        if preview and line.state == "to do":
            for text in load(preview)(named):
                console.print(text, soft_wrap=True, markup=False)
    total = sum(line.seconds for line in lines)
    disk = sum(line.disk for line in lines)
    most = max(line.megabytes for line in lines)
    for said in (
        f"In total about {clock(total)}, at most {most:,} MB of memory, {disk / 1e6:,.1f} MB of disk.",
        "Estimates from rates measured on one core of a small machine (docs/performance.md), without start-up.",
    ):
        console.print(said, soft_wrap=True)
    _warn_of_disk(recipe.output, disk)


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
