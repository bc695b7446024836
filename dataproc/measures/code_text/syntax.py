"""Where comments and strings begin and end, by programming language: the little that tells comments from code.

Languages are those of `dataproc.language.extensions`. What is left out on purpose: here-documents, raw strings with
delimiters of their own, regular expressions. A string that only runs within its line ends there at the latest, so a
quote that is none is forgotten at the next line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

LONGEST_MARK = 6
LINE_MARKS, BLOCK_MARKS = 2, 2


@dataclass(frozen=True)
class Syntax:
    """The marks of one language, all ASCII.

    Attributes:
        line: what begins a comment that runs to the end of its line.
        blocks: (begin, end) of comments.
        nested: whether blocks nest.
        apart: whether a line comment needs white space before it, or the beginning of a line.
        strings: quotes whose strings end with their line.
        long_strings: quotes whose strings run on.
        characters: whether ' encloses single characters, and is otherwise nothing (lifetimes, primes).
        escapes: whether a backslash in a string takes the next character away.
        docstrings: whether a string in three quotes that begins its line is a comment.
    """

    line: tuple[str, ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()
    nested: bool = False
    apart: bool = False
    strings: str = ""
    long_strings: str = ""
    characters: bool = False
    escapes: bool = True
    docstrings: bool = False


_C = Syntax(line=("//",), blocks=(("/*", "*/"),), strings="\"'")
_NESTED_C = replace(_C, nested=True, strings='"', characters=True)
_HASH = Syntax(line=("#",), strings="\"'")
_SHELL = Syntax(line=("#",), apart=True, long_strings="\"'")
_LISP = Syntax(line=(";",), blocks=(("#|", "|#"),), nested=True, long_strings='"')
_MARKUP = Syntax(blocks=(("<!--", "-->"),))
_PERCENT = Syntax(line=("%",))

SYNTAX: dict[str, Syntax] = {
    "asm": Syntax(line=(";", "#"), blocks=(("/*", "*/"),), apart=True, strings='"'),
    "c": _C,
    "cmake": replace(_HASH, strings="", long_strings='"'),
    "cpp": _C,
    "csharp": _C,
    "css": Syntax(blocks=(("/*", "*/"),), strings="\"'"),
    "cuda": _C,
    "dart": _C,
    "dockerfile": replace(_SHELL, long_strings="", strings="\"'"),
    "elixir": replace(_HASH, strings='"'),
    "erlang": replace(_PERCENT, strings='"'),
    "fortran": Syntax(line=("!",), strings="\"'", escapes=False),
    "fsharp": Syntax(line=("//",), blocks=(("(*", "*)"),), nested=True, long_strings='"', characters=True),
    "go": replace(_C, strings="\"'", long_strings="`"),
    "graphql": replace(_HASH, strings='"'),
    "groovy": _C,
    "haskell": Syntax(line=("--",), blocks=(("{-", "-}"),), nested=True, strings='"', characters=True),
    "html": _MARKUP,
    "java": _C,
    "javascript": replace(_C, long_strings="`"),
    "julia": Syntax(line=("#",), blocks=(("#=", "=#"),), nested=True, long_strings='"', characters=True),
    "kotlin": _NESTED_C,
    "latex": _PERCENT,
    "lisp": _LISP,
    "lua": Syntax(line=("--",), blocks=(("--[[", "]]"),), strings="\"'"),
    "makefile": replace(_SHELL, long_strings=""),
    "matlab": Syntax(line=("%",), blocks=(("%{", "%}"),), strings='"'),
    "nix": Syntax(line=("#",), blocks=(("/*", "*/"),), long_strings='"'),
    "ocaml": Syntax(blocks=(("(*", "*)"),), nested=True, long_strings='"', characters=True),
    "perl": _SHELL,
    "php": Syntax(line=("//", "#"), blocks=(("/*", "*/"),), long_strings="\"'"),
    "powershell": Syntax(line=("#",), blocks=(("<#", "#>"),), strings="\"'", escapes=False),
    "protobuf": _C,
    "python": replace(_HASH, docstrings=True),
    "r": replace(_HASH, strings="", long_strings="\"'"),
    "ruby": Syntax(line=("#",), blocks=(("=begin", "=end"),), strings="\"'"),
    "rust": replace(_NESTED_C, strings="", long_strings='"'),
    "scala": _NESTED_C,
    "scheme": _LISP,
    "scss": _C,
    "shell": _SHELL,
    "solidity": _C,
    "sql": Syntax(line=("--",), blocks=(("/*", "*/"),), long_strings="\"'", escapes=False),
    "swift": replace(_NESTED_C, characters=False),
    "tcl": replace(_SHELL, long_strings='"'),
    "toml": _HASH,
    "typescript": replace(_C, long_strings="`"),
    "verilog": Syntax(line=("//",), blocks=(("/*", "*/"),), strings='"'),
    "vhdl": Syntax(line=("--",), strings='"', escapes=False),
    "vue": _MARKUP,
    "xml": _MARKUP,
    "xslt": _MARKUP,
    "yaml": replace(_SHELL, long_strings="", strings="\"'"),
    "zig": Syntax(line=("//",), strings='"', characters=True),
}
"""Syntax by language."""

DATA_LANGUAGES = ("html", "json", "toml", "vue", "xml", "xslt", "yaml")
COMMENTED_LANGUAGES = tuple(name for name in SYNTAX if name not in DATA_LANGUAGES)
"""Programming languages whose comments are known here; markup and data, of which none are expected, left out."""


class Tables(NamedTuple):
    """Syntax of S languages as arrays for the kernel; row 0 has no marks at all.

    `marks` (S, 6, 6) uint8 and `sizes` (S, 6) int64: 2 line marks, 2 begins of blocks, their 2 ends; size 0 for none.
    `quotes` (S, 256) uint8: 1 for a quote whose string ends with its line, 2 for one whose string runs on, 3 for one
    that encloses a single character. `begins` (S, 256) bool: bytes at which anything can begin. `flags` (S, 4) bool:
    nested, apart, escapes, docstrings.
    """

    marks: np.ndarray
    sizes: np.ndarray
    quotes: np.ndarray
    begins: np.ndarray
    flags: np.ndarray


def make_tables() -> tuple[dict[str, int], Tables]:
    """(row by language, tables)."""
    rows = {name: number for number, name in enumerate(SYNTAX, 1)}
    count, most = len(rows) + 1, LINE_MARKS + 2 * BLOCK_MARKS
    tables = Tables(
        marks=np.zeros((count, most, LONGEST_MARK), np.uint8),
        sizes=np.zeros((count, most), np.int64),
        quotes=np.zeros((count, 256), np.uint8),
        begins=np.zeros((count, 256), np.bool_),
        flags=np.zeros((count, 4), np.bool_),
    )
    for name, row in rows.items():
        syntax = SYNTAX[name]
        for place, mark in _places(syntax):
            tables.marks[row, place, : len(mark)] = np.frombuffer(mark, np.uint8)
            tables.sizes[row, place] = len(mark)
            if place < LINE_MARKS + BLOCK_MARKS:
                tables.begins[row, mark[0]] = True
        for kind, quotes in enumerate((syntax.strings, syntax.long_strings, "'" if syntax.characters else ""), 1):
            for quote in quotes:
                tables.quotes[row, ord(quote)] = kind
                tables.begins[row, ord(quote)] = True
        tables.flags[row] = (syntax.nested, syntax.apart, syntax.escapes, syntax.docstrings)
    return rows, tables


def _places(syntax: Syntax) -> Iterator[tuple[int, bytes]]:
    """(place among the marks of a row, mark)."""
    for place, mark in enumerate(syntax.line):
        yield place, mark.encode()
    for number, (begin, end) in enumerate(syntax.blocks):
        yield LINE_MARKS + number, begin.encode()
        yield LINE_MARKS + BLOCK_MARKS + number, end.encode()
