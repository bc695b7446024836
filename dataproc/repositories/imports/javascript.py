"""JavaScript and TypeScript: `import`, `export … from`, `require` and `import()` of files, by relative paths.

`./a` is the file of that name, or with one of the usual endings, or the `index` of a folder; `./a.js` may be written
as `a.ts`. A bare name is the repository's where a `package.json` in it has that name (workspaces): its `index` or the
file named in `main`, or a path below. Nothing is read from tsconfig or a bundler. `import type`, `import()` and a
`require` that is indented are deferred. Cost: some 40 MB/s.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping

import orjson

from corpusmill.dataproc.repositories.imports import Text, line_start
from corpusmill.dataproc.repositories.imports.paths import joined

ENDINGS = (".ts", ".tsx", ".d.ts", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".vue", ".json")
_WRITTEN_AS = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}

_STATEMENT = re.compile(
    r"(?:^|\n|;)[ \t]*(import|export)\b[ \t]*(type\b)?"
    r"((?:[^'\"`;()=\n]++|\n(?![ \t]*(?:import|export)\b))*+)(?:\"([^\"\n]+)\"|'([^'\n]+)')"
)
_CALL = re.compile(r"\b(require|import)\s*\(\s*(?:\"([^\"\n]+)\"|'([^'\n]+)'|`([^`$\n]+)`)\s*[,)]")

Scan = tuple[tuple[str, bool], ...]
"""(the imported name as written, whether it is deferred)."""


def scan(text: str) -> Scan:
    """The imports of a file, in order of their kind, each once; lines of comments don't count."""
    imports: dict[str, bool] = {}
    for match in _STATEMENT.finditer(text):
        clause = match[3].strip()
        if not clause or clause.endswith("from"):
            asked = match[4] or match[5]
            imports[asked] = imports.get(asked, True) and bool(match[2])
    for match in _CALL.finditer(text):
        asked = match[2] or match[3] or match[4]
        before = text[line_start(text, match.start()) : match.start()]
        if "//" in before or before.lstrip().startswith("*"):
            continue
        imports[asked] = imports.get(asked, True) and (match[1] == "import" or before[:1].isspace())
    return tuple(imports.items())


class Files:
    """What imports lead to in a repository; `manifests` are its package.json files, by path."""

    def __init__(self, scans: Mapping[str, Scan], manifests: Mapping[str, str], others: frozenset[str]) -> None:
        self._scans = scans
        self._paths = frozenset(scans) | others
        self._packages: dict[str, tuple[str, str]] = {}
        for path in sorted(manifests):
            try:
                manifest = orjson.loads(manifests[path])
            except orjson.JSONDecodeError:
                continue
            if isinstance(manifest, dict) and isinstance(name := manifest.get("name"), str) and name:
                main = manifest.get("main")
                self._packages.setdefault(name, (posixpath.dirname(path), main if isinstance(main, str) else ""))

    def needs(self, path: str, text: Text) -> Iterator[tuple[str, bool]]:
        """(path, whether deferred) of the files that a file imports."""
        for asked, deferred in self._scans[path]:
            asked = asked.split("?", 1)[0]
            if asked.startswith((".", "/")):
                stem = joined(posixpath.dirname(path), asked) if asked.startswith(".") else asked.lstrip("/")
                target = self._file(stem) if stem is not None else None
            else:
                target = self._of_package(asked)
            if target and target != path:
                yield target, deferred

    def _file(self, stem: str) -> str | None:
        stem = "" if stem == "." else stem
        if stem in self._paths:
            return stem
        base, ending = posixpath.splitext(stem)
        tried = [stem + tail for tail in ENDINGS if stem]
        tried += [base + tail for tail in _WRITTEN_AS.get(ending, ())]
        tried += [posixpath.join(stem, f"index{tail}") for tail in ENDINGS]
        return next((candidate for candidate in tried if candidate in self._paths), None)

    def _of_package(self, asked: str) -> str | None:
        steps = asked.split("/")
        count = 2 if asked.startswith("@") else 1
        package = self._packages.get("/".join(steps[:count]))
        if package is None:
            return None
        folder, main = package
        rest = "/".join(steps[count:])
        tried = [rest, f"src/{rest}"] if rest else ["src/index", "index", main, "lib/index", "src/main"]
        for tail in tried:
            if tail and (stem := joined(folder, tail)) is not None and (file := self._file(stem)):
                return file
        return None
