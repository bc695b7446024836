"""What was named, and what a run or a stage is: the same sections as `corpusmill inspect PATH`, and the ways on."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from corpusmill.dataproc.side_tables import table_of
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.inspect.overview import overview as sections_of
from corpusmill.pipelines.inspect.status import StageStatus, run_status
from corpusmill.pipelines.report.by_source import losses_by
from corpusmill.pipelines.report.costs import costs
from corpusmill.pipelines.report.flow import over_documents, waterfall
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.window.lineage import graph_of
from corpusmill.pipelines.window.page import Values, View, page, redirect
from corpusmill.pipelines.window.ways import stage_trail, ways_from

DETAILED_ROWS = 500_000
"""Rows of ledgers up to which the losses are shown by rule: 0.2 s; with more, by stage alone, as manifests say them."""


def _ledger_rows(stages: Sequence[StageOutput]) -> int:
    return sum(
        entry.get("rows", 0)
        for stage in stages
        for entry in stage.manifest["files"]
        if table_of(entry["path"]) == "ledger"
    )


@page("first.html")
def first(view: View) -> Values | Response:
    """All that was named; the one thing, if it is one."""
    named = list(view.paths)
    if len(named) == 1:
        return redirect(named[0].address)
    return {"title": "Open folders", "named": [(path, path.place.what) for path in named]}


@page("overview.html")
def overview(view: View) -> Values:
    """A path that was named: a run with its stages, or a folder by itself."""
    named = view.path
    place = named.place
    values: Values = {
        "title": named.name,
        "command": ["inspect", named.path],
        "sections": sections_of(place),
        "ways": ways_from(named, place),
        "stages": [],
        "bars": [],
        "at_work": False,
        "graph": None,
        "by": [],
        "costs": None,
    }
    if place.what != "run":
        return values
    finished = [
        StageOutput(name, folder, manifest)
        for name, folder in place.stages
        if (manifest := state.read_manifest(folder)) is not None
    ]
    statuses = run_status(named.path)
    price = view.real("price")
    return values | {
        "sections": [],
        "graph": graph_of(place.stages),
        "by": losses_by(over_documents(finished)),
        "costs": costs(finished, price),
        "price": view.text("price"),
        "stages": [_card(named.address, line) for line in statuses],
        "bars": waterfall(finished, detailed=_ledger_rows(finished) <= DETAILED_ROWS),
        "at_work": any(line.state == "at work" for line in statuses),
    }


def _card(address: str, line: StageStatus) -> dict[str, Any]:
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in list(line.counts.items())[:3] if count)
    tasks = ", ".join(f"{phase} {done}/{'?' if known is None else known}" for phase, done, known in line.phases)
    return {
        "name": line.name,
        "stage": line.stage,
        "state": line.state,
        "counts": line.note or counts,
        "tasks": tasks,
        "share": line.live.share if line.live else None,
        "live": _live(line) if line.live else [],
    }


def _live(line: StageStatus) -> list[str]:
    """What a stage is at, a line each."""
    live = line.live
    assert live is not None
    said = [f"{live.phase} on {live.engine}, {live.slots} at once"]
    rate = live.recent or live.overall
    if rate is not None:
        said.append(f"{rate.documents:,.0f} documents and {rate.bytes / 1e6:,.1f} MB a second")
    if live.seconds_left is not None:
        said.append(f"{clock(live.seconds_left[0])} to {clock(live.seconds_left[1])} left of this phase")
    stalled = [one for one in live.running if one.stalled]
    return said + [f"stalled: {one.task} on {one.worker}, {clock(one.seconds)}" for one in stalled[:5]] + [*line.silent]


@page("overview.html")
def stage(view: View) -> Values:
    """A stage of a run."""
    named, place = view.path, view.stage
    return {
        "title": view.stage_name,
        "trail": stage_trail(view)[:-1],
        "command": ["inspect", place.path],
        "sections": sections_of(place),
        "ways": ways_from(named, place, view.stage_name),
        "stages": [],
        "bars": [],
        "at_work": False,
        "graph": None,
        "by": [],
        "costs": None,
    }
