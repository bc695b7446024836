"""What a filter rejected, by rule, and who would come back with another threshold.

A document comes back when the rule is the only one that it broke, and its value keeps to the new threshold: both stand
in the ledger, so no text is read but that of the documents shown.
"""

import math
from typing import Any
from urllib.parse import urlencode

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.places import Place
from corpusmill.pipelines.inspect.sql import Limits, run_query
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.text import shown_text
from corpusmill.pipelines.window.ways import stage_trail

SIZE = 20
BINS, STEPS = 60, 200
LIMITS = Limits(memory_bytes=256 << 20, seconds=20.0, threads=2)

_RULES = """
SELECT l.rule, count(*) AS broke, count(*) FILTER (WHERE r.broken_rules = l.rule) AS alone,
  min(l.value) AS lowest, max(l.value) AS highest, min(l.threshold) AS threshold,
  max(l.threshold) AS highest_threshold
FROM ledger l LEFT JOIN rejected r USING (id) GROUP BY l.rule ORDER BY broke DESC, l.rule
"""
_BACK = """
FROM ledger l JOIN rejected r USING (id)
WHERE l.rule = '{rule}' AND r.broken_rules = l.rule AND l.value {relation} {threshold!r}
"""


@page("rejected.html")
def rejected(view: View) -> Values:
    """The rules, or one rule with its slider."""
    place = view.stage
    rules = _asked(place, _RULES)
    values: Values = {
        "title": "Rejected",
        "trail": stage_trail(view),
        "rules": rules,
        "rule": None,
        "command": ["inspect", "sql", " ".join(_RULES.split()), place.path],
        "table": Table(f"{view.stage_name}-rules", list(rules[0]) if rules else [], [list(r.values()) for r in rules]),
    }
    wanted = view.text("rule")
    if not wanted:
        return values
    chosen = next((rule for rule in rules if rule["rule"] == wanted), None)
    if chosen is None:
        raise UserError("no document broke this rule here", where=wanted[:200], hint="choose one from the list")
    return values | _one_rule(view, place, chosen)


def _one_rule(view: View, place: Place, rule: dict[str, Any]) -> Values:
    common: Values = {"rule": rule, "by_rule": f"documents?{urlencode({'rule': rule['rule']})}", "has_slider": False}
    relation = _relation(place, rule)
    if relation is None:
        return common | {"command": ["inspect", "sample", place.path, "--rule", rule["rule"]], "table": None}
    below, threshold = relation == ">=", float(rule["threshold"])
    edges = [float(rule["lowest"]), threshold] if below else [threshold, float(rule["highest"])]
    asked = view.real("threshold")
    chosen = threshold if asked is None else min(max(asked, edges[0]), edges[1])
    back = _BACK.format(rule=_quoted(rule["rule"]), relation=relation, threshold=chosen)
    start = view.number("start")
    rows = _asked(
        place,
        f"SELECT l.id, l.value, l.threshold, r.source, r.language, r.text {back} "
        f"ORDER BY l.value {'ASC' if below else 'DESC'}, l.id LIMIT {SIZE} OFFSET {start}",
    )
    return common | {
        "relation": "at least" if below else "at most",
        "threshold": chosen,
        "edges": edges,
        "step": (edges[1] - edges[0]) / STEPS,
        "has_slider": True,
        "back": _asked(place, f"SELECT count(*) AS back {back}")[0]["back"],
        "histogram": _histogram(place, rule["rule"], edges, below=below, chosen=chosen),
        "entries": [{**row, "shown": shown_text(row["text"] or "")} for row in rows],
        "start": start,
        "size": SIZE,
        "story": f"{view.path.address}/document" if view.path.place.what == "run" else "",
        "command": ["inspect", "sql", " ".join(f"SELECT l.id, l.value {back}".split()), place.path],
        "table": Table(
            f"{rule['rule']}-would-come-back",
            ["id", "value", "threshold", "source", "language", "text"],
            [list(row.values()) for row in rows],
        ),
    }


def _relation(place: Place, line: dict[str, Any]) -> str | None:
    """How a value keeps to the rule's threshold, ">=" or "<="; None for a rule without a single one that could be
    moved: an expression, a language, two thresholds that were both broken, or values that were not measured."""
    from corpusmill.pipelines.stages.filter.rules_in_force import rules_in_force

    rule = next((rule for rule in rules_in_force(place.manifest) if rule.name == line["rule"]), None)
    numbers = [line[name] for name in ("lowest", "highest", "threshold", "highest_threshold")]
    if rule is None or rule.expression or any(number is None or not math.isfinite(number) for number in numbers):
        return None
    low, high, threshold, highest_threshold = numbers
    if threshold != highest_threshold:
        return None
    return ">=" if high < threshold else "<=" if low > threshold else None


def _histogram(
    place: Place, rule: str, edges: list[float], *, below: bool, chosen: float
) -> list[tuple[int, float, bool]]:
    """(documents, share of the highest bar, whether they would come back) of each bin of the rule's broken values."""
    width = (edges[1] - edges[0]) / BINS
    rows = _asked(
        place,
        f"SELECT least(greatest(floor((value - {edges[0]!r}) / {width!r}), 0), {BINS - 1})::INTEGER "
        f"AS bin, count(*) AS documents FROM ledger WHERE rule = '{_quoted(rule)}' AND isfinite(value) GROUP BY bin",
    )
    counts = {row["bin"]: row["documents"] for row in rows}
    most = max(counts.values(), default=1)
    middles = [edges[0] + width * (number + 0.5) for number in range(BINS)]
    back = [middle >= chosen if below else middle <= chosen for middle in middles]
    return [(counts.get(number, 0), counts.get(number, 0) / most, back[number]) for number in range(BINS)]


def _quoted(name: str) -> str:
    return name.replace("'", "''")


def _asked(place: Place, statement: str) -> list[dict[str, Any]]:
    """All rows of an answer, by column."""
    with run_query([place], statement, LIMITS) as answer:
        columns = list(answer.columns)
        return [dict(zip(columns, row, strict=True)) for batch in answer.batches for row in batch]


ROUTES = [("/at/{key}/stage/{stage}/rejected", rejected)]
