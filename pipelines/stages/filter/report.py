"""The filter's section of the report: rules, what they rejected, and how long the documents were."""

from typing import Any

from corpusmill.pipelines.report.charts import length_chart
from corpusmill.pipelines.report.lengths import length_histogram
from corpusmill.pipelines.report.removals import SoleRules, rule_lines, sole_rules
from corpusmill.pipelines.report.sections import StageReport
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.report.templates import as_markup

SINGLE_RULES = 6
"""Rules that get a bar of their own for the documents that broke no other."""


def _sole_rules(stage: StageOutput) -> SoleRules:
    """Documents by the only rule that they broke; counted once for the bars and the section."""
    if "sole rules" not in stage.memo:
        stage.memo["sole rules"] = sole_rules(stage)
    only: SoleRules = stage.memo["sole rules"]
    return only


def _losses(stage: StageOutput) -> list[tuple[str, int]]:
    """Rejected documents by the one rule that they broke, or as having broken several."""
    rejected, only = stage.counts["rejected"], _sole_rules(stage)
    if only is None:
        return [("rejected", rejected)]
    ranked = sorted(only.items(), key=lambda item: (-item[1], item[0]))
    shown, others = ranked[:SINGLE_RULES], ranked[SINGLE_RULES:]
    causes = [(f"broke {rule} alone", count) for rule, count in shown]
    causes.append(("broke one other rule", sum(count for _, count in others)))
    return [*causes, ("broke several rules", rejected - sum(only.values()))]


def _values(stage: StageOutput, place: int) -> dict[str, Any]:
    rules = rule_lines(stage, _sole_rules(stage))
    lengths = length_histogram(stage)
    return {
        "rules": rules,
        "most": max((rule.broke for rule in rules), default=1),
        "lengths": as_markup(length_chart(f"lengths{place}", lengths)) if lengths else None,
        "read": stage.share_read("statistics"),
    }


REPORT = StageReport(values=_values, template="corpusmill.pipelines.stages.filter:section.html", losses=_losses)
