"""Go: imports of packages, which are folders, below the module path that `go.mod` gives.

A package is all files of its folder but the tests; a file that imports it needs them all. Files of one package need no
import for each other: a name declared at the top level of one and used in another is a mention, which is deferred.
Cost: some 60 MB/s, and 40 for all names.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from corpusmill.dataproc.repositories.imports import Text

_IMPORTS = re.compile(r"(?:^|\n)import\b[ \t]*(?:\(([^)]{0,20000}+)\)|(?:[\w.]+[ \t]+)?(\"[^\"\n]+\"|`[^`\n]+`))")
_QUOTED = re.compile(r"^[ \t]*(?:[\w.]+[ \t]+)?[\"`]([^\"`\n]+)[\"`]", re.MULTILINE)
_MODULE = re.compile(r"^[ \t]*module[ \t]+\"?([^\s\"]+)", re.MULTILINE)
_DECLARED = re.compile(r"(?:^|\n)(?:func|type|var|const)[ \t]+([A-Za-z_]\w*)")
_GROUP = re.compile(r"\n(?:type|var|const)[ \t]*\(\n((?:(?!\)|(?:type|var|const)[ \t]*\()[^\n]*+\n)*+)\)")
_GROUPED = re.compile(r"^\t([A-Za-z_]\w*)", re.MULTILINE)
_NAMES = re.compile(r"\b[A-Za-z_]\w*")
_PACKAGE = re.compile(r"(?:^|\n)package[ \t]+(\w+)")


@dataclass(frozen=True, slots=True)
class Scan:
    """A file's package clause, the paths it imports, the names it declares at its top level."""

    package: str
    imports: tuple[str, ...]
    declared: tuple[str, ...]


def scan(text: str) -> Scan:
    """What a file imports and declares."""
    imports: dict[str, None] = {}
    for match in _IMPORTS.finditer(text):
        imports.update(dict.fromkeys(_QUOTED.findall(match[1] if match[1] is not None else match[2])))
    declared = set(_DECLARED.findall(text))
    for group in _GROUP.findall(text):
        declared.update(_GROUPED.findall(group))
    package = _PACKAGE.search(text)
    return Scan(package[1] if package else "", tuple(imports), tuple(sorted(declared - {"init", "main", "_"})))


class Packages:
    """The packages of a repository; `manifests` are its go.mod files, by path."""

    def __init__(self, scans: Mapping[str, Scan], manifests: Mapping[str, str]) -> None:
        self._scans = scans
        self._folders: dict[str, list[str]] = {}
        self._declaring: dict[tuple[str, str], dict[str, list[str]]] = {}
        for path in sorted(scans):
            folder = posixpath.dirname(path)
            if not path.endswith("_test.go"):
                self._folders.setdefault(folder, []).append(path)
                names = self._declaring.setdefault((folder, scans[path].package), {})
                for name in scans[path].declared:
                    names.setdefault(name, []).append(path)
        modules = ((_MODULE.search(text), posixpath.dirname(path)) for path, text in sorted(manifests.items()))
        self._modules = sorted(
            ((match[1], folder) for match, folder in modules if match), key=lambda module: -len(module[0])
        )

    def needs(self, path: str, text: Text) -> Iterator[tuple[str, bool]]:
        """(path, whether it is but a mention) of the files that a file needs."""
        own = self._scans[path]
        for asked in own.imports:
            for module, folder in self._modules:
                if asked == module or asked.startswith(f"{module}/"):
                    below = posixpath.join(folder, asked[len(module) + 1 :]).rstrip("/")
                    yield from ((target, False) for target in self._folders.get(below, []) if target != path)
                    break
        names = self._declaring.get((posixpath.dirname(path), own.package), {})
        used = names.keys() & _NAMES.findall(text()) if len(names) > len(own.declared) else ()
        targets = {target for name in used for target in names[name]}
        yield from ((target, True) for target in sorted(targets - {path}))
