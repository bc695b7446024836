"""How `why` and `trace` read a filter: its ledger, what was rewritten, and the rules that kept documents passed."""

from collections.abc import Mapping

import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.rules import Rule
from corpusmill.pipelines.inspect.inspection import Inspection, Judged, Judgement, Passage, Passed, Side, ledger_removal
from corpusmill.pipelines.inspect.lookup import Row, look_up
from corpusmill.pipelines.inspect.places import part_number
from corpusmill.pipelines.stages.filter.rules_in_force import language_rule, rules_in_force


def _kept(side: Side, document: str) -> list[str]:
    rewrites = side.rows("rewrites", document)
    return ["it broke no rule"] + [
        f"rewritten by {row['rule']}: {row['bytes_before']:,} bytes to {row['bytes_after']:,}" for row in rewrites
    ]


def _passage(side: Side, rows: Mapping[str, Row]) -> Passage:
    """Every rule that was applied to documents that were kept.

    Which rules apply to a document (its kind, its language, its script) is for `applies_to` to say.
    """
    from corpusmill.dataproc.rules.decision import applies_to, values_of

    settings = side.manifest["settings"]
    try:
        rules = rules_in_force(side.manifest)
    except UserError as error:
        return Passage(missing=[f"{side.name}: its rules cannot be loaded here ({error.what})"])
    numbers = {part_number(row.path) for row in rows.values()}
    files = side.files("statistics")
    likely = [path for path in files if part_number(path) in numbers]
    measured = [row.values for _, row in look_up([*likely, *(set(files) - set(likely))], set(rows))]
    passed: list[tuple[str, Passed]] = []
    if measured:
        statistics = pa.RecordBatch.from_pylist(measured)
        kinds = pa.array([rows[document["id"]].values["kind"] for document in measured], pa.string())
        for rule in rules:
            values = values_of(rule, statistics)
            for place in applies_to(rule, statistics, kinds).nonzero()[0]:
                passed.append((measured[place]["id"], _kept_to(side.name, rule, float(values[place]))))
    if settings.get("languages"):
        for name, row in rows.items():
            if row.values["kind"] != "code":
                passed.append((name, Passed(side.name, "language", "language", row.values["language"] or "unknown")))
    lost = len(rows) - len(measured)
    missing = [f"{side.name}: no statistics for {lost} documents, so the rules they broke are unknown"] if lost else []
    return Passage(passed=passed, missing=missing)


def _judged(side: Side, document: str) -> Judgement:
    """Every rule that was asked of a document, kept or not, from the statistics of the part that it came in."""
    from corpusmill.dataproc.rules.decision import applies_to, limits_of, values_of

    rows = [row.values for _, row in look_up(side.files("statistics"), {document})]
    if not rows:
        return Judgement()
    statistics = {name: value for name, value in rows[0].items() if name != "id"}
    try:
        rules = rules_in_force(side.manifest)
    except UserError as error:
        return Judgement(statistics=statistics, missing=[f"{side.name}: its rules cannot be loaded ({error.what})"])
    asked = language_rule(side.manifest["settings"])
    batch = pa.RecordBatch.from_pylist(rows)
    judged = []
    for rule in (*rules, *([asked] if asked else [])):
        if not applies_to(rule, batch, batch.column("kind"))[0]:
            continue
        value, (low, high) = float(values_of(rule, batch)[0]), limits_of(rule)
        looked_at, known = rule.expression or rule.statistic, value if value == value else None
        broken = not low <= value <= high
        judged.append(Judged(rule.name, looked_at, known, rule.minimum, rule.maximum, broken))
    return Judgement(judged, statistics)


def _kept_to(stage: str, rule: Rule, value: float) -> Passed:
    if rule.expression:
        return Passed(stage, rule.name, rule.expression, "true" if value == 1 else "false")
    return Passed(stage, rule.name, rule.statistic, value, rule.minimum, rule.maximum)


INSPECTION = Inspection(removal=ledger_removal, kept=_kept, judged=_judged, passage=_passage)
