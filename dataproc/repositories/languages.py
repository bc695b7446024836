"""The language of a file of a repository: by its name, by its first line, and for `.h` by who includes it.

`dataproc.language.language_of_path` knows names and extensions. A script without an extension says it in its first
line (`#!/usr/bin/env python3`). `.h` is C's and C++'s: a header that a C file includes, itself or through other
headers, is C; one that only C++ files include is C++; one that nobody includes goes with its neighbours and with what
it says.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence

from corpusmill.dataproc.language import language_of_path

_SHEBANG = re.compile(rb"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:-\S+[ \t]+|\w+=\S+[ \t]+)*(?:\S*/)?)?([A-Za-z+]+)")
_INTERPRETERS = {
    "ash": "shell", "bash": "shell", "dash": "shell", "ksh": "shell", "sh": "shell", "zsh": "shell",
    "bun": "javascript", "deno": "typescript",
    "elixir": "elixir", "escript": "erlang", "groovy": "groovy", "guile": "scheme",
    "julia": "julia", "lua": "lua", "luajit": "lua", "make": "makefile", "node": "javascript", "nodejs": "javascript",
    "ocaml": "ocaml", "perl": "perl", "php": "php", "pwsh": "powershell", "pypy": "python", "python": "python",
    "racket": "scheme", "rscript": "r", "ruby": "ruby", "runhaskell": "haskell", "sbcl": "lisp", "scala": "scala",
    "tclsh": "tcl", "wish": "tcl",
}  # fmt: skip
_CPP_ONLY = re.compile(r"^[ \t]*(?:class|namespace|template|using|public:|private:|protected:)(?![\w])", re.MULTILINE)

MANIFESTS = frozenset(("go.mod", "Cargo.toml", "package.json"))
"""Files that are read for what they say of imports, whether they are documents or not."""


def is_candidate(path: str) -> bool:
    """Whether a file may have a language: by its name, or by its first line where it has no extension."""
    name = posixpath.basename(path)
    return name in MANIFESTS or "." not in name.lstrip(".") or language_of_path(path) is not None


def language_of_file(path: str, data: bytes) -> str | None:
    """The language of a file by its name, else by the interpreter that its first line names; None for neither."""
    if language := language_of_path(path):
        return language
    if data.startswith(b"#!") and (matched := _SHEBANG.match(data)):
        return _INTERPRETERS.get(matched[1].decode().lower())
    return None


def says_cpp(text: str) -> bool:
    """Whether a header says what only C++ can say."""
    return _CPP_ONLY.search(text) is not None


def header_languages(
    paths: Sequence[str], languages: Sequence[str], needs: Sequence[Sequence[int]], cpp_only: Mapping[str, bool]
) -> list[str]:
    """The languages of N files, with `.h` resolved; `cpp_only` says which headers hold what only C++ can say."""
    reached: dict[str, set[int]] = {}
    for language in ("c", "cpp"):
        left = [
            file for file, own in enumerate(languages) if own == language and not paths[file].lower().endswith(".h")
        ]
        seen = set(left)
        while left:
            for other in needs[left.pop()]:
                if other not in seen:
                    seen.add(other)
                    left.append(other)
        reached[language] = seen
    beside: dict[str, int] = {}
    for path, language in zip(paths, languages, strict=True):
        if language in ("c", "cpp") and not path.lower().endswith(".h"):
            folder = posixpath.dirname(path)
            beside[folder] = beside.get(folder, 0) + (1 if language == "cpp" else -1)
    out = list(languages)
    for file, path in enumerate(paths):
        if languages[file] != "c" or not path.lower().endswith(".h"):
            continue
        if file in reached["c"]:
            continue
        if file in reached["cpp"] or cpp_only.get(path) or beside.get(posixpath.dirname(path), 0) > 0:
            out[file] = "cpp"
    return out
