"""Filter rules as data: what a rule is, the presets of the field, and the decision over a batch of statistics."""

from dataproc.rules.decision import Decision, decide
from dataproc.rules.presets import PRESETS
from dataproc.rules.resolve import custom_rules, resolve_rules
from dataproc.rules.rule import Rule, rule_from_dict, rule_to_dict

__all__ = ["PRESETS", "Decision", "Rule", "custom_rules", "decide", "resolve_rules", "rule_from_dict", "rule_to_dict"]
