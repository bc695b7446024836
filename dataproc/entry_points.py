"""What other packages bring by entry points: readers, measures and rewriters (Python's `importlib.metadata`).

A distribution names them in its metadata, as in

    [project.entry-points."corpusmill.readers"]
    toy = "my_package.reading:READER"

and from then on they go by their names, as ours do. Ours always win, and nothing is looked up or imported until a name
is asked for that is not one of ours. So an installation without such packages pays nothing, and a broken package harms
only those who ask for what we do not have.
"""

from collections.abc import Collection
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from corpusmill.dataproc.errors import UserError

READERS = "corpusmill.readers"
"""Entry points that name a `readers.registry.Reader`."""
MEASURES = "corpusmill.measures"
"""Entry points that name a class of the contract `measures.columns.Measure`, with its `COLUMNS`."""
REWRITERS = "corpusmill.rewriters"
"""Entry points that name a class of the contract `measures.columns.Rewriter`, with its `COLUMNS`."""


@cache
def _all(group: str) -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, point.value)))


def foreign_names(group: str, ours: Collection[str]) -> list[str]:
    """Names that other packages bring, without those that are ours."""
    return list(dict.fromkeys(point.name for point in _all(group) if point.name not in ours))


@cache
def load_foreign(group: str, name: str) -> Any:
    """What another package brings by this name.

    Raises UserError where it cannot be loaded, or where two packages bring the name.
    """
    points = [point for point in _all(group) if point.name == name]
    if len({point.value for point in points}) > 1:
        raise broken_entry_point(group, name, f"two packages bring it, the other as {points[1].value}")
    try:
        return points[0].load()
    except Exception as error:  # another package's code: whatever it raises, the line names it
        raise broken_entry_point(
            group, name, f"the function could not be loaded ({type(error).__name__}: {error})"
        ) from error


def broken_entry_point(group: str, name: str, what: str) -> UserError:
    """The error for an entry point that is not what its group asks for."""
    value = next(point.value for point in _all(group) if point.name == name)
    where = f"entry point {name} = {value} of {group}"
    return UserError(what, where, "correct or uninstall the package that brings it")
