"""What a filter rejected, by rule, and who would come back with another threshold.

A document comes back when the rule is the only one that it broke, and its value keeps to the new threshold: both stand
in the ledger, so no text is read but that of the documents shown.
"""

import math
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.places import Place
from corpusmill.pipelines.inspect.thresholds import Thresholds, rule_counts
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.text import shown_text
from corpusmill.pipelines.window.ways import stage_trail

SIZE, STEPS = 20, 200
MOST_START = 10_000
"""Documents that come back before those of a page: all of them are sorted for it."""

_RULES = """
SELECT rule, count(*) AS broke, min(value) AS lowest, max(value) AS highest, min(threshold) AS threshold
FROM ledger GROUP BY rule ORDER BY broke DESC, rule
"""
_BACK = """
SELECT l.id, l.value FROM ledger l JOIN rejected r USING (id)
WHERE l.rule = '{rule}' AND r.broken_rules = l.rule AND l.value {relation} {threshold!r} ORDER BY l.value {order}
"""
_thresholds = Thresholds()


@page("rejected.html")
def rejected(view: View) -> Values:
    """The rules, or one rule with its slider."""
    place = view.stage
    rules = [asdict(rule) for rule in rule_counts(place)]
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
    start = view.number("start", most=MOST_START)
    answer = _thresholds.coming_back(
        place, rule["rule"], chosen, below=below, edges=(edges[0], edges[1]), start=start, most=SIZE
    )
    rows = [[row["id"], value, row.get("source"), row.get("language"), row.get("text")] for value, row in answer.first]
    names = ("id", "value", "source", "language", "text")
    command = _BACK.format(
        rule=rule["rule"].replace("'", "''"), relation=relation, threshold=chosen, order="ASC" if below else "DESC"
    )
    return common | {
        "relation": "at least" if below else "at most",
        "threshold": chosen,
        "edges": edges,
        "step": (edges[1] - edges[0]) / STEPS,
        "has_slider": True,
        "back": answer.count,
        "histogram": _histogram(answer.bins.tolist(), edges, below=below, chosen=chosen),
        "entries": [dict(zip(names, row, strict=True)) | {"shown": shown_text(row[-1] or "")} for row in rows],
        "start": start,
        "size": SIZE,
        "story": f"{view.path.address}/document" if view.path.place.what == "run" else "",
        "command": ["inspect", "sql", " ".join(command.split()), place.path],
        "table": Table(f"{rule['rule']}-would-come-back", names, rows),
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


def _histogram(counts: list[int], edges: list[float], *, below: bool, chosen: float) -> list[tuple[int, float, bool]]:
    """(documents, share of the highest bar, whether they would come back) of each bin of the rule's broken values."""
    width = (edges[1] - edges[0]) / len(counts)
    most = max([*counts, 1])
    middles = [edges[0] + width * (number + 0.5) for number in range(len(counts))]
    return [
        (count, count / most, middle >= chosen if below else middle <= chosen)
        for count, middle in zip(counts, middles, strict=True)
    ]
