"""A rule: a statistic, and the least and the greatest value at which a document is kept; or an expression over columns.

Being data, a rule can be printed with its source, written into a manifest, overridden by a setting, and swept over the
statistics of a finished run without reading text.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Side = Literal["minimum", "maximum"]
SIDES: tuple[Side, ...] = ("minimum", "maximum")


@dataclass(frozen=True)
class Rule:
    """A document keeps to the rule if minimum <= statistic <= maximum; a value exactly at a threshold is kept.

    Attributes:
        name: unique; rules of a preset are named `<preset>/<rule>`.
        statistic: a column of the statistics; empty for an expression.
        minimum, maximum: thresholds, or None for no limit on that side; at least one is set.
        kinds: document kinds that the rule is for; empty for all.
        not_kinds: document kinds that it is not for.
        spaced: True for a rule whose number holds for words between spaces: it is not for documents that are mostly in
            scripts written without spaces (`unspaced_fraction` above one half). False for a rule for these alone.
        source: where the number comes from.
        languages: languages that it is for, by code ("en", "python"); empty for all. A document whose language is
            unknown counts as English where a natural language is asked for, as it does when stop words are counted.
        not_languages: languages that it is not for.
        only_if: a column of 0 and 1: the rule is only for documents that have 1 there; empty for all.
        expression: instead of statistic and thresholds, what must hold (`dataproc.rules.expression`).
    """

    name: str
    statistic: str = ""
    minimum: float | None = None
    maximum: float | None = None
    kinds: tuple[str, ...] = ()
    not_kinds: tuple[str, ...] = ()
    spaced: bool | None = None
    source: str = ""
    languages: tuple[str, ...] = ()
    not_languages: tuple[str, ...] = ()
    expression: str = ""
    only_if: str = ""


def with_threshold(rule: Rule, side: Side, value: float | None) -> Rule:
    """The rule with another threshold on one side; None for no limit there."""
    return replace(rule, minimum=value) if side == "minimum" else replace(rule, maximum=value)


def rule_to_dict(rule: Rule) -> dict[str, Any]:
    """Plain data for a manifest or a task: JSON keeps it as it is. `rule_from_dict` gives the rule back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rule).items()}


def rule_from_dict(data: Mapping[str, Any]) -> Rule:
    """The rule that `rule_to_dict` wrote, unchecked: settings of a user go through `custom_rules`."""
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
    return Rule(**fields)
