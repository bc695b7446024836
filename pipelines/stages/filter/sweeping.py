"""Plans a sweep over a finished filter: rules by name, looked up among those in force, presets and statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.dataproc.measures.providers import LABELS
from corpusmill.dataproc.measures.statistics import STATISTICS
from corpusmill.dataproc.rules import PRESETS, Rule, resolve_rules
from corpusmill.dataproc.rules.custom import custom_rules
from corpusmill.dataproc.rules.resolve import override, threshold_of
from corpusmill.dataproc.rules.rule import SIDES, Side, with_threshold
from corpusmill.dataproc.side_tables import side_files, side_folder
from corpusmill.dataproc.sweep import Swept, columns_needed, thresholds_of
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.stages.filter.rules_in_force import language_rule, rules_in_force

TABLE = "statistics"
"""The side table that a sweep reads."""


@dataclass(frozen=True)
class SweepPlan:
    """Files to read, which columns of them, what to sweep, and every other rule in force."""

    files: tuple[str, ...]
    columns: tuple[str, ...]
    swept: tuple[Swept, ...]
    others: tuple[Rule, ...]


def plan_sweep(
    folder: str,
    ranges: Sequence[str],
    *,
    rules: Sequence[str] | None = None,
    thresholds: Mapping[str, float] | None = None,
    expressions: Sequence[str] = (),
    by: Sequence[tuple[str, ...]] = (),
) -> SweepPlan:
    """The plan of a sweep.

    Args:
        folder: of a finished filter, or its `_statistics/`.
        ranges: what to sweep, as "<rule>=lo..hi", "<rule>.minimum=lo..hi:steps" or "<statistic>.maximum=a,b,c". A rule
            of the presets that was not in force, or a statistic by itself, becomes one more rule.
        rules: presets or rules to judge by instead of those that were in force.
        thresholds: other thresholds for rules that are not swept, by name.
        expressions: conditions that documents must keep to as well.
        by: breakdowns, by columns that hold strings.

    Raises:
        UserError: no filter's folder, or an unknown rule, statistic or column.
    """
    folder, manifest = _manifest(folder)
    files = tuple(storage.join(folder, path) for path in side_files(manifest, TABLE).values())
    if not files:
        raise UserError("this filter has no statistics", where=folder)
    names = _column_names(files[0])
    for column in (column for columns in by for column in columns):
        if column not in LABELS:
            raise UserError(f"cannot break down by '{column}'", "--by", f"use one of {', '.join(LABELS)}")
    in_force = rules_in_force(manifest) if rules is None else resolve_rules(rules)
    asked = language_rule(manifest["settings"])
    in_force = (*in_force, asked) if asked else in_force
    numbers = [name for name in names if name not in (*LABELS, "id")]
    own = custom_rules(
        [{"name": f"keep-if-{place}", "expression": expression} for place, expression in enumerate(expressions, 1)],
        numbers,
    )
    by_name = override({rule.name: rule for rule in (*in_force, *own)}, thresholds or {})
    swept = [_swept(range_, by_name, numbers) for range_ in ranges]
    _refuse_twice(swept)
    others = tuple(rule for name, rule in by_name.items() if name not in {sweep.rule.name for sweep in swept})
    needed = columns_needed(swept, others, by)
    for column in needed:
        if column not in names:
            what = f"these statistics have no column '{column}'"
            raise UserError(what, where=folder, hint="filter again with a rule that asks for it")
    return SweepPlan(files, tuple(needed), tuple(swept), others)


def _manifest(folder: str) -> tuple[str, Mapping[str, Any]]:
    """(the filter's folder, its manifest) from either that folder or its statistics."""
    folder = folder.rstrip("/") or "/"
    manifest = state.read_manifest(folder) if storage.exists(folder) else None
    above, _, name = folder.rstrip("/").rpartition("/")
    if manifest is None and name in (side_folder(TABLE), TABLE):
        folder = above or "."
        manifest = state.read_manifest(folder)
    if manifest is None or manifest["stage"] != "filter":
        raise UserError("not the folder of a finished filter", where=folder, hint="name one, or its _statistics/")
    return folder, manifest


def _column_names(path: str) -> list[str]:
    with open_part(path) as file:
        return list(file.schema_arrow.names)


def _swept(text: str, rules: dict[str, Rule], numbers: Sequence[str]) -> Swept:
    """What "<name>=<range>" asks for; a rule that is not in force joins `rules`."""
    key, equals, spread = text.partition("=")
    if not equals:
        raise UserError(f"'{text}' is not NAME=LO..HI", "--rule", "write gopher-quality/words.minimum=20..100")
    name, side = _target(key.strip(), rules, numbers)
    rule = rules[name]
    whole = rule.statistic in STATISTICS and STATISTICS[rule.statistic].whole is None
    try:
        return Swept(rule, side, thresholds_of(spread.strip(), whole))
    except UserError as error:
        raise UserError(error.what, f"--rule {key}", error.hint) from error


def _target(key: str, rules: dict[str, Rule], numbers: Sequence[str]) -> tuple[str, Side]:
    """(rule, side) that a key names."""
    name, _, field = key.rpartition(".")
    if field not in SIDES:
        name, field = key, ""
    single = {rule.name: rule for preset in PRESETS.values() for rule in preset.rules}
    if name not in rules:
        short = [rule for rule in rules if rule.rpartition("/")[2] == name]
        if len(short) > 1:
            raise UserError(f"'{name}' could be {' or '.join(short)}", "--rule", "write one of them")
        if short:
            name = short[0]
        elif name in single:
            rules[name] = single[name]
        elif name in numbers:
            if not field:
                raise UserError(f"'{name}' is a statistic", "--rule", f"write {name}.minimum=… or {name}.maximum=…")
            bare = Rule(name, name, source="a sweep")
            rules[name] = with_threshold(bare, "minimum" if field == "minimum" else "maximum", 0.0)
        else:
            short_names = [rule.rpartition("/")[2] for rule in rules]
            raise UserError(
                f"no rule or statistic '{name}'", "--rule", suggest(name, [*short_names, *rules, *single, *numbers])
            )
    return threshold_of(f"{name}.{field}" if field else name, rules)


def _refuse_twice(swept: Sequence[Swept]) -> None:
    for place, sweep in enumerate(swept):
        if any((sweep.rule.name, sweep.side) == (other.rule.name, other.side) for other in swept[:place]):
            raise UserError(f"the {sweep.side} of {sweep.rule.name} is swept twice", "--rule", "give it once")


def threshold_in_force(swept: Swept) -> float | None:
    """The threshold that the rule has now."""
    return swept.rule.minimum if swept.side == "minimum" else swept.rule.maximum
