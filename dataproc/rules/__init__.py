"""Filter rules as data: what a rule is, the presets of the field, and the decision over a batch of statistics."""

from corpusmill.dataproc.rules.custom import custom_rules
from corpusmill.dataproc.rules.decision import Decision, decide
from corpusmill.dataproc.rules.preset import Preset
from corpusmill.dataproc.rules.presets import PRESETS
from corpusmill.dataproc.rules.resolve import FilterPlan, resolve_filter, resolve_rules
from corpusmill.dataproc.rules.rule import Rule, rule_from_dict, rule_to_dict

__all__ = [
    "PRESETS",
    "Decision",
    "FilterPlan",
    "Preset",
    "Rule",
    "custom_rules",
    "decide",
    "resolve_filter",
    "resolve_rules",
    "rule_from_dict",
    "rule_to_dict",
]
