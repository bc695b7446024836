"""Templates of the window: all values are escaped, a missing one is an error.

Text of documents goes in as `visible` text with its direction left to the browser (`dir="auto"`).
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from corpusmill.pipelines.report.templates import environment_of
from corpusmill.pipelines.visible import excerpt, one_line, visible


@cache
def environment() -> Any:
    """The templates' environment. Raises UserError when jinja2 is missing."""
    made = environment_of(_read, "window")
    made.filters |= {
        "visible": visible,
        "one_line": one_line,
        "excerpt": excerpt,
        "number": lambda number: f"{number:,}",
        "bytes": readable_bytes,
        "part": lambda name: quote(name, safe=""),
    }
    made.globals |= {"address_of": query}
    return made


def _read(name: str) -> str:
    return (files("corpusmill.pipelines.window") / "templates" / name).read_text(encoding="utf-8")


def render(request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
    """A page by its template."""
    made = environment().get_template(template)
    return HTMLResponse(made.render(values), status)


def query(address: str, parameters: Mapping[str, Any], **changed: Any) -> str:
    """An address with these parameters, some of them changed; empty ones and None are left out."""
    kept = {name: value for name, value in {**parameters, **changed}.items() if value not in ("", None)}
    return address + (f"?{urlencode(kept)}" if kept else "")


def readable_bytes(number: float) -> str:
    """Bytes for people: 999 B, 1.2 kB, 3.4 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 999.5 or unit == "TB":
            return f"{number:,.0f} {unit}" if unit == "B" or number >= 99.95 else f"{number:,.1f} {unit}"
        number /= 1000
    raise AssertionError
