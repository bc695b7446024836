"""What there is to say of presets, rules, statistics and rewriters, as rows of plain strings: the text of `--show`."""

from dataclasses import dataclass

from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.dataproc.measures.providers import (
    PROVIDERS,
    class_of,
    columns_of,
    needs_of,
    providers_of_columns,
    rewriter_names,
    source_of,
)
from corpusmill.dataproc.rules.preset import Preset
from corpusmill.dataproc.rules.presets import PRESETS
from corpusmill.dataproc.rules.resolve import columns_of_rule
from corpusmill.dataproc.rules.rule import Rule

ALL = "all"


@dataclass(frozen=True)
class Section:
    """A table: `lines` above it, names of columns, rows of strings."""

    lines: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def describe(name: str) -> list[Section]:
    """All about a preset, a rule of one, a statistic or a rewriter; of "all", what presets and rewriters there are.

    Raises:
        UserError: nothing has this name.
    """
    single = {rule.name: rule for preset in PRESETS.values() for rule in preset.rules}
    statistics = providers_of_columns()
    if name == ALL:
        return [_presets(), _rewriters(rewriter_names()), _providers()]
    if name in PRESETS:
        return _preset(PRESETS[name])
    if name in single:
        return [_rules((single[name],)), _statistics(_names_of((single[name],)))]
    if name in statistics:
        users = tuple(rule for rule in single.values() if name in columns_of_rule(rule))
        sections = [_statistics([name])]
        return [*sections, _rules(users)] if users else sections
    if name in rewriter_names([name]):
        return [_rewriters([name]), _statistics([column.name for column in columns_of(name)])]
    if name in providers_of_columns([name]):
        return [_statistics([name])]
    raise UserError(
        f"no preset, rule, statistic or rewriter is called '{name}'",
        "--show",
        suggest(name, [*PRESETS, *single, *statistics, *rewriter_names(), ALL]),
    )


def _preset(preset: Preset) -> list[Section]:
    sections = [Section((preset.name, preset.description))]
    sections += [_rules(preset.rules), _statistics(_names_of(preset.rules))] if preset.rules else []
    return [*sections, _rewriters(preset.rewriters)] if preset.rewriters else sections


def _presets() -> Section:
    rows = [
        (preset.name, str(len(preset.rules)), ", ".join(preset.rewriters), preset.description)
        for preset in PRESETS.values()
    ]
    return Section(("presets of rules",), ("preset", "rules", "rewrites by", "what it is"), tuple(rows))


def _rules(rules: tuple[Rule, ...]) -> Section:
    rows = [(rule.name, keeps(rule), applies(rule), rule.source) for rule in rules]
    return Section(("rules",), ("rule", "keeps a document if", "for", "source"), tuple(rows))


def _statistics(names: list[str]) -> Section:
    providers = dict.fromkeys(providers_of_columns(names).values())
    columns = {column.name: column for provider in providers for column in columns_of(provider)}
    rows = [(name, columns[name].unit, _definition(name, columns[name].description)) for name in names]
    return Section(("statistics",), ("statistic", "unit", "what it is"), tuple(rows))


def _definition(name: str, description: str) -> str:
    needs = needs_of(providers_of_columns([name])[name])
    return f"{description} ({needs})" if needs else description


def _rewriters(names: list[str] | tuple[str, ...]) -> Section:
    rows = [(name, _class_line(name), source_of(name)) for name in names]
    return Section(("rules that rewrite",), ("rewriter", "what it does", "source"), tuple(rows))


def _class_line(name: str) -> str:
    return (class_of(name).__doc__ or "").strip().split("\n")[0].rstrip(".")


def _providers() -> Section:
    rows = [
        (provider, str(len(columns_of(provider))), needs_of(provider) or "nothing") for provider in _all_providers()
    ]
    return Section(("statistics, by what measures them",), ("measure", "statistics", "needs"), tuple(rows))


def _all_providers() -> list[str]:
    return list(dict.fromkeys([*providers_of_columns().values(), *PROVIDERS]))


def _names_of(rules: tuple[Rule, ...]) -> list[str]:
    """Statistics that rules look at, each once."""
    known = providers_of_columns()
    return list(dict.fromkeys(name for rule in rules for name in columns_of_rule(rule) if name in known))


def keeps(rule: Rule) -> str:
    """As `50 <= word_count <= 100,000`."""
    if rule.expression:
        return rule.expression
    low = "" if rule.minimum is None else f"{rule.minimum:,.12g} <= "
    high = "" if rule.maximum is None else f" <= {rule.maximum:,.12g}"
    if low and high:
        return f"{low}{rule.statistic}{high}"
    return f"{rule.statistic} >= {low.removesuffix(' <= ')}" if low else f"{rule.statistic}{high}"


def applies(rule: Rule) -> str:
    """Whom a rule is for, as `all but code; text with spaces`."""
    parts = [", ".join(rule.kinds)] if rule.kinds else []
    parts += [f"all but {', '.join(rule.not_kinds)}"] if rule.not_kinds else []
    if rule.languages:
        few = rule.languages if len(rule.languages) <= 8 else (*rule.languages[:6], f"… ({len(rule.languages)})")
        parts.append(f"languages {', '.join(few)}")
    parts += [f"not {', '.join(rule.not_languages)}"] if rule.not_languages else []
    if rule.spaced is not None:
        parts.append("scripts with spaces" if rule.spaced else "scripts without spaces")
    parts += [f"{rule.only_if} is 1"] if rule.only_if else []
    return "; ".join(parts) or "all"
