"""C, C++ and CUDA: `#include "..."` and `<...>`.

A quoted name is looked for beside the including file, then from each folder above it, as compilers do; then,
since the build's `-I` is not known, as the end of any path of the repository, the nearest first. A name in
angle brackets is the repository's only where it lies above the file or in a folder that is named like one of headers
(`include`, `src`, …): `<string.h>` is the system's, though some folder may hold a `string.h`. Cost: some 1.5 GB/s.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping

from corpusmill.dataproc.repositories.imports import Text, line_start
from corpusmill.dataproc.repositories.imports.paths import Endings, joined, nearest

_INCLUDE = re.compile(r"#[ \t]*(?:include|include_next|import)[ \t]*(?:\"([^\"\n]+)\"|<([^>\n]+)>)")
_HEADER_FOLDERS = frozenset(("include", "includes", "inc", "src", "source", "sources", "lib", "libs", "public", "api"))

Scan = tuple[tuple[str, bool], ...]
"""(name as written, whether in angle brackets)."""


def scan(text: str) -> Scan:
    """The includes of a file, in order, each once. Those under any `#if` count, those in a comment line do not."""
    includes: dict[tuple[str, bool], None] = {}
    for match in _INCLUDE.finditer(text):
        begin = line_start(text, match.start())
        if not text[begin : match.start()].strip():
            includes[(match[1] or match[2]).strip(), match[1] is None] = None
    return tuple(includes)


class Headers:
    """What includes lead to in a repository."""

    def __init__(self, scans: Mapping[str, Scan]) -> None:
        self._scans = scans
        self._endings = Endings(scans)

    def needs(self, path: str, text: Text) -> Iterator[tuple[str, bool]]:
        """(path, False) of the files that a file includes."""
        for name, angled in self._scans[path]:
            if (target := self._find(path, name.replace("\\", "/"), angled)) and target != path:
                yield target, False

    def _find(self, path: str, name: str, angled: bool) -> str | None:
        folder = posixpath.dirname(path)
        if not angled and (beside := joined(folder, name)) in self._scans:
            return beside
        tail = "/".join(step for step in name.split("/") if step not in (".", ".."))
        candidates = self._endings.ending(tail)
        above = [
            candidate for candidate in candidates if self._is_above(candidate[: len(candidate) - len(tail)], folder)
        ]
        if above:
            return max(above, key=len)
        if angled:
            candidates = [
                candidate for candidate in candidates if _is_of_headers(candidate[: len(candidate) - len(tail)])
            ]
        return nearest(candidates, path) if candidates else None

    @staticmethod
    def _is_above(root: str, folder: str) -> bool:
        return f"{folder}/".startswith(root)


def _is_of_headers(root: str) -> bool:
    return posixpath.basename(root.rstrip("/")).lower() in _HEADER_FOLDERS
