"""Choosing among paths of a repository by how near they are."""

import posixpath
from collections.abc import Iterable, Sequence


def nearest(paths: Sequence[str], to: str) -> str:
    """The one that shares the most folders with `to`; of several the shortest, then the first by name."""
    return min(paths, key=lambda path: (-shared_steps(path, to), path.count("/"), path))


def shared_steps(path: str, other: str) -> int:
    """How many steps from the root two paths have in common."""
    count = 0
    for one, two in zip(path.split("/"), other.split("/"), strict=False):
        if one != two:
            break
        count += 1
    return count


def joined(folder: str, relative: str) -> str | None:
    """A relative path from a folder, without `.` and `..`; None where it leads out of the repository."""
    path = posixpath.normpath(posixpath.join(folder, relative))
    return None if path.startswith(("..", "/")) else path.removeprefix("./")


class Endings:
    """Paths by how they end."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        for path in sorted(paths):
            self._by_name.setdefault(posixpath.basename(path), []).append(path)

    def ending(self, tail: str) -> list[str]:
        """Sorted paths that are `tail` or end with it after a slash."""
        paths = self._by_name.get(posixpath.basename(tail), [])
        return [path for path in paths if path == tail or path.endswith(f"/{tail}")]
