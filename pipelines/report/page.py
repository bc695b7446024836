"""Puts the page together: collects each finished stage's section and fills the template.

Everything that comes out of documents (ids, sources, excerpts) goes through `visible`, and the template escapes every
value. Only the charts, which hold no such text, go in as they are.

Cost: that of the manifests, of at most 256 side files of a kind and 256 markers of a phase, and of one pass over a
training run's metrics. By `benchmarks/report_size.py`, a filter of 10,000 parts of 4,000 documents and a training run
of 100,000 steps take 14 s of a core and 30 MiB more than Python with its libraries has; 256 parts and 1,000 steps take
7 s. The page is 190 KB in either case.
"""

from collections.abc import Sequence
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.description import Rows
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.manifest import our_version
from corpusmill.pipelines.html.document import require_charts, self_contained
from corpusmill.pipelines.registry import description_of
from corpusmill.pipelines.report.by_source import losses_by
from corpusmill.pipelines.report.costs import costs
from corpusmill.pipelines.report.flow import over_documents, waterfall
from corpusmill.pipelines.report.removals import ledger_lines
from corpusmill.pipelines.report.sections import report_of
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.summary import summary_rows
from corpusmill.pipelines.visible import one_line

PAGE = "report/index.html"
FOLDERS = [("corpusmill.pipelines.report", "")]
"""Where templates of the report are looked for, before the shared ones."""


def write_report(
    folder: str,
    name: str,
    stage_folders: Sequence[tuple[str, str]],
    output: str | None = None,
    core_hour_price: float | None = None,
) -> str:
    """Writes the page on a run; gives its path.

    Args:
        folder: of the run; the page is `report/index.html` in it.
        name: of the run, for people.
        stage_folders: (name, folder) of the stages in order; those that are not finished are only named.
        output: another path for the page.
        core_hour_price: dollars, for the cost of the run; None for core-hours alone.

    Raises UserError when jinja2 or matplotlib is missing, or when no stage is finished.
    """
    require_charts()
    finished, missing = [], []
    for stage_name, stage_folder in stage_folders:
        manifest = state.read_manifest(stage_folder)
        if manifest is None:
            missing.append(one_line(stage_name))
        else:
            finished.append(StageOutput(stage_name, stage_folder, manifest))
    if not finished:
        raise UserError("no stage is finished yet", where=folder, hint="see corpusmill status")
    bars = waterfall(finished)
    sections = [section for place, stage in enumerate(finished) if (section := _section(stage, place))]
    cost = costs(finished, core_hour_price)
    values = {
        "title": one_line(name),
        "version": our_version(),
        "missing": missing,
        "tiles": _tiles(finished),
        "contents": _contents(bool(bars), sections, bool(cost["rows"])),
        "summaries": [(one_line(stage.name), stage.stage, _summary(stage)) for stage in finished],
        "bars": bars,
        "losses": losses_by(over_documents(finished)),
        "sections": sections,
        "costs": cost,
    }
    path = output or storage.join(folder, PAGE)
    storage.commit_bytes(path, self_contained(FOLDERS, "page.html", values).encode())
    return path


def _contents(documents: bool, sections: Sequence[dict[str, Any]], cost: bool) -> list[tuple[str, str]]:
    """(anchor, label) of the page's sections; a section's label has its stage where several are alike."""
    headings = [section["heading"] for section in sections]
    middle = [
        (
            section["anchor"],
            section["heading"]
            if headings.count(section["heading"]) == 1
            else f"{section['heading']}: {section['name']}",
        )
        for section in sections
    ]
    first = [("summary", "Summary"), *([("documents", "Documents")] if documents else [])]
    return [*first, *middle, *([("cost", "Time and cost")] if cost else [])]


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
    """What the template needs to know about one stage; None for a stage that has nothing to show."""
    report = report_of(description_of(stage.stage))
    common = {"name": one_line(stage.name), "anchor": f"stage-{place}"}
    if report is not None:
        return common | {"template": report.template} | report.values(stage, place)
    if stage.side_paths("ledger") and stage.side_paths("rejected"):
        return common | {"template": "removed.html"} | _removed(stage)
    return None


def _removed(stage: StageOutput) -> dict[str, Any]:
    """The section of a stage that rejects documents and has none of its own."""
    rules = ledger_lines(stage)
    return {
        "heading": "Removed",
        "rules": rules,
        "most": max((rule.broke for rule in rules), default=1),
        "read": stage.share_read("ledger"),
        "fault_of": lambda _, example: f"{example.value:,.6g}, and the threshold is {example.threshold:,.6g}",
    }
