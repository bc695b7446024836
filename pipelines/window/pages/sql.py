"""SQL over the tables of what is open, bounded in time, memory and rows."""

from itertools import islice
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.sql import Limits, run_query
from corpusmill.pipelines.visible import excerpt
from corpusmill.pipelines.window.page import Table, Values, View, page

ROWS = 500
CELL = 300
LIMITS = Limits(memory_bytes=256 << 20, seconds=20.0, threads=2)
FIRST = "SELECT * FROM tables"


@page("sql.html")
def sql(view: View) -> Values:
    """The console."""
    named = view.path
    statement = view.request.query_params.get("statement", FIRST)[:20_000].replace("\r\n", "\n")
    values: Values = {
        "title": "SQL",
        "trail": [(named.name, named.address)],
        "command": ["inspect", "sql", statement, named.path],
        "statement": statement,
        "columns": [],
        "rows": [],
        "more": False,
        "problem": "",
        "seconds": LIMITS.seconds,
        "most": ROWS,
    }
    try:
        with run_query([named.place], statement, LIMITS) as answer:
            rows = list(islice((row for batch in answer.batches for row in batch), ROWS + 1))
            columns = list(answer.columns)
    except UserError as error:
        return values | {"problem": error.what + (f"; {error.hint}" if error.hint else "")}
    shown = [[_cell(value) for value in row] for row in rows[:ROWS]]
    plain = [[_plain(value) for value in row] for row in rows[:ROWS]]
    table = Table("answer", _distinct(columns), plain)
    return values | {"columns": columns, "rows": shown, "more": len(rows) > ROWS, "table": table}


def _cell(value: Any) -> tuple[str, bool]:
    """(text, whether it is a number)."""
    if isinstance(value, bool) or value is None:
        return {None: "", True: "true", False: "false"}[value], False
    if isinstance(value, int):
        return f"{value:,}", True
    if isinstance(value, float):
        return f"{value:.6g}", True
    return excerpt(str(value), CELL), False


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _distinct(names: list[str]) -> list[str]:
    """Names of columns, a number behind those that were there before."""
    return [name if name not in names[:place] else f"{name}_{place}" for place, name in enumerate(names)]
