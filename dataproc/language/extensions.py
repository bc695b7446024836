"""The programming or markup language of a file by its name or extension: tables, and nothing else.

Where an extension is used by several languages the commonest in public repositories has it: `.h` is C, `.m` MATLAB,
`.v` Verilog.
"""

import posixpath

_EXTENSIONS = {
    "asm": "asm s",
    "c": "c h",
    "cmake": "cmake",
    "cpp": "cc cpp cxx c++ hh hpp hxx h++ inl",
    "csharp": "cs",
    "css": "css",
    "cuda": "cu cuh",
    "dart": "dart",
    "elixir": "ex exs",
    "erlang": "erl hrl",
    "fortran": "f f77 f90 f95 f03 f08 for",
    "fsharp": "fs fsi fsx",
    "go": "go",
    "graphql": "graphql gql",
    "groovy": "groovy gradle",
    "haskell": "hs lhs",
    "html": "htm html xhtml",
    "java": "java",
    "javascript": "cjs js jsx mjs",
    "json": "json jsonl",
    "julia": "jl",
    "kotlin": "kt kts",
    "latex": "cls sty tex",
    "lisp": "cl el lisp lsp",
    "lua": "lua",
    "markdown": "markdown md mdx",
    "matlab": "m",
    "nix": "nix",
    "ocaml": "ml mli",
    "perl": "pl pm",
    "php": "php",
    "powershell": "ps1 psd1 psm1",
    "protobuf": "proto",
    "python": "py pyi pyx",
    "r": "r rmd",
    "restructuredtext": "rst",
    "ruby": "rake rb",
    "rust": "rs",
    "scala": "sc scala",
    "scheme": "rkt scm ss",
    "scss": "sass scss",
    "shell": "bash sh zsh",
    "solidity": "sol",
    "sql": "sql",
    "swift": "swift",
    "tcl": "tcl",
    "toml": "toml",
    "typescript": "cts mts ts tsx",
    "verilog": "sv svh v vh",
    "vhdl": "vhd vhdl",
    "vue": "vue",
    "xml": "xml xsd",
    "xslt": "xsl xslt",
    "yaml": "yaml yml",
    "zig": "zig",
}
LANGUAGE_OF_EXTENSION = {ending: language for language, endings in _EXTENSIONS.items() for ending in endings.split()}
"""Programming and markup languages by extension, in lower case and without its dot. `.h` is C here, `.m` MATLAB."""

LANGUAGE_OF_NAME = {
    "cmakelists.txt": "cmake",
    "dockerfile": "dockerfile",
    "gemfile": "ruby",
    "makefile": "makefile",
    "gnumakefile": "makefile",
    "rakefile": "ruby",
}
"""Languages by whole file name, in lower case, looked up before the extension."""


def language_of_path(path: str) -> str | None:
    """The programming or markup language that a path's name or extension stands for, in any case; else None."""
    name = posixpath.basename(path.replace("\\", "/")).lower()
    if name in LANGUAGE_OF_NAME:
        return LANGUAGE_OF_NAME[name]
    return LANGUAGE_OF_EXTENSION.get(posixpath.splitext(name)[1][1:])
