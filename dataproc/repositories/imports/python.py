"""Python: `import a.b`, `from a import b`, relative ones too; modules, packages, `src` layouts and scripts.

A name is looked for from the folder that holds the importing file's outermost package (its own folder, for a script),
then in the folders above, then as a package anywhere in the repository, the nearest first. `from a import b` is the
module `a.b` where there is one, else `a`. Packages on the way (`a/__init__.py` for `import a.b`) are not dependencies:
they'd put nearly every package into a cycle with its own modules.

An import that is indented (inside of a function, `try` or `if TYPE_CHECKING`) is deferred. Imports are searched in the
raw text, and strings are taken out only where one may hold what was found. Cost: some 90 MB/s.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping

from corpusmill.dataproc.repositories.imports import Text, line_start
from corpusmill.dataproc.repositories.imports.paths import nearest

_ENDINGS = (".py", ".pyx", ".pyi", ".pxd")

_IMPORT = re.compile(r"import\b[ \t]*(?:(\((?:[^()#]++|\#[^\n]*+){0,400}+\))|((?:[^\n#;\\(]++|\\\n)++))")
_BEFORE = re.compile(r"([ \t]*)(?:[^ \t].*;[ \t]*)?(?:from[ \t]+((?:\.[ \t]*)*[\w.]*)[ \t\\]*)?c?", re.DOTALL)
_STRINGS = re.compile(
    r"#[^\n]*|\"\"\"(?:[^\"\\]|\\.|\"(?!\"\"))*+(?:\"\"\"|\Z)|'''(?:[^'\\]|\\.|'(?!''))*+(?:'''|\Z)"
    r"|\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?",
    re.DOTALL,
)
_CONTINUED = 4
"""How many lines that end with a backslash may stand above an `import` that belongs to them."""
_COMMENT = re.compile(r"#[^\n]*")
_NAME = re.compile(r"([\w.]+)(?:\s+as\s+\w+)?\s*(?:,|$)")

Scan = tuple[tuple[str, str, bool], ...]
"""(module as written, the name taken from it or "", whether it is deferred)."""


def scan(text: str) -> Scan:
    """The imports of a file, in order, each once."""
    imports = list(_imports(text))
    if imports and ('"""' in text or "'''" in text):
        imports = list(_imports(_without_strings(text, imports[-1][0])))
    out: dict[tuple[str, str], bool] = {}
    for _, module, names, deferred in imports:
        if module is None:
            asked = [(name, "") for name in names]
        else:
            asked = [(module, name) for name in names] or [(module, "")]
        for pair in asked:
            out[pair] = out.get(pair, True) and deferred
    return tuple((module, name, deferred) for (module, name), deferred in out.items())


def _imports(text: str) -> Iterator[tuple[int, str | None, list[str], bool]]:
    """(end, module of `from` or None, names, whether indented) of what looks like an import."""
    for match in _IMPORT.finditer(text):
        begin = line_start(text, match.start())
        for _ in range(_CONTINUED):
            if begin > 1 and text[begin - 2 : begin] == "\\\n":
                begin = line_start(text, begin - 1)
        before = _BEFORE.fullmatch(text[begin : match.start()].replace("\\\n", " "))
        if before is None:
            continue
        module = re.sub(r"\s", "", before[2]) if before[2] is not None else None
        if module != "" and (module is not None or match[1] is None):
            yield match.end(), module, _names(match[1] or match[2]), bool(before[1])


def _without_strings(text: str, stop: int) -> str:
    """The text up to `stop` with comments and what stands in strings over several lines taken out."""
    return _STRINGS.sub(lambda match: "''" if match[0][0] != "#" else "", text[:stop]) + text[stop:]


def _names(listed: str) -> list[str]:
    flat = _COMMENT.sub("", listed).strip().strip("()").replace("\\\n", "").strip()
    return [name for name in _NAME.findall(flat) if name.strip(".")]


class Modules:
    """The modules of a repository, by their paths."""

    def __init__(self, scans: Mapping[str, Scan]) -> None:
        self._scans = scans
        self._modules: dict[str, str] = {}
        self._folders = {""}
        for path in sorted(scans, key=_precedence):
            stem = posixpath.splitext(path)[0]
            self._modules.setdefault(stem.removesuffix("__init__").rstrip("/") if _is_init(path) else stem, path)
            folder = posixpath.dirname(path)
            while folder not in self._folders:
                self._folders.add(folder)
                folder = posixpath.dirname(folder)
        packages = {posixpath.dirname(path) for path in scans if _is_init(path)}
        self._roots = {folder: _root(folder, packages) for folder in sorted(self._folders)}
        self._packages: dict[str, list[str]] = {}
        for folder in sorted(packages - {""}):
            if (parent := posixpath.dirname(folder)) not in packages:
                self._packages.setdefault(posixpath.basename(folder), []).append(parent)

    def needs(self, path: str, text: Text) -> Iterator[tuple[str, bool]]:
        """(path, whether deferred) of the files that a file imports."""
        folder = posixpath.dirname(path)
        for module, name, deferred in self._scans[path]:
            stripped = module.lstrip(".")
            steps = stripped.split(".") if stripped else []
            if dots := len(module) - len(stripped):
                if dots - 1 <= folder.count("/") + bool(folder):
                    above = folder.split("/")[: len(folder.split("/")) - dots + 1] if folder else []
                    target = self._below("/".join(above), steps, name)
                else:
                    target = None
            else:
                target = next(
                    filter(None, (self._below(root, steps, name) for root in self._search(path, steps[0]))), None
                )
            if target:
                yield target, deferred

    def _search(self, path: str, first: str) -> Iterator[str]:
        """Folders that a name may be in, in order: only those that have something of that name."""
        root = self._roots[posixpath.dirname(path)]
        while True:
            if (stem := f"{root}/{first}" if root else first) in self._modules or stem in self._folders:
                yield root
            if not root:
                break
            root = posixpath.dirname(root)
        if packages := self._packages.get(first):
            yield nearest(packages, path)

    def _below(self, root: str, steps: list[str], name: str) -> str | None:
        """The longest module that the steps lead to below a folder; the name is one step more where it can be."""
        tried = [root, *steps] if root else steps
        if name and (module := self._modules.get("/".join([*tried, name]))):
            return module
        for count in range(len(tried), 0, -1):
            if module := self._modules.get("/".join(tried[:count])):
                return module
        return None


def _is_init(path: str) -> bool:
    return posixpath.basename(path).startswith("__init__.")


def _precedence(path: str) -> tuple[bool, int, str]:
    """A package goes before a module of its name, and `.py` before the others."""
    ending = posixpath.splitext(path)[1].lower()
    return not _is_init(path), _ENDINGS.index(ending) if ending in _ENDINGS else len(_ENDINGS), path


def _root(folder: str, packages: set[str]) -> str:
    """The folder that the outermost package around a folder lies in."""
    while folder and folder in packages:
        folder = posixpath.dirname(folder)
    return folder
