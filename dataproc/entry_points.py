"""What other packages bring by entry points: readers, measures and rewriters (Python's `importlib.metadata`).

A distribution names them in its metadata, as in

    [project.entry-points."corpusmill.readers"]
    toy = "my_package.reading:READER"

and from then on they go by their names, as ours do. Ours always win, and nothing is looked up or imported until a name
is asked for that is not one of ours. So an installation without such packages pays nothing, and a broken package harms
only those who ask for what we do not have.

`importlib.metadata` parses the metadata of every distribution that is installed: 50 ms among 225 of them, a third of
what `corpusmill --help` may take. So the files are first searched for the group's name, which takes 5.
"""

import os
import sys
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

from corpusmill.dataproc.errors import UserError

READERS = "corpusmill.readers"
"""Entry points that name a `readers.registry.Reader`."""
MEASURES = "corpusmill.measures"
"""Entry points that name a class of the contract `measures.columns.Measure`, with its `COLUMNS`."""
REWRITERS = "corpusmill.rewriters"
"""Entry points that name a class of the contract `measures.columns.Rewriter`, with its `COLUMNS`."""


@cache
def points_of(group: str) -> tuple["EntryPoint", ...]:
    """All entry points of a group, by name."""
    if not _is_named(group.encode()):
        return ()
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, point.value)))


def _is_named(group: bytes) -> bool:
    """Whether a distribution may have entry points of a group: its file names it, or is in no plain folder."""
    others = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    if any(getattr(finder, "__name__", "") != "PathFinder" for finder in others):
        return True
    for place in dict.fromkeys(sys.path):
        try:
            folders = os.listdir(place or ".")  # noqa: PTH208 - pathlib alone takes as long as all of this
        except NotADirectoryError:  # a zip file
            return True
        except OSError:
            continue
        for name in folders:
            if name.endswith(".egg"):
                return True
            if name.endswith((".dist-info", ".egg-info")):
                file = f"{place or '.'}/{name}/entry_points.txt"
                with suppress(OSError), open(file, "rb") as content:  # noqa: PTH123
                    if group in content.read():
                        return True
    return False


def foreign_names(group: str, ours: Collection[str]) -> list[str]:
    """Names that other packages bring, without those that are ours."""
    return list(dict.fromkeys(point.name for point in points_of(group) if point.name not in ours))


@cache
def load_foreign(group: str, name: str) -> Any:
    """What another package brings by this name.

    Raises UserError where it cannot be loaded, or where two packages bring the name.
    """
    points = [point for point in points_of(group) if point.name == name]
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
    value = next(point.value for point in points_of(group) if point.name == name)
    where = f"entry point {name} = {value} of {group}"
    return UserError(what, where, "correct or uninstall the package that brings it")
