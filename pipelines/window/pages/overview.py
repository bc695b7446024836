"""What was named, and what a run or a stage is: the same sections as `corpusmill inspect PATH`, and the ways on."""

from typing import Any

from starlette.responses import Response

from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.overview import overview as sections_of
from corpusmill.pipelines.inspect.status import run_status
from corpusmill.pipelines.report.flow import waterfall
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.window.page import Values, View, page, redirect
from corpusmill.pipelines.window.ways import stage_trail, ways_from


@page("first.html")
def first(view: View) -> Values | Response:
    """All that was named; the one thing, if it is one."""
    named = list(view.paths)
    if len(named) == 1:
        return redirect(named[0].address)
    return {"title": "What is open", "named": [(path, path.place.what) for path in named]}


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
    }
    if place.what != "run":
        return values
    finished = [
        StageOutput(name, folder, manifest)
        for name, folder in place.stages
        if (manifest := state.read_manifest(folder)) is not None
    ]
    statuses = run_status(named.path)
    return values | {
        "sections": [],
        "stages": [_card(named.address, line) for line in statuses],
        "bars": waterfall(finished),
        "at_work": any(line.state == "at work" for line in statuses),
    }


def _card(address: str, line: Any) -> dict[str, Any]:
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in list(line.counts.items())[:3] if count)
    tasks = ", ".join(f"{phase} {done}/{'?' if known is None else known}" for phase, done, known in line.phases)
    return {"name": line.name, "stage": line.stage, "state": line.state, "counts": line.note or counts, "tasks": tasks}


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
    }


ROUTES = [("/", first), ("/at/{key}", overview), ("/at/{key}/stage/{stage}", stage)]
