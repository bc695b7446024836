"""The documents' way through the stages as bars: what came in, what each cause removed, what is left."""

from collections.abc import Sequence
from dataclasses import dataclass

from corpusmill.pipelines.registry import description_of
from corpusmill.pipelines.report.sections import report_of
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.visible import one_line


@dataclass(frozen=True)
class Bar:
    """A line of the waterfall: `left` and `width` in percent of the documents that came in at the start."""

    stage: str
    label: str
    kind: str
    count: int
    share: float
    left: float
    width: float


def over_documents(stages: Sequence[StageOutput]) -> list[StageOutput]:
    """The stages through which documents flow: those that say what they lose of them."""
    return [stage for stage in stages if (known := description_of(stage.stage)) and known.losses]


def waterfall(stages: Sequence[StageOutput], *, detailed: bool = True) -> list[Bar]:
    """Bars of kind in, loss and kept; the losses of a stage begin where what is left ends.

    Args:
        detailed: with causes that only side tables know, which are read for them; without, manifests are enough.
    """
    flow = over_documents(stages)
    whole = max((stage.counts["documents_in"] for stage in flow), default=0)
    bars: list[Bar] = []
    before: int | None = None
    for stage in flow:
        left = stage.counts["documents_in"]
        name = one_line(stage.name)
        if left != before:
            bars.append(_bar(name, "came in", "in", left, 0, whole))
        for label, count in losses(stage, detailed=detailed):
            left -= count
            bars.append(_bar(name, label, "loss", count, left, whole))
        bars.append(_bar(name, "kept", "kept", left, 0, whole))
        before = left
    return bars


def losses(stage: StageOutput, *, detailed: bool = True) -> list[tuple[str, int]]:
    """(cause, documents) of a stage; every document that it did not keep is in one of them."""
    description = description_of(stage.stage)
    report = report_of(description) if detailed else None
    if report and report.losses:
        causes = report.losses(stage)
    else:
        causes = description.losses(stage.manifest) if description and description.losses else []
    causes = [("quarantined", stage.counts.get("quarantined", 0)), *causes]
    return [(one_line(label), count) for label, count in causes if count]


def _bar(stage: str, label: str, kind: str, count: int, left: int, whole: int) -> Bar:
    percent = 100 / whole if whole else 0.0
    return Bar(stage, label, kind, count, count * percent, left * percent, count * percent)
