"""The way of the documents through the stages as bars: what came in, what each cause took away, what is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corpusmill.pipelines.inspect.visible import one_line
from corpusmill.pipelines.report.removals import SoleRules
from corpusmill.pipelines.report.stages import StageOutput

SINGLE_RULES = 6
"""Rules that get a bar of their own for the documents that broke no other."""

OVER_DOCUMENTS = ("ingest", "filter", "dedup", "spans", "decontaminate", "mixture")
"""The stages through which documents flow."""

METHODS = {"exact": "duplicates (exact)", "minhash": "near duplicates (minhash)"}


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


def waterfall(stages: Sequence[StageOutput], only: Mapping[str, SoleRules]) -> list[Bar]:
    """Bars of kind in, loss and kept; the losses of a stage begin where what is left ends."""
    over_documents = [each for each in stages if each.stage in OVER_DOCUMENTS]
    whole = max((each.counts["documents_in"] for each in over_documents), default=0)
    bars: list[Bar] = []
    before: int | None = None
    for each in over_documents:
        left = each.counts["documents_in"]
        name = one_line(each.name)
        if left != before:
            bars.append(_bar(name, "came in", "in", left, 0, whole))
        for label, count in losses(each, only.get(each.name)):
            left -= count
            bars.append(_bar(name, label, "loss", count, left, whole))
        bars.append(_bar(name, "kept", "kept", left, 0, whole))
        before = left
    return bars


def losses(stage: StageOutput, only: SoleRules) -> list[tuple[str, int]]:
    """(cause, documents) of a stage; every document that it did not keep is in one of them."""
    causes = [("quarantined", stage.counts.get("quarantined", 0))]
    if stage.stage == "filter":
        causes += _by_rule(stage, only)
    if stage.stage == "dedup":
        by_method: Mapping[str, int] = stage.facts["duplicates_by_method"]
        causes += [(METHODS.get(method, method), count) for method, count in by_method.items()]
    if stage.stage == "decontaminate":
        causes.append(("items of evaluation sets", stage.counts["rejected"]))
    if stage.stage == "mixture":
        causes.append(("dropped by the mixture", stage.counts["dropped"]))
    if stage.stage == "spans":
        causes.append(("too little left, or too much repeated", stage.counts["rejected"]))
    return [(one_line(label), count) for label, count in causes if count]


def _by_rule(stage: StageOutput, only: SoleRules) -> list[tuple[str, int]]:
    """Rejected documents by the one rule that they broke, or as having broken several."""
    rejected = stage.counts["rejected"]
    if only is None:
        return [("rejected", rejected)]
    ranked = sorted(only.items(), key=lambda item: (-item[1], item[0]))
    shown, others = ranked[:SINGLE_RULES], ranked[SINGLE_RULES:]
    causes = [(f"broke {rule} alone", count) for rule, count in shown]
    causes.append(("broke one other rule", sum(count for _, count in others)))
    return [*causes, ("broke several rules", rejected - sum(only.values()))]


def _bar(stage: str, label: str, kind: str, count: int, left: int, whole: int) -> Bar:
    percent = 100 / whole if whole else 0.0
    return Bar(stage, label, kind, count, count * percent, left * percent, count * percent)
