"""The filter's section of the report: rules, what they rejected, what was rewritten, and what was measured."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.rules import Rule
from corpusmill.pipelines.report.lengths import length_chart, length_histogram
from corpusmill.pipelines.report.removals import Example, RuleLine, SoleRules, rule_lines, sole_rules
from corpusmill.pipelines.report.sections import StageReport
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.report.statistics import asked_of, statistic_histograms
from corpusmill.pipelines.stages.filter.rules_in_force import LANGUAGE_RULE, rules_in_force
from corpusmill.pipelines.visible import one_line

STATISTICS_SHOWN = 11
"""Histograms that are not folded away."""

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
    in_force = {rule.name: rule for rule in rules_in_force(stage.manifest)}
    settings = stage.manifest["settings"]
    return {
        "heading": "Rules broken",
        "rules": rules,
        "most": max((rule.broke for rule in rules), default=1),
        "fault_of": lambda rule, example: fault_of(in_force.get(rule.name), rule, example, settings),
        "lengths": length_chart(lengths) if lengths else None,
        "statistics": statistic_histograms(stage, list(in_force.values())),
        "shown": STATISTICS_SHOWN,
        "read": "",  # rules are counted by the manifest
        "statistics_read": stage.share_read("statistics"),
        "rewriters": _rewriters(stage),
        "rewrites_read": stage.share_read("rewrites"),
    }


def fault_of(rule: Rule | None, line: RuleLine, example: Example, settings: Mapping[str, Any]) -> str:
    """In words, what was wrong with a document: `word_count is 12; at least 50 is required`."""
    if line.name == LANGUAGE_RULE:
        return _language_fault(example, settings)
    if rule is None or rule.expression:
        return f"it does not satisfy {one_line(rule.expression, 200)}" if rule else f"it broke {line.name}"
    value = "was not measured" if example.value != example.value else f"is {example.value:,.6g}"
    return f"{one_line(rule.statistic, 80)} {value}; {asked_of(rule)} is required"


def _language_fault(example: Example, settings: Mapping[str, Any]) -> str:
    asked = ", ".join(one_line(str(code), 20) for code in settings.get("languages") or ())
    if example.language is None:
        sure = f"the most likely one scores {example.value:.2f}; {example.threshold:g} is required"
        return f"no language was certain enough: {sure}"
    return f"its language is {example.language}, with a score of {example.value:.2f}; only {asked} are kept"


def _rewriters(stage: StageOutput) -> list[dict[str, Any]]:
    """Of each rule that rewrites: documents that it changed, their bytes, and how many it took out of them."""
    documents, before, taken = Counter[str](), Counter[str](), Counter[str]()
    for path in stage.side_paths("rewrites").values():
        for batch in read_batches(path, ["rule", "bytes_before", "bytes_after"]):
            for rule in pc.unique(batch.column("rule")).to_pylist():
                rows = batch.filter(pc.equal(batch.column("rule"), rule))
                here, left = (pc.sum(rows.column(name)).as_py() for name in ("bytes_before", "bytes_after"))
                documents[rule] += rows.num_rows
                before[rule] += here
                taken[rule] += here - left
    return [
        {"name": one_line(rule), "documents": documents[rule], "before": before[rule], "taken": taken[rule]}
        for rule in sorted(documents, key=lambda rule: (-taken[rule], rule))
    ]


REPORT = StageReport(values=_values, template="corpusmill.pipelines.stages.filter:section.html", losses=_losses)
