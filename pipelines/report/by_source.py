"""Documents left after each stage by source and by language, from the counts that manifests have of their parts.

A stage's folder says of each part how many documents of each source and language are in it, so nothing is read but
manifests. Memory: a number for each source and stage.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.visible import one_line

ROWS_SHOWN = 40
COLUMNS = {"source": "sources", "language": "languages"}
UNKNOWN = ("None", "", "unknown", "(unknown)")


def losses_by(stages: Sequence[StageOutput]) -> list[dict[str, Any]]:
    """A table for sources and one for languages: those that came in, and what was left of them after each stage.

    Args:
        stages: through which documents flow, in order.
    """
    tables = [_table(column, key, stages) for column, key in COLUMNS.items()]
    return [table for table in tables if table]


def _table(column: str, key: str, stages: Sequence[StageOutput]) -> dict[str, Any] | None:
    counted = [(stage.name, counts) for stage in stages if (counts := _counts(stage, key))]
    while counted and not set(counted[0][1]) - set(UNKNOWN):  # before a filter says of what language a document is
        del counted[0]
    if len(counted) < 2:
        return None
    most: Counter[str] = Counter()
    for _, counts in counted:
        for name, count in counts.items():
            most[name] = max(most[name], count)
    ranked = sorted(most, key=lambda name: (-most[name], name))
    shown, others = ranked[:ROWS_SHOWN], ranked[ROWS_SHOWN:]
    rows = [(_name(name), [counts[name] for _, counts in counted]) for name in shown]
    if others:
        rows.append((f"{len(others):,} others", [sum(counts[name] for name in others) for _, counts in counted]))
    heads = [(one_line(counted[0][0], 40), "n")]
    for name, _ in counted[1:]:
        heads += [(one_line(name, 40), "n"), ("lost there", "n")]
    return {
        "title": f"Losses by {column}",
        "columns": [(column, ""), *heads],
        "rows": [(name, _cells(numbers)) for name, numbers in rows],
        "hidden": len(others),
    }


def _counts(stage: StageOutput, key: str) -> Counter[str]:
    """Documents by source or language; empty where the manifest does not say it of all its parts."""
    counts: Counter[str] = Counter()
    for part in stage.manifest["parts"]:
        if key not in part and part.get("rows"):
            return Counter()
        counts.update({str(name): int(count) for name, count in part.get(key, {}).items()})
    return counts


def _name(name: str) -> str:
    return "unknown" if name in UNKNOWN else one_line(name, 80)


def _cells(numbers: Sequence[int]) -> list[tuple[str, str]]:
    """(documents left, share lost since the stage before)."""
    cells = []
    for place, count in enumerate(numbers):
        before = numbers[place - 1] if place else count
        cells.append((f"{count:,}", f"{100 * (before - count) / before:.1f} %" if before else "–"))
    return cells
