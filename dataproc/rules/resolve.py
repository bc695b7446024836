"""From what a user writes to what a filter does: rules, the measures that they need, and the rewriters in force.

All is checked before any work starts: a rule that names nothing that exists, or a column that nobody who is configured
gives, is an error, never a rule that silently does not fire.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.dataproc.measures.functions import column_of, is_function, load_function
from corpusmill.dataproc.measures.providers import (
    DOCUMENTS,
    LABELS,
    LANGUAGE,
    ONE_PASS,
    columns_of,
    is_provider,
    needs_of,
    providers_of_columns,
    rewriter_names,
)
from corpusmill.dataproc.measures.statistic_columns import TOKEN_NGRAMS
from corpusmill.dataproc.rules.custom import check_rule, columns_named, custom_rules, threshold
from corpusmill.dataproc.rules.expression import parse_expression
from corpusmill.dataproc.rules.presets import PRESETS
from corpusmill.dataproc.rules.rule import SIDES, Rule, Side, with_threshold


@dataclass(frozen=True)
class FilterPlan:
    """What a filter does with a document.

    Attributes:
        rules: all rules in force.
        measures: names of the measures that they need beside the one pass, in the order of `PROVIDERS`, and those that
            were asked for; a rewriter is among them where a rule looks at its numbers and it is not in force.
        rewriters: names of the rewriters in force, in order.
        token_ngrams: whether a rule looks at one of `statistics.TOKEN_NGRAMS`, which are only then measured.
    """

    rules: tuple[Rule, ...]
    measures: tuple[str, ...]
    rewriters: tuple[str, ...]
    token_ngrams: bool


def resolve_filter(
    names: Sequence[str],
    overrides: Mapping[str, float] | None = None,
    custom: Sequence[Mapping[str, Any]] = (),
    *,
    measures: Sequence[str] = (),
    rewrite: Sequence[str] = (),
    configured: Mapping[str, Any] | None = None,
    columns: Sequence[str] = (),
) -> FilterPlan:
    """The plan of a filter.

    Args:
        names, overrides, custom: as for `resolve_rules`.
        measures: measures to make also where no rule looks at them: functions ("module:function"), or providers.
        rewrite: rewriters to apply after those of the presets named.
        configured: settings by provider, of those that are configured; a provider that needs settings (URL lists) can
            be had only if it is among them.
        columns: columns of numbers that the documents bring.

    Raises:
        UserError: as `resolve_rules`; an unknown rewriter; settings for an unknown provider; a rule over a column whose
            provider is not configured.
    """
    functions = _functions([*names, *measures])
    configured, known = configured or {}, _providers(custom, (*columns, *functions))
    for name in configured:
        if not is_provider(name):
            raise UserError(f"settings for '{name}', which does not exist", hint=suggest(name, rewriter_names()))
    rewriters = _rewriters(names, rewrite)
    for column in columns:
        if column in known or column in functions or column in LABELS:
            raise UserError(f"the filter itself adds '{column}'", "document_columns", "leave it out")
    for column, name in functions.items():
        if column in known or column in LABELS:
            raise UserError(f"the filter itself adds '{column}'", name, "call the function something else")
    rules = resolve_rules(names, overrides, custom, [*columns, *functions])
    providers = known | dict.fromkeys(columns, DOCUMENTS) | functions
    needed = set(_measures(measures, configured, providers))
    for rule in rules:
        for column in columns_of_rule(rule):
            provider = providers.get(column)
            if provider is None:
                continue  # a label
            if needs_of(provider) and provider not in configured:
                raise UserError(f"nothing computes '{column}' yet", f"rule {rule.name}", needs_of(provider))
            needed.add(provider)
    given = {ONE_PASS, DOCUMENTS, LANGUAGE, *rewriters}
    ordered = dict.fromkeys([*providers.values(), *measures])
    token_ngrams = any(column in TOKEN_NGRAMS for rule in rules for column in columns_of_rule(rule))
    return FilterPlan(rules, tuple(member for member in ordered if member in needed - given), rewriters, token_ngrams)


def resolve_rules(
    names: Sequence[str],
    overrides: Mapping[str, float] | None = None,
    custom: Sequence[Mapping[str, Any]] = (),
    columns: Sequence[str] = (),
) -> tuple[Rule, ...]:
    """Rules of presets and single rules, in the order named, each once; then rules of the user's own.

    Args:
        names: presets ("gopher-quality"), rules of presets ("gopher-quality/words") or functions that filter
            ("module:function", `dataproc.measures.functions`).
        overrides: thresholds by "<rule>.minimum" or "<rule>.maximum", or by "<rule>" where it has only one of them.
        custom: settings for `custom_rules`.
        columns: columns of numbers that the documents bring, beside those that the filter can give.

    Raises:
        UserError: an unknown name, an override of a rule not among `names`, thresholds that cross, a bad custom rule.
    """
    columns = list(dict.fromkeys([*columns, *_functions(names)]))
    statistics = [*_providers(custom, columns), *columns]
    single = {rule.name: rule for preset in PRESETS.values() for rule in preset.rules}
    rules: dict[str, Rule] = {}
    for name in names:
        if is_function(name):
            rules[name] = Rule(name, column_of(name).name, minimum=1.0, source=name)
            continue
        if name not in PRESETS and name not in single:
            raise UserError(f"unknown rule or preset '{name}'", "rules", suggest(name, [*PRESETS, *single]))
        chosen = PRESETS[name].rules if name in PRESETS else (single[name],)
        rules.update((rule.name, rule) for rule in chosen)
    rules = override(rules, overrides or {})
    for rule in rules.values():
        check_rule(rule, statistics)
    for rule in custom_rules(custom, statistics):
        if rule.name in rules:
            raise UserError("a preset has a rule of this name", f"rule {rule.name}", "rename yours")
        rules[rule.name] = rule
    return tuple(rules.values())


def _functions(names: Sequence[str]) -> dict[str, str]:
    """{column: the function that gives it}. Raises UserError for one that cannot be loaded, or two of one name."""
    functions: dict[str, str] = {}
    for name in names:
        if is_function(name) and functions.setdefault(column_of(name).name, name) != name:
            raise UserError(f"another function has the same name: {functions[column_of(name).name]}", name, "rename it")
    return functions


def _measures(names: Sequence[str], configured: Mapping[str, Any], providers: Mapping[str, str]) -> list[str]:
    """The measures asked for. Raises UserError for what is none, or needs something that is not configured."""
    known = [name for name in dict.fromkeys(providers.values()) if name != DOCUMENTS]
    for name in names:
        if not is_provider(name):
            raise UserError(f"unknown measure '{name}'", "measures", suggest(name, known))
        if needs_of(name) and name not in configured:
            raise UserError(f"nothing computes '{columns_of(name)[0].name}' yet", f"measures, {name}", needs_of(name))
    return list(names)


def _providers(custom: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, str]:
    """{column: its provider}, of other packages where a rule of the user's own asks for what only they may give."""
    asked = [name for setting in custom for name in columns_named(setting)]
    return providers_of_columns(name for name in asked if name not in (*columns, *LABELS))


