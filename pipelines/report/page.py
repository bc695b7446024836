"""Puts the page together: collects each finished stage's section and fills the template.

Everything that comes out of documents (ids, sources, excerpts) goes through `visible`, and the template escapes every
value. Only the charts, which hold no such text, go in as they are.
"""

from collections.abc import Sequence
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.description import Rows
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.manifest import our_version
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.registry import description_of
from corpusmill.pipelines.report.flow import over_documents, waterfall
from corpusmill.pipelines.report.sections import report_of
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.report.templates import template
from corpusmill.pipelines.summary import summary_rows
from corpusmill.pipelines.visible import one_line

PAGE = "report/index.html"


def write_report(folder: str, name: str, stage_folders: Sequence[tuple[str, str]], output: str | None = None) -> str:
    """Writes the page on a run; gives its path.

    Args:
        folder: of the run; the page is `report/index.html` in it.
        name: of the run, for people.
        stage_folders: (name, folder) of the stages in order; those that are not finished are only named.
        output: another path for the page.

    Raises UserError when jinja2 or matplotlib is missing, or when no stage is finished.
    """
    page_template = template("page.html")
    finished, missing = [], []
    for stage_name, stage_folder in stage_folders:
        manifest = state.read_manifest(stage_folder)
        if manifest is None:
            missing.append(one_line(stage_name))
        else:
            finished.append(StageOutput(stage_name, stage_folder, manifest))
    if not finished:
        raise UserError("no stage is finished yet", where=folder, hint="see corpusmill status")
    page = page_template.render(
        name=one_line(name),
        version=our_version(),
        missing=missing,
        tiles=_tiles(finished),
        summaries=[(one_line(stage.name), stage.stage, _summary(stage)) for stage in finished],
        bars=waterfall(finished),
        sections=[section for place, stage in enumerate(finished) if (section := _section(stage, place))],
        times=_times(finished),
    )
    path = output or storage.join(folder, PAGE)
    storage.commit_bytes(path, page.encode())
    return path


def _tiles(stages: Sequence[StageOutput]) -> Rows:
    """The headline numbers of the run."""
    tiles: Rows = []
    flow = over_documents(stages)
    if flow:
        tiles.append(("documents in", f"{flow[0].counts['documents_in']:,}"))
        tiles.append(("documents kept", f"{flow[-1].counts['kept']:,}"))
    for stage in stages:
        if description := description_of(stage.stage):
            tiles += description.tiles(stage.manifest)
    return tiles


def _summary(stage: StageOutput) -> Rows:
    """The rows of the summary table without the causes, which are a chart here."""
    return [(one_line(what), value) for what, value in summary_rows(stage.manifest)]


def _section(stage: StageOutput, place: int) -> dict[str, Any] | None:
    """What the template needs to know about one stage; None for a stage without a section of its own."""
    report = report_of(description_of(stage.stage))
    if report is None:
        return None
    return {"template": report.template, "name": one_line(stage.name)} | report.values(stage, place)


def _times(stages: Sequence[StageOutput]) -> list[tuple[str, str, float, str]]:
    """(stage, time, percent of the whole, engine); only of those whose time is known."""
    known = []
    for stage in stages:
        path = stage.path(f"{state.STATE}/seconds.json")
        if storage.exists(path):
            known.append((one_line(stage.name), state.read_json(path)))
    total = sum(entry["seconds"] for _, entry in known) or 1.0
    return [
        (name, clock(entry["seconds"]), 100 * entry["seconds"] / total, one_line(entry["engine"]))
        for name, entry in known
    ]
