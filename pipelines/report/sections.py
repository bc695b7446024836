"""How a stage appears on the report's page; each stage with something to show defines it in its `report.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from corpusmill.pipelines.description import StageDescription, load
from corpusmill.pipelines.report.stages import StageOutput


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """A section of the page.

    Attributes:
        values: what the template shows, from the stage's output and its place on the page, by which the ids of its
            charts differ from those of other stages.
        template: "package:file".
        losses: causes for which documents were not kept, in more detail than the manifest knows; None for its own.
    """

    values: Callable[[StageOutput, int], dict[str, Any]]
    template: str
    losses: Callable[[StageOutput], list[tuple[str, int]]] | None = None


def report_of(description: StageDescription | None) -> StageReport | None:
    """The section that a stage's description names; None for a stage without one."""
    if description is None or not description.report:
        return None
    report: StageReport = load(description.report)
    return report
