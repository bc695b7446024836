"""Templates of the window: all values are escaped, a missing one is an error.

Text of documents goes in as `visible` text with its direction left to the browser (`dir="auto"`).
"""

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from corpusmill.pipelines.html.environment import environment_of


@cache
def environment() -> Any:
    """The templates' environment. Raises UserError when jinja2 is missing."""
    made = environment_of([("corpusmill.pipelines.window", "templates")], "window")
    made.globals |= {"address_of": query}
    return made


def render(request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
    """A page by its template."""
    made = environment().get_template(template)
    return HTMLResponse(made.render(values), status)


def query(address: str, parameters: Mapping[str, Any], **changed: Any) -> str:
    """An address with these parameters, some of them changed; empty ones and None are left out."""
    kept = {name: value for name, value in {**parameters, **changed}.items() if value not in ("", None)}
    return address + (f"?{urlencode(kept)}" if kept else "")
