"""Documents of a dataset: in their order, or drawn by a rule, an expression, language, source or a text in them."""

from typing import Any

from corpusmill.pipelines.inspect.documents import DocumentRow, rows_of
from corpusmill.pipelines.inspect.selection import Selection, draw, plan_selection
from corpusmill.pipelines.inspect.tables import tables_of
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.text import Shown, shown_text
from corpusmill.pipelines.window.ways import stage_trail

SIZE = 20
COLUMNS = ("id", "source", "kind", "language", "url", "text")
LABELS = ("source", "kind", "language", "url")


@page("documents.html")
def documents(view: View) -> Values:
    """The page of documents."""
    place, start = view.stage, view.number("start")
    selection = Selection(
        rule=view.text("rule"),
        near=view.text("near"),
        where=view.text("where"),
        languages=[name for name in (view.text("language"),) if name],
        sources=[name for name in (view.text("source"),) if name],
        contains=view.text("contains"),
    )
    seed = view.number("seed")
    command = ["inspect", "sample", place.path, "-n", str(SIZE), "--seed", str(seed)]
    if selection.asks():
        selected = draw(plan_selection(place, selection), SIZE, seed)
        entries = [_entry(view, one.document, selection.contains, one.side, one.value) for one in selected]
        total = len(entries)
        for name in ("rule", "near", "where", "language", "source", "contains"):
            command += [f"--{name}", view.text(name)] if view.text(name) else []
    else:
        rows = rows_of(place)
        total = len(rows)
        entries = [_entry(view, row) for row in rows.page(start, SIZE)]
        command = ["inspect", "show", place.path, "--row", str(start)]
    return {
        "title": "Documents",
        "trail": stage_trail(view),
        "command": command,
        "entries": entries,
        "drawn": selection.asks(),
        "start": start,
        "size": SIZE,
        "total": total,
        "has_rules": any(table.name == "ledger" for table in tables_of(place)),
        "story": f"{view.path.address}/document" if view.path.place.what == "run" else "",
        "table": Table(f"{view.stage_name}-documents", COLUMNS, [entry["row"] for entry in entries]),
    }


def _entry(
    view: View, document: DocumentRow, contains: str = "", side: str = "", value: float | None = None
) -> dict[str, Any]:
    values = document.values
    text: Shown = shown_text(str(values.get("text") or ""), contains)
    return {
        "id": str(values.get("id", document.number)),
        "number": document.number,
        "labels": [str(values[label]) for label in LABELS if values.get(label)],
        "text": text,
        "side": side if value is None else f"{side}: {value:.6g}",
        "row": [values.get(column) for column in COLUMNS],
    }
