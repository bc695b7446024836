"""The page templates beside this file: every value that goes into one is escaped, and a missing one is an error."""

from importlib.resources import files
from typing import Any

from corpusmill.dataproc.errors import require_extra


def template(name: str) -> Any:
    """The template of that name. Raises UserError when jinja2 is missing."""
    try:
        import jinja2
    except ImportError as error:
        raise require_extra("jinja2", "report") from error
    beside = files("corpusmill.pipelines.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda wanted: (beside / wanted).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def as_markup(svg: str) -> Any:
    """Our own SVG, which a template takes as it is."""
    from markupsafe import Markup

    return Markup(svg)


def require_charts() -> None:
    """Raises UserError when jinja2 or matplotlib is missing: asked before an hour of measuring, not after it."""
    from importlib.util import find_spec

    for module in ("jinja2", "matplotlib"):
        if find_spec(module) is None:
            raise require_extra(module, "report")
