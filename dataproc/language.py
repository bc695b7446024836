"""The language of a document: natural languages by a fastText model, programming languages by the file's extension.

Any fastText classifier whose labels are `__label__<code>` will do (lid.176, GlotLID, OpenLID, one of your own); it is
given by path, and nothing is downloaded. fastText's traps are handled here: a newline ends its input, so line ends
become spaces; given one string it fails under NumPy 2, so it is given lists; loading a model must not write to stderr.

Cost: about 10 to 50 us a document with lid.176; only the first `characters` of a text are looked at.
"""

import posixpath
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataproc.errors import UserError, require_extra

CHARACTERS = 2000
"""How much of a text is looked at: enough for any classifier, and a bound on its time for long documents."""

_LABEL = "__label__"


class LanguageIdentifier:
    """Identifies languages with the fastText model at `path`, from the first `characters` code points of a text.

    Raises:
        UserError: the module `fasttext` is missing, or the file is not there or is no fastText classifier.
    """

    def __init__(self, path: str, characters: int = CHARACTERS) -> None:
        if characters < 1:
            raise UserError(f"at least 1 character must be looked at, not {characters}", path)
        self.path = path
        self.characters = characters
        self._model = _load(path)

    def identify(self, texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """(languages, scores) of N texts: string array of codes without `__label__`, float32 of shape (N,).

        The score is the model's probability of the language, at most 1. A text of white space alone has the language
        null and the score 0: fastText has no answer for it.
        """
        starts = pc.utf8_slice_codeunits(texts.cast(pa.large_string()), 0, self.characters)
        flat = pc.utf8_trim_whitespace(pc.replace_substring_regex(starts, r"\s+", " "))
        asked = np.flatnonzero(pc.not_equal(flat, "").to_numpy(zero_copy_only=False))
        languages: list[str | None] = [None] * len(texts)
        scores = np.zeros(len(texts), np.float32)
        if len(asked) == 0:
            return pa.array(languages, pa.string()), scores
        labels, found = self._model.predict(flat.take(pa.array(asked)).to_pylist(), k=1)
        for row, label, score in zip(asked, labels, found, strict=True):
            if len(label):
                languages[row] = label[0].removeprefix(_LABEL)
                scores[row] = min(float(score[0]), 1.0)  # fastText's softmax table can exceed 1 by 1e-5
        return pa.array(languages, pa.string()), scores


def _load(path: str) -> Any:
    try:
        import fasttext
    except ImportError as error:
        raise require_extra("fasttext", "fasttext") from error
    if not Path(path).is_file():
        raise UserError("no such file", path, "give the path of a fastText model (.bin or .ftz)")
    fasttext.FastText.eprint = lambda *arguments, **settings: None  # a warning about its own constructor
    try:
        model = fasttext.load_model(path)
    except ValueError as error:
        raise UserError("this is no fastText model", path, "give a .bin or .ftz file") from error
    if not any(label.startswith(_LABEL) for label in model.get_labels()):
        raise UserError("this fastText model has no labels", path, "give a classifier, not word vectors")
    return model


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
    "xml": "xml xsd xsl xslt",
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
