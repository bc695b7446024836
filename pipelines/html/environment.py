"""Templates of pages: every value that goes into one is escaped, and a missing one is an error.

A template is looked for in folders of packages, in order; `pipelines/html/templates` is the last of them, so that
window and report share macros. A stage's room brings its own as "package:file".
"""

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from itertools import groupby
from operator import attrgetter
from typing import Any
from urllib.parse import quote

from corpusmill.dataproc.errors import require_extra
from corpusmill.pipelines.visible import excerpt, one_line, visible

SHARED = ("corpusmill.pipelines.html", "templates")
Folder = tuple[str, str]
"""(package, folder in it)."""


def environment_of(folders: Sequence[Folder], extra: str) -> Any:
    """Templates of these folders and the shared ones. Raises UserError, naming the extra, when jinja2 is missing."""
    try:
        import jinja2
    except ImportError as error:
        raise require_extra("jinja2", extra) from error
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_reader((*folders, SHARED))),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "visible": visible,
        "one_line": one_line,
        "excerpt": excerpt,
        "number": lambda number: f"{number:,}",
        "bytes": readable_bytes,
        "groups_of": _runs,
        "part": lambda name: quote(name, safe=""),
    }
    return made


def _reader(folders: Sequence[Folder]) -> Callable[[str], str | None]:
    def read(name: str) -> str | None:
        package, colon, file = name.rpartition(":")
        if colon:
            return (files(package) / file).read_text(encoding="utf-8")
        for package, folder in folders:
            path = files(package) / folder / name
            if path.is_file():
                return path.read_text(encoding="utf-8")
        return None

    return read


def _runs(rows: Iterable[Any], attribute: str) -> list[list[Any]]:
    """Neighbours that have the same value of an attribute, together and in their order."""
    return [list(group) for _, group in groupby(rows, attrgetter(attribute))]


def as_markup(text: str) -> Any:
    """Our own SVG, style sheet or script, which a template takes as it is."""
    from markupsafe import Markup

    return Markup(text)


def readable_bytes(number: float) -> str:
    """Bytes for people: 999 B, 1.2 kB, 3.4 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 999.5 or unit == "TB":
            return f"{number:,.0f} {unit}" if unit == "B" or number >= 99.95 else f"{number:,.1f} {unit}"
        number /= 1000
    raise AssertionError
