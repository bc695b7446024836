"""Rust: `use crate::`, `self::`, `super::` and paths of that kind anywhere; `mod`; crates of the same workspace.

A path leads to the deepest module that has a file; what comes after is a name in it, or one that the module hands on
from another by `pub use`, which is followed. `mod a;` and `pub use` are dependencies, too, but deferred: children use
what their parents define as often as the other way round, and these lines only say where things are. So are paths
inside of functions and of inline modules (`mod tests { use super::*; }`, which is about the file itself). A crate's
name is that of its Cargo.toml, with `-` for `_`; its root is `src/lib.rs`, or what `path` says. Cost: some 50 MB/s.
"""

import posixpath
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from corpusmill.dataproc.repositories.imports import Text, line_start
from corpusmill.dataproc.repositories.imports.paths import joined

_MOD = re.compile(r"mod[ \t]+(?:r#)?(\w+)[ \t]*;")
_BEFORE_MOD = re.compile(r"(?:|.*[;{}\]])[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?")
_NAMED_PATH = re.compile(r"#\[path[ \t]*=[ \t]*\"([^\"\n]+)\"\]\s*(?:#\[[^\n]*\]\s*)*(?:pub(?:\([^)]*\))?[ \t]+)?\Z")
_USE = re.compile(r"use[ \t]+(?:::)?([^;]{1,4000}+);")
_BEFORE_USE = re.compile(r"(?:|.*[;{}])([ \t]*)(pub(?:\([^)]*\))?[ \t]+)?")
_PATH_INSIDE = tuple(re.compile(rf"{first}(?:::(?:super|\w+))+") for first in ("crate", "self", "super"))
_INLINE_MODULE = re.compile(r"(?:^|\n)(?:pub(?:\([^)]*\))?[ \t]+)?mod[ \t]+\w+\s*\{")
_EXTERN = re.compile(r"(?:^|\n)[ \t]*(?:pub[ \t]+)?extern[ \t]+crate[ \t]+(\w+)")
_COMMENT = re.compile(r"//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z)")
_PACKAGE = re.compile(r"^\[package\][^\[]*?^name[ \t]*=[ \t]*[\"']([^\"'\n]+)", re.MULTILINE | re.DOTALL)
_LIBRARY = re.compile(r"^\[lib\]([^\[]*)", re.MULTILINE)
_PATH = re.compile(r"^path[ \t]*=[ \t]*[\"']([^\"'\n]+)", re.MULTILINE)
_LIBRARY_NAME = re.compile(r"^name[ \t]*=[ \t]*[\"']([^\"'\n]+)", re.MULTILINE)
_TOKEN = re.compile(r"[{},]|[^{},\s]+")
MAXIMUM_PATHS = 10_000
MAXIMUM_DEPTH = 32
MAXIMUM_STEPS = 8
ATTRIBUTE_CHARACTERS = 300
"""How far above a `mod` its `path` attribute is looked for."""
ROOTS = ("lib.rs", "main.rs")


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file declares and uses.

    Attributes:
        children: the child modules declared, each with its `path` attribute or "".
        paths: the paths used, and whether each is used in functions or inline modules only.
        handed_on: the paths that `pub use` makes names of this module.
    """

    children: tuple[tuple[str, str], ...]
    paths: tuple[tuple[str, bool], ...]
    handed_on: tuple[str, ...]


def scan(text: str) -> Scan:
    """The modules that a file declares and the paths that it uses, in order, each once."""
    if "//" in text or "/*" in text:
        text = _COMMENT.sub("", text)
    inline = _INLINE_MODULE.search(text)
    inside = inline.start() if inline else len(text)
    paths: dict[str, bool] = {}
    handed_on: dict[str, None] = {}

    def use(path: str, at: int, deferred: bool) -> None:
        if at >= inside and path.startswith("super"):
            path = path[len("super::") :]  # an inline module's parent is the file itself
        if path:
            paths[path] = paths.get(path, True) and (deferred or at >= inside)

    spans: list[tuple[int, int]] = []
    for match in _USE.finditer(text):
        before = _BEFORE_USE.fullmatch(text, line_start(text, match.start()), match.start())
        if before is None:
            continue
        spans.append((match.start(), match.end()))
        for path in _expanded(match[1]):
            if before[2] and match.start() < inside:
                handed_on[path] = None
            else:
                use(path, match.start(), bool(before[1]))
    for path_inside in _PATH_INSIDE:
        for match in path_inside.finditer(text):
            if match.start() and (text[match.start() - 1].isalnum() or text[match.start() - 1] == "_"):
                continue
            at = bisect_right(spans, (match.start(), len(text))) - 1
            if at < 0 or spans[at][1] <= match.start():
                use(match[0], match.start(), True)
    for match in _EXTERN.finditer(text):
        use(match[1], 0, False)
    children: dict[tuple[str, str], None] = {}
    for match in _MOD.finditer(text):
        begin = line_start(text, match.start())
        if _BEFORE_MOD.fullmatch(text, begin, match.start()):
            named_path = _NAMED_PATH.search(text, max(0, begin - ATTRIBUTE_CHARACTERS), match.start())
            children[match[1], named_path[1] if named_path else ""] = None
    return Scan(tuple(children), tuple(paths.items()), tuple(handed_on))


def _expanded(tree: str) -> list[str]:
    """The paths of a `use` with braces: `a::{b, c::{d, e as f}}` is a::b, a::c::d, a::c::e."""
    out: list[str] = []
    before: list[str] = [""]
    current = ""
    skip = False
    for token in _TOKEN.findall(tree):
        if token == "{":
            if len(before) > MAXIMUM_DEPTH:
                break
            before.append(before[-1] + current)
            current, skip = "", False
        elif token in (",", "}"):
            if current:
                out.append(before[-1] + current)
            current, skip = "", False
            if token == "}" and len(before) > 1:
                before.pop()
        elif token == "as":
            skip = True
        elif not skip:
            current += token
        if len(out) >= MAXIMUM_PATHS:
            break
    if current:
        out.append(before[-1] + current)
    return [path.replace("r#", "").removesuffix("::*").removesuffix("::self").removesuffix("::") for path in out]


class Crates:
    """The modules of a repository's crates; `manifests` are its Cargo.toml files, by path."""

    def __init__(self, scans: Mapping[str, Scan], manifests: Mapping[str, str]) -> None:
        self._scans = scans
        self._crates: dict[str, str] = {}
        self._children: dict[str, dict[str, str]] = {}
        self._parents: dict[str, str] = {}
        for path in sorted(manifests):
            self._add_crate(posixpath.dirname(path), manifests[path])
        for path in sorted(scans):
            for name, named_path in scans[path].children:
                if child := self._child_file(path, name, named_path):
                    self._children.setdefault(path, {})[name] = child
                    if child != path:
                        self._parents.setdefault(child, path)
        self._handed_on = {
            path: {used.rsplit("::", 1)[-1]: used for used in scan.handed_on} for path, scan in scans.items()
        }

    def needs(self, path: str, text: Text) -> Iterator[tuple[str, bool]]:
        """(path, whether deferred) of the files that a file needs."""
        for child in self._children.get(path, {}).values():
            if child != path:
                yield child, True
        for used, deferred in self._scans[path].paths:
            if (target := self._find(path, used.split("::"))) and target != path:
                yield target, deferred
        for used in self._scans[path].handed_on:
            if (target := self._find(path, used.split("::"))) and target != path:
                yield target, True

    def _add_crate(self, folder: str, manifest: str) -> None:
        package = _PACKAGE.search(manifest)
        if not package:
            return
        library = _LIBRARY.search(manifest)
        named_path = _PATH.search(library[1]) if library else None
        named = _LIBRARY_NAME.search(library[1]) if library else None
        root = joined(folder, named_path[1] if named_path else "src/lib.rs")
        if root in self._scans:
            self._crates.setdefault((named or package)[1].replace("-", "_"), str(root))

    def _child_file(self, path: str, name: str, named_path: str) -> str | None:
        folder = posixpath.dirname(path)
        if named_path:
            child = joined(folder, named_path)
            return child if child in self._scans else None
        file = posixpath.basename(path)
        if file not in ("mod.rs", *ROOTS):
            below = posixpath.join(folder, file.removesuffix(".rs"))
            # A file beside Cargo's roots (bin/a.rs, tests/a.rs, build.rs) is a root too: its children are beside it.
            tried = [below, folder]
        else:
            tried = [folder]
        for parent in tried:
            for tail in (f"{name}.rs", f"{name}/mod.rs"):
                if (child := posixpath.join(parent, tail)) in self._scans:
                    return child
        return None

    def _root_of(self, path: str) -> str:
        seen = set()
        while path in self._parents and path not in seen:
            seen.add(path)
            path = self._parents[path]
        return path

    def _find(self, path: str, steps: list[str], left: int = MAXIMUM_STEPS) -> str | None:
        first, rest = steps[0], steps[1:]
        if first == "crate":
            return self._walk(self._root_of(path), rest, left)
        if first in ("self", "super"):
            here: str | None = path
            while steps and steps[0] in ("self", "super"):
                if steps[0] == "super":
                    here = self._parents.get(here or "")
                    if here is None:
                        return None  # a crate's root has none: this is inside a `mod tests { … }`
                steps = steps[1:]
            return self._walk(here or path, steps, left)
        if first in self._children.get(path, {}):
            return self._walk(path, steps, left)
        if first in self._crates:
            return self._walk(self._crates[first], rest, left)
        return None

    def _walk(self, path: str, steps: list[str], left: int) -> str:
        """The file that steps lead to from a module; `left` bounds how often names that are handed on are followed."""
        for at, step in enumerate(steps):
            child = self._children.get(path, {}).get(step)
            if child is None:
                used = self._handed_on[path].get(step)
                if used and left and (file := self._find(path, [*used.split("::"), *steps[at + 1 :]], left - 1)):
                    return file
                break
            path = child
        return path
