"""What a filter rejected, by rule, and who would come back with another threshold.

A document comes back when the rule is the only one that it broke, and its value keeps to the new threshold: both stand
in the ledger, so no text is read but that of the documents shown.
"""

from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.places import Place
from corpusmill.pipelines.inspect.sql import Limits, run_query
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.text import shown_text
from corpusmill.pipelines.window.ways import stage_trail

SIZE = 20
BINS = 60
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
    low, high, threshold = rule["lowest"], rule["highest"], rule["threshold"]
    has_slider = threshold == rule["highest_threshold"] and low == low and high == high and low != high
    below = high is not None and threshold is not None and high < threshold
    edges = sorted((low, threshold)) if below else sorted((threshold, high))
    chosen = view.real("threshold")
    chosen = threshold if chosen is None else min(max(chosen, edges[0]), edges[1])
    relation = ">=" if below else "<="
    back = _BACK.format(rule=rule["rule"].replace("'", "''"), relation=relation, threshold=float(chosen))
    start = view.number("start")
    count = _asked(place, f"SELECT count(*) AS back {back}")[0]["back"]
    order = "DESC" if not below else "ASC"
    rows = _asked(
        place,
        f"SELECT l.id, l.value, l.threshold, r.source, r.language, r.text {back} "
        f"ORDER BY l.value {order}, l.id LIMIT {SIZE} OFFSET {start}",
    )
    return {
        "rule": rule,
        "relation": "at least" if below else "at most",
        "threshold": chosen,
        "edges": edges,
        "step": (edges[1] - edges[0]) / 200 or 1,
        "has_slider": has_slider,
        "back": count,
        "histogram": _histogram(place, rule, edges, below=below, chosen=chosen) if has_slider else [],
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


def _histogram(
    place: Place, rule: dict[str, Any], edges: list[float], *, below: bool, chosen: float
) -> list[tuple[int, float, bool]]:
    """(documents, share of the highest bar, whether they would come back) of each bin of the rule's broken values."""
    width = (edges[1] - edges[0]) / BINS
    name = rule["rule"].replace("'", "''")
    rows = _asked(
        place,
        f"SELECT least(greatest(floor((value - {float(edges[0])!r}) / {float(width)!r}), 0), {BINS - 1})::INTEGER "
        f"AS bin, count(*) AS documents FROM ledger WHERE rule = '{name}' AND isfinite(value) GROUP BY bin",
    )
    counts = {row["bin"]: row["documents"] for row in rows}
    most = max(counts.values(), default=1)
    back = [edges[0] + width * (place_ + 0.5) >= chosen if below else edges[0] + width * (place_ + 0.5) <= chosen
            for place_ in range(BINS)]  # fmt: skip
    return [(counts.get(place_, 0), counts.get(place_, 0) / most, back[place_]) for place_ in range(BINS)]


def _asked(place: Place, statement: str) -> list[dict[str, Any]]:
    """All rows of an answer, by column."""
    with run_query([place], statement, LIMITS) as answer:
        columns = list(answer.columns)
        return [dict(zip(columns, row, strict=True)) for batch in answer.batches for row in batch]


ROUTES = [("/at/{key}/stage/{stage}/rejected", rejected)]
