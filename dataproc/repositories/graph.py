"""The dependencies of a repository's files: scans by language, then edges between numbered files.

Languages of one family see each other's files (C and C++, JavaScript and TypeScript); across families there are no
edges. A scan is kept for each file until all are read, a few strings; then edges are numbers, 8 bytes each.
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from corpusmill.dataproc.repositories.imports import Text, c, go, java, javascript, python, rust

FAMILY_OF_LANGUAGE = {
    "python": "python", "c": "c", "cpp": "c", "cuda": "c", "java": "java", "javascript": "javascript",
    "typescript": "javascript", "vue": "javascript", "go": "go", "rust": "rust",
}  # fmt: skip
"""Languages whose imports are followed, and which of them can import each other."""

_SCANS: dict[str, Callable[[str], Any]] = {
    "python": python.scan, "c": c.scan, "java": java.scan, "javascript": javascript.scan, "go": go.scan,
    "rust": rust.scan,
}  # fmt: skip


class Resolver(Protocol):
    """The files of one family."""

    def needs(self, path: str, text: Text) -> Iterator[tuple[str, bool]]:
        """(path, whether deferred) of the files that a file needs; perhaps several times."""
        ...


class Imports:
    """Collects what files import: `add` each file, `add_manifest` each package manifest, then take `edges`."""

    def __init__(self) -> None:
        self._scans: dict[str, dict[str, Any]] = {}
        self._manifests: dict[str, dict[str, str]] = {}

    def add(self, path: str, language: str, text: str) -> None:
        """Scans a file; one of a language without a family asks for nothing."""
        if family := FAMILY_OF_LANGUAGE.get(language):
            self._scans.setdefault(family, {})[path] = _SCANS[family](text)

    def add_manifest(self, path: str, text: str) -> None:
        """Takes a go.mod, Cargo.toml or package.json."""
        self._manifests.setdefault(posixpath.basename(path), {})[path] = text

    def edges(self, paths: Sequence[str], text: Callable[[str], str]) -> tuple[list[list[int]], list[list[int]]]:
        """(needs, deferred) of N files by number: all dependencies, and those that are deferred only, both sorted.

        `text` gives a file's text by its path; it is asked once for each file of Java and Go.
        """
        number = {path: at for at, path in enumerate(paths)}
        needs: list[list[int]] = [[] for _ in paths]
        deferred: list[list[int]] = [[] for _ in paths]
        for family, scans in self._scans.items():
            resolver = self._resolver(family, scans, frozenset(paths))
            for path in scans:
                at = number[path]
                firm: dict[int, bool] = {}
                for target, later in resolver.needs(path, partial(text, path)):
                    other = number[target]
                    firm[other] = firm.get(other, False) or not later
                firm.pop(at, None)
                needs[at] = sorted(firm)
                deferred[at] = sorted(other for other in firm if not firm[other])
        return needs, deferred

    def _resolver(self, family: str, scans: Mapping[str, Any], paths: frozenset[str]) -> Resolver:
        if family == "python":
            return python.Modules(scans)
        if family == "c":
            return c.Headers(scans)
        if family == "java":
            return java.Classes(scans)
        if family == "go":
            return go.Packages(scans, self._manifests.get("go.mod", {}))
        if family == "rust":
            return rust.Crates(scans, self._manifests.get("Cargo.toml", {}))
        return javascript.Files(scans, self._manifests.get("package.json", {}), paths)
