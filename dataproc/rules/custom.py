"""Rules of the user's own, from settings: over one statistic, or an expression over columns."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.dataproc.measures.providers import LABELS, providers_of_columns
from corpusmill.dataproc.rules.expression import Kind, check_expression, parse_expression
from corpusmill.dataproc.rules.rule import Rule

RESERVED = ("language", "empty-after-rewriting")
"""Names under which the filter itself rejects documents."""


def custom_rules(settings: Sequence[Mapping[str, Any]], statistics: Collection[str] | None = None) -> tuple[Rule, ...]:
    """Rules from settings such as {"name": "long", "statistic": "word_count", "minimum": 300}, or
    {"name": "long-or-german", "expression": "word_count > 300 or language == 'de'"}.

    Args:
        settings: one mapping a rule, of the fields of `Rule`; a name and either a statistic and a threshold or an
            expression are needed.
        statistics: columns of numbers that rules may look at; all of them if left out.

    A field that is None counts as not given.

    Raises:
        UserError: an unknown field or statistic, a wrong type, no threshold, a bad expression, or a name used twice.
    """
    numbers = list(providers_of_columns()) if statistics is None else list(statistics)
    rules: dict[str, Rule] = {}
    for number, setting in enumerate(settings):
        where = f"rule {setting.get('name', number + 1)}"
        rule = _custom_rule(setting, where)
        check_rule(rule, numbers)
        if rule.name in rules:
            raise UserError("two rules have this name", where, "rename one of them")
        rules[rule.name] = rule
    return tuple(rules.values())


def columns_named(setting: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that a rule of the user's own looks at; none where `custom_rules` will report it."""
    statistic, expression = setting.get("statistic"), setting.get("expression")
    if isinstance(expression, str) and expression:
        try:
            return parse_expression(expression).columns
        except UserError:
            return ()
    return (statistic,) if isinstance(statistic, str) and statistic else ()


def check_rule(rule: Rule, statistics: Sequence[str]) -> None:
    """Raises UserError for a rule whose statistic does not exist, that has no threshold, or thresholds that cross."""
    where = f"rule {rule.name}"
    if rule.expression:
        _check_expression(rule, statistics)
        return
    if rule.statistic not in statistics:
        raise UserError(f"unknown statistic '{rule.statistic}'", where, suggest(rule.statistic, statistics))
    if rule.minimum is None and rule.maximum is None:
        raise UserError("no threshold", where, "set a minimum, a maximum or both")
    if rule.minimum is not None and rule.maximum is not None and rule.minimum > rule.maximum:
        raise UserError(f"minimum {rule.minimum:g} is above maximum {rule.maximum:g}", where)


def threshold(value: Any, where: str, optional: bool = False) -> float | None:
    """A finite number as float; None where it is optional and not given."""
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"a threshold must be a number, not {value!r}", where)
    return float(value)


def _custom_rule(setting: Mapping[str, Any], where: str) -> Rule:
    known = [field.name for field in fields(Rule)]
    for field in setting:
        if field not in known:
            raise UserError(f"unknown field '{field}'", where, suggest(field, known))
    given = {field: value for field, value in setting.items() if value is not None and value != ""}
    if not isinstance(given.get("name"), str):
        raise UserError("'name' is missing", where, "give the rule a name")
    if given["name"] in RESERVED or "," in given["name"]:
        raise UserError("this name is not allowed for a rule", where, "rename it")
    if "expression" in given:
        for field in ("statistic", "minimum", "maximum", "spaced"):
            if field in given:
                raise UserError(f"'{field}' cannot be combined with an expression", where, "write it in the expression")
    elif not isinstance(given.get("statistic"), str):
        raise UserError("'statistic' is missing", where, "set a statistic or an expression")
    return Rule(
        name=given["name"],
        statistic=given.get("statistic", ""),
        minimum=threshold(given.get("minimum"), where, optional=True),
        maximum=threshold(given.get("maximum"), where, optional=True),
        kinds=_names(given.get("kinds"), "kinds", where),
        not_kinds=_names(given.get("not_kinds"), "not_kinds", where),
        spaced=_flag(given.get("spaced"), where),
        source=str(given.get("source") or "a setting"),
        languages=_names(given.get("languages"), "languages", where),
        not_languages=_names(given.get("not_languages"), "not_languages", where),
        expression=_text(given.get("expression", ""), where),
    )


def _check_expression(rule: Rule, statistics: Sequence[str]) -> None:
    kinds: dict[str, Kind] = dict.fromkeys(statistics, "number")
    kinds.update(dict.fromkeys(LABELS, "text"))
    try:
        check_expression(rule.expression, kinds)
    except UserError as error:
        raise UserError(error.what, f"rule {rule.name}: {error.where}", error.hint) from error


def _names(value: Any, field: str, where: str) -> tuple[str, ...]:
    names = () if value is None else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{field} must be a list of names", where, 'write ["code"]')
    return tuple(names)


def _flag(value: Any, where: str) -> bool | None:
    if not (value is None or isinstance(value, bool)):
        raise UserError(f"'spaced' must be true or false, not {value!r}", where)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"an expression must be a string, not {value!r}", where)
    return value
