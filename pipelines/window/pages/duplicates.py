"""Clusters of duplicates, the largest first, and what went in each; the document's page has a pair side by side."""

from typing import Any

from corpusmill.pipelines.inspect.sql import Limits, run_query
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.ways import stage_trail

SIZE = 20
MEMBERS = 10
LIMITS = Limits(memory_bytes=256 << 20, seconds=20.0, threads=2)

_CLUSTERS = """
SELECT survivor, count(*) AS removed, min(similarity) AS lowest, max(similarity) AS highest,
  min(id) AS first, (list(id ORDER BY similarity, id))[1:{members}] AS ids,
  (list(similarity ORDER BY similarity, id))[1:{members}] AS similarities,
  (list(method ORDER BY similarity, id))[1:{members}] AS methods
FROM duplicates GROUP BY survivor ORDER BY removed DESC, survivor LIMIT {size} OFFSET {start}
"""


@page("duplicates.html")
def duplicates(view: View) -> Values:
    """The page of clusters."""
    place, start = view.stage, view.number("start")
    statement = _CLUSTERS.format(members=MEMBERS, size=SIZE, start=start)
    with run_query([place], "SELECT count(DISTINCT survivor), count(*) FROM duplicates", LIMITS) as answer:
        clusters, removed = next(row for batch in answer.batches for row in batch)
    with run_query([place], statement, LIMITS) as answer:
        columns = list(answer.columns)
        rows: list[dict[str, Any]] = [dict(zip(columns, row, strict=True)) for batch in answer.batches for row in batch]
    for row in rows:
        row["members"] = list(zip(row["ids"], row["methods"], row["similarities"], strict=True))
    shown = ["survivor", "removed", "lowest", "highest"]
    return {
        "title": "Duplicates",
        "trail": stage_trail(view),
        "command": ["inspect", "sql", " ".join(statement.split()), place.path],
        "clusters": rows,
        "start": start,
        "size": SIZE,
        "total": clusters,
        "removed": removed,
        "story": f"{view.path.address}/document" if view.path.place.what == "run" else "",
        "table": Table(f"{view.stage_name}-clusters", shown, [[row[name] for name in shown] for row in rows]),
    }
