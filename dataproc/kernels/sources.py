"""What a module's kernels are made of: a digest of its source and of all sources of ours that it imports.

A compiled kernel holds the code of the functions that it calls and the constants of its module, wherever these were
imported from; so it is stale when any of these files says something else. Which files those are follows from the
import statements, those inside functions included; those for type checkers alone do not count. Nor do comments,
docstrings and layout: sources are compared by their syntax trees.

Cost: a look at each file's size and time, once a process; a file that changed is parsed once (some milliseconds) and
remembered beside the compiled kernels, in a file for each working copy: every process reads it. Does not import numba.
"""

import ast
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import xxhash

OURS = "corpusmill"


class Source(NamedTuple):
    """A file as it was when it was parsed: modification time (ns), bytes, digest of its tree, and names it imports."""

    time: int
    size: int
    digest: str
    imports: list[str]


class Sources:
    """Sources of modules, remembered in a folder; `digest` may be asked of any file of a package."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / memory_name()
        self._known: dict[str, Source] = {}
        try:
            written = json.loads(self._path.read_bytes())
            self._known = {path: Source(*values) for path, values in written.items()}
        except (OSError, ValueError, TypeError, AttributeError):  # missing or damaged: it is made again
            pass
        self._is_remembered = True
        self._current: dict[Path, Source] = {}
        self._digests: dict[Path, str] = {}

    def digest(self, path: str) -> str:
        """Of a file and all that it imports of its own package and of ours."""
        start = Path(path).absolute()  # not resolved: links to our folders are what makes them one package
        if start not in self._digests:
            state = xxhash.xxh3_128()
            for member in sorted(self._closure(start)):
                state.update(f"{self._read(member).digest}\n".encode())
            if not self._is_remembered:
                self._remember()
            self._digests[start] = state.hexdigest()
        return self._digests[start]

    def _closure(self, start: Path) -> set[Path]:
        seen, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            for name in self._read(here).imports:
                new = [file for file in _files_of(name, here) if file not in seen]
                seen.update(new)
                waiting += new
        return seen

    def _read(self, path: Path) -> Source:
        if path not in self._current:
            self._current[path] = self._look(path)
        return self._current[path]

    def _look(self, path: Path) -> Source:
        status = path.stat()
        known = self._known.get(str(path))
        if known and (known.time, known.size) == (status.st_mtime_ns, status.st_size):
            return known
        tree = ast.parse(path.read_bytes())
        imports = sorted(set(_imports(tree, path)))
        source = Source(status.st_mtime_ns, status.st_size, _tree_digest(tree), imports)
        self._known[str(path)] = source
        self._is_remembered = False
        return source

    def _remember(self) -> None:
        content = json.dumps({path: list(source) for path, source in sorted(self._known.items())})
        own = self._path.with_name(f".tmp-{os.getpid()}-{self._path.name}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            own.write_text(content)
            own.replace(self._path)
            self._is_remembered = True
        except OSError:  # a cache that cannot be written costs time, and nothing else
            with suppress(OSError):
                own.unlink()


def memory_name() -> str:
    """The name of the file in which the sources of this working copy are remembered."""
    return f"sources-{xxhash.xxh3_64_hexdigest(str(_root_of(Path(__file__).absolute())).encode())}.json"


def _tree_digest(tree: ast.Module) -> str:
    """Of a module's syntax tree without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                    node.body = rest
    return xxhash.xxh3_128_hexdigest(ast.dump(tree).encode())


def _imports(tree: ast.Module, path: Path) -> Iterator[str]:
    """Full names of modules that a file imports, or may: of `from a import b`, `a` and `a.b`."""
    package = _packages_of(path)
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING:`, which no compiled code is made of."""
    for node in ast.iter_child_nodes(tree):
        yield node
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for branch in node.orelse:
                    yield branch
                    yield from _executed(branch)
            case _:
                yield from _executed(node)


@cache
def _packages_of(path: Path) -> tuple[str, ...]:
    """The packages that a file is in, the topmost first: the folders above it that are packages."""
    names: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return tuple(names)


def _root_of(path: Path) -> Path:
    """The folder that a file's topmost package lies in."""
    return path.parents[len(_packages_of(path))]


@cache
def _files_of(name: str, importer: Path) -> list[Path]:
    """The files of a module by its full name, packages above it included; none for other people's modules."""
    top = name.partition(".")[0]
    if top == OURS:
        path = _root_of(Path(__file__).absolute())
    elif top and top in _packages_of(importer)[:1]:
        path = _root_of(importer)
    else:
        return []
    files = []
    for part in name.split("."):
        path = path / part
        files += [file for file in (path.with_name(f"{part}.py"), path / "__init__.py") if file.exists()]
    return files
