"""The page templates: every value that goes into one is escaped, and a missing one is an error.

A template is named by its file beside this one, or as "package:file" where a stage's room brings its own.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import require_extra


def template(name: str) -> Any:
    """The template of that name. Raises UserError when jinja2 is missing."""
    return environment_of(_read, "report").get_template(name)


def environment_of(read: Callable[[str], str], extra: str) -> Any:
    """Templates by a function that reads them. Raises UserError, naming the extra, when jinja2 is missing."""
    try:
        import jinja2
    except ImportError as error:
        raise require_extra("jinja2", extra) from error
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _read(name: str) -> str:
    package, colon, file = name.rpartition(":")
    return (files(package if colon else "corpusmill.pipelines.report") / file).read_text(encoding="utf-8")


def as_markup(svg: str) -> Any:
    """Our own SVG, which a template takes as it is."""
    from markupsafe import Markup

    return Markup(svg)


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
            raise require_extra(module, "report")
