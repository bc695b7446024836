"""A page that is one file: it loads nothing, and its policy lets the one style sheet and the one script in it act.

Both are named by their digests in the page's content security policy, so that no other script or style could do
anything, wherever it came from: not a script in a document's text, nor one in an attribute. Charts hold no style
attributes for the same reason. The page says all it has to say with scripts off; the script sorts tables and opens
what is folded when the page is printed.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import require_extra
from corpusmill.pipelines.html.environment import Folder, as_markup, environment_of

EXTRA = "report"


def self_contained(folders: Sequence[Folder], name: str, values: Mapping[str, Any]) -> str:
    """The page of a template that extends `document.html`. Raises UserError when jinja2 is missing."""
    template = environment_of(folders, EXTRA).get_template(name)
    style, script = _static("style.css"), _static("page.js")
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    inside = {"style": as_markup(style), "script": as_markup(script), "policy": as_markup(policy)}
    page: str = template.render({**values, **inside})
    return page


def write_html(page: str, name: str, path: str) -> str:
    """Writes a page to a file, or as `name` into a folder that is there; gives its path."""
    if storage.exists(path) and not path.endswith(".html"):
        path = storage.join(path, name)
    storage.commit_bytes(path, page.encode())
    return path


def require_charts() -> None:
    """Raises UserError when jinja2 or matplotlib is missing: asked before an hour of measuring, not after it."""
    from importlib.util import find_spec

    for module in ("jinja2", "matplotlib"):
        if find_spec(module) is None:
            raise require_extra(module, EXTRA)


@cache
def _static(name: str) -> str:
    text = (files("corpusmill.pipelines.html") / "static" / name).read_text(encoding="utf-8")
    assert "</" not in text, "it would end the element that it stands in"
    return text


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
