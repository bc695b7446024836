"""From what a user writes to rules: preset and rule names, overridden thresholds, rules of their own. All is checked
before any work starts: a rule that names nothing that exists is an error, never a rule that silently does not fire.
"""

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from dataproc.errors import UserError
from dataproc.rules.presets import PRESETS
from dataproc.rules.rule import Rule
from dataproc.statistics import STATISTICS

MOST_LISTED = 8


def resolve_rules(
    names: Sequence[str],
    overrides: Mapping[str, float] | None = None,
    custom: Sequence[Mapping[str, Any]] = (),
) -> tuple[Rule, ...]:
    """Rules of presets and single rules, in the order named, each once; then rules of the user's own.

    Args:
        names: presets ("gopher-quality") or rules of presets ("gopher-quality/words").
        overrides: thresholds by "<rule>.minimum" or "<rule>.maximum", or by "<rule>" where it has only one of them.
        custom: settings for `custom_rules`.

    Raises:
        UserError: an unknown name, an override of a rule not among `names`, thresholds that cross, a bad custom rule.
    """
    single = {rule.name: rule for preset in PRESETS.values() for rule in preset}
    rules: dict[str, Rule] = {}
    for name in names:
        found = PRESETS.get(name) or ((single[name],) if name in single else None)
        if found is None:
            raise UserError(f"unknown rule or preset '{name}'", "rules", _suggest(name, [*PRESETS, *single]))
        rules.update((rule.name, rule) for rule in found)
    for key, value in (overrides or {}).items():
        name, field = _target(key, rules)
        threshold = _threshold(value, key)
        rule = rules[name]
        rules[name] = replace(rule, minimum=threshold) if field == "minimum" else replace(rule, maximum=threshold)
    for rule in rules.values():
        _check(rule, STATISTICS)
    for rule in custom_rules(custom):
        if rule.name in rules:
            raise UserError("a preset has a rule of this name", f"rule {rule.name}", "rename yours")
        rules[rule.name] = rule
    return tuple(rules.values())


def custom_rules(settings: Sequence[Mapping[str, Any]], statistics: Collection[str] = STATISTICS) -> tuple[Rule, ...]:
    """Rules from settings such as {"name": "long", "statistic": "word_count", "minimum": 300}.

    Args:
        settings: one mapping a rule, of the fields of `Rule`; name, statistic and a threshold are needed.
        statistics: columns that rules may look at.

    A field that is None counts as not given.

    Raises:
        UserError: an unknown field or statistic, a wrong type, no threshold, or a name used twice.
    """
    known = [field.name for field in fields(Rule)]
    rules: dict[str, Rule] = {}
    for number, setting in enumerate(settings):
        where = f"rule {setting.get('name', number + 1)}"
        for field in setting:
            if field not in known:
                raise UserError(f"unknown field '{field}'", where, _suggest(field, known))
        for field in ("name", "statistic"):
            if not isinstance(setting.get(field), str) or not setting[field]:
                raise UserError(f"'{field}' is missing", where, f"give the rule a {field}")
        rule = Rule(
            name=setting["name"],
            statistic=setting["statistic"],
            minimum=_threshold(setting.get("minimum"), where, optional=True),
            maximum=_threshold(setting.get("maximum"), where, optional=True),
            kinds=_kinds(setting.get("kinds"), where),
            not_kinds=_kinds(setting.get("not_kinds"), where),
            spaced=_flag(setting.get("spaced"), where),
            source=str(setting.get("source") or "a setting"),
        )
        _check(rule, statistics)
        if rule.name in rules:
            raise UserError("two rules have this name", where, "rename one of them")
        rules[rule.name] = rule
    return tuple(rules.values())


def _target(key: str, rules: Mapping[str, Rule]) -> tuple[str, str]:
    """The rule and the field that an override names."""
    name, _, field = key.rpartition(".")
    if name in rules and field in ("minimum", "maximum"):
        return name, field
    if key not in rules:
        raise UserError(f"'{key}' is not among the rules in force", "thresholds", _suggest(key, list(rules)))
    has = [field for field in ("minimum", "maximum") if getattr(rules[key], field) is not None]
    if len(has) != 1:
        raise UserError("this rule has two thresholds", key, f"write '{key}.minimum' or '{key}.maximum'")
    return key, has[0]


def _check(rule: Rule, statistics: Collection[str]) -> None:
    if rule.statistic not in statistics:
        mend = _suggest(rule.statistic, list(statistics))
        raise UserError(f"unknown statistic '{rule.statistic}'", f"rule {rule.name}", mend)
    if rule.minimum is None and rule.maximum is None:
        raise UserError("no threshold", f"rule {rule.name}", "give a minimum, a maximum or both")
    if rule.minimum is not None and rule.maximum is not None and rule.minimum > rule.maximum:
        raise UserError(f"minimum {rule.minimum:g} is above maximum {rule.maximum:g}", f"rule {rule.name}")


def _threshold(value: Any, where: str, optional: bool = False) -> float | None:
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"a threshold must be a number, not {value!r}", where)
    return float(value)


def _kinds(value: Any, where: str) -> tuple[str, ...]:
    kinds = () if value is None else value
    if not isinstance(kinds, list | tuple) or not all(isinstance(kind, str) for kind in kinds):
        raise UserError("kinds must be a list of names", where, 'write ["code"]')
    return tuple(kinds)


def _flag(value: Any, where: str) -> bool | None:
    if not (value is None or isinstance(value, bool)):
        raise UserError(f"'spaced' must be true or false, not {value!r}", where)
    return value


def _suggest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(known[:MOST_LISTED]) + (", ..." if len(known) > MOST_LISTED else "")
    return f"did you mean '{close[0]}'?" if close else f"known are {listed}"
