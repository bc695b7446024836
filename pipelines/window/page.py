"""What a page is: a function from a request to values, and the template that shows them.

    @page("documents.html")
    def documents(view: View) -> Values: ...

A page computes nothing: it calls what `inspect` calls. `command` of its values is the command that gives the same in a
terminal, as a list of arguments, which the page shows for copying; `table` is what `?format=csv|json|parquet` gives
instead of the page.
"""

import csv
import io
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.places import Place
from corpusmill.pipelines.window.named import NamedPath, NamedPaths
from corpusmill.pipelines.window.rendering import render

MOST_EXPORTED_ROWS = 100_000
"""Rows of an export, which is made in memory; the command gives all."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows that can be taken along. Values are what JSON has.

    Attributes:
        name: of the file.
        columns: names.
        rows: `MOST_EXPORTED_ROWS` at most.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class View:
    """A request for a page, with what was named."""

    request: Request
    paths: NamedPaths

    @property
    def path(self) -> NamedPath:
        """The path that the address names by its key."""
        return self.paths[self.request.path_params["key"]]

    @property
    def stage_name(self) -> str:
        """Of the stage that the address names."""
        return str(self.request.path_params["stage"])

    @property
    def stage(self) -> Place:
        """What is there. Raises NotNamed for a stage that the path does not have."""
        return self.path.stage(self.stage_name)

    def text(self, name: str, default: str = "") -> str:
        """A parameter of the address, without blanks around it."""
        return self.request.query_params.get(name, default).strip()

    def number(self, name: str, default: int = 0, least: int = 0, most: int = 1 << 53) -> int:
        """A whole number of the address, between two others. Raises UserError for what is none."""
        text = self.text(name)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 16:
            raise UserError("not a whole number", where=f"{name}={text[:40]}", hint="use 0, 1, 2, …")
        return min(max(int(text), least), most)

    def real(self, name: str) -> float | None:
        """A number of the address; None where it is left out. Raises UserError for what is none."""
        text = self.text(name)
        if not text:
            return None
        try:
            return float(text)
        except ValueError as error:
            raise UserError("not a number", where=f"{name}={text[:40]}", hint="use digits, as in 0.25") from error


Page = Callable[[View], "Values | Response"]


def page(template: str) -> Callable[[Page], Callable[[Request], Response]]:
    """Makes an endpoint of a page's function."""

    def endpoint_of(function: Page) -> Callable[[Request], Response]:
        @wraps(function)
        def endpoint(request: Request) -> Response:
            view = View(request, request.app.state.paths)
            values = function(view)
            if isinstance(values, Response):
                return values
            wanted = request.query_params.get("format", "")
            if wanted:
                return _export(wanted, values.get("table"))
            return render(request, template, _complete(view, values))

        return endpoint

    return endpoint_of


def redirect(address: str) -> Response:
    """To another page of the window."""
    return RedirectResponse(address, 303)


def _complete(view: View, values: Mapping[str, Any]) -> Values:
    command = values.get("command")
    return {
        "address": view.request.url.path,
        "parameters": dict(view.request.query_params),
        "trail": [],
        **values,
        "command": shlex.join(["corpusmill", *command]) if command else "",
        "exports": bool(values.get("table")),
    }


def _export(wanted: str, table: Table | None) -> Response:
    if table is None:
        raise UserError("this page has no table to export", where=f"format={wanted[:20]}")
    if wanted == "json":
        objects = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        return _file(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in objects), table, "jsonl", "text/plain"
        )
    if wanted == "csv":
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(table.columns)
        writer.writerows([[_cell(value) for value in row] for row in table.rows])
        return _file(out.getvalue(), table, "csv", "text/csv")
    if wanted == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = [[row[place] for row in table.rows] for place in range(len(table.columns))]
        buffer = io.BytesIO()
        pq.write_table(pa.table([pa.array(column) for column in columns], names=list(table.columns)), buffer)
        return _file(buffer.getvalue(), table, "parquet", "application/octet-stream")
    raise UserError("no such format", where=f"format={wanted[:20]}", hint="use csv, json or parquet")


def _cell(value: Any) -> Any:
    """A value for CSV. What a spreadsheet would take for a formula gets an apostrophe in front."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _file(content: str | bytes, table: Table, ending: str, kind: str) -> Response:
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in table.name)
    disposition = f'attachment; filename="{name.encode("ascii", "replace").decode().replace("?", "-")}.{ending}"'
    return Response(content, media_type=kind, headers={"Content-Disposition": disposition})