def override(rules: Mapping[str, Rule], overrides: Mapping[str, float]) -> dict[str, Rule]:
    """Rules with other thresholds, as in `resolve_rules`."""
    changed = dict(rules)
    for key, value in overrides.items():
        name, field = threshold_of(key, changed)
        number = threshold(value, key)
        changed[name] = with_threshold(changed[name], field, number)
    return changed


def threshold_of(key: str, rules: Mapping[str, Rule]) -> tuple[str, Side]:
    """(rule, "minimum" or "maximum") that "<rule>", "<rule>.minimum" or "<rule>.maximum" names.

    Raises:
        UserError: no such rule, a rule with two thresholds named without one, or an expression, which has none.
    """
    name, _, field = key.rpartition(".")
    if name not in rules or field not in SIDES:
        name, field = key, ""
    if name not in rules:
        raise UserError(f"'{key}' is not one of the rules in use", "thresholds", suggest(key, list(rules)))
    rule = rules[name]
    if rule.expression:
        raise UserError("an expression has no threshold", key, "write a rule of your own instead")
    has = [side for side in SIDES if side == field or (not field and getattr(rule, side) is not None)]
    if len(has) != 1:
        raise UserError("this rule has two thresholds", key, f"write '{key}.minimum' or '{key}.maximum'")
    return name, has[0]


def columns_of_rule(rule: Rule) -> tuple[str, ...]:
    """The columns of numbers and labels that a rule's condition names; not those that say whom it is for."""
    return parse_expression(rule.expression).columns if rule.expression else (rule.statistic,)


def _rewriters(names: Sequence[str], rewrite: Sequence[str]) -> tuple[str, ...]:
    in_force = [rewriter for name in names if name in PRESETS for rewriter in PRESETS[name].rewriters]
    for name in rewrite:
        if is_function(name):
            load_function(name)
        elif name not in (known := rewriter_names([name])):
            raise UserError(f"unknown rewriter '{name}'", "rewrite", suggest(name, known))
    return tuple(dict.fromkeys([*in_force, *rewrite]))
