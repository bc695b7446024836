"""Reads a repository once: its text, the languages of its files, and the graph of their dependencies.

Each file is read, judged (`left_out`), decoded, normalised by itself, scanned for imports, and put aside with its line
break at the end; so byte offsets into the joined text are right by construction. What is put aside stays in
memory up to `MEMORY_BYTES`, and beyond lies in a temporary file without a name.
"""

import posixpath
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from corpusmill.dataproc.repositories import left_out
from corpusmill.dataproc.repositories.graph import Imports
from corpusmill.dataproc.repositories.languages import MANIFESTS, header_languages, language_of_file, says_cpp
from corpusmill.dataproc.repositories.settings import RepositorySettings
from corpusmill.dataproc.repositories.trees import Tree
from corpusmill.dataproc.repositories.walking import walk

MEMORY_BYTES = 64 << 20
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

Problem = Callable[[str, str, str | None], None]
"""`problem(path, reason, text)`: a file that should be a document and cannot be."""


@dataclass(kw_only=True)
class Repository:
    """A repository of N files, sorted by path; a context manager, which frees the text.

    Attributes:
        paths, languages: of the files.
        sizes: bytes of each file's text, its last line break included.
        needs: for each file the numbers of those that it needs.
        deferred: those among them that a cycle is broken at first.
        left_out: files left out, by reason.
        quarantined: files that should be documents and cannot be.
    """

    paths: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    needs: list[list[int]] = field(default_factory=list)
    deferred: list[list[int]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0
    _offsets: list[int] = field(default_factory=list)
    _text: IO[bytes]

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()

    def text(self, file: int) -> bytes:
        """The text of a file by its number: UTF-8, normalised, with a line break at its end."""
        self._text.seek(self._offsets[file])
        return self._text.read(self.sizes[file])


def read_repository(
    tree: Tree, settings: RepositorySettings, normalise: Callable[[str], str], problem: Problem
) -> Repository:
    """All files of a tree that are documents, with their dependencies.

    Args:
        normalise: what is done to the text of each file.
        problem: called for each file that cannot be read or is not UTF-8.
    """
    reader = _Reader(settings, normalise, problem)
    return reader.read(tree)


class _Reader:
    def __init__(self, settings: RepositorySettings, normalise: Callable[[str], str], problem: Problem) -> None:
        self._settings = settings
        self._normalise = normalise
        self._problem = problem
        self._imports = Imports()
        self._cpp_only: dict[str, bool] = {}
        self._files: dict[str, tuple[str, int, int]] = {}
        self._end = 0
        self._repository = Repository(_text=tempfile.SpooledTemporaryFile(MEMORY_BYTES))  # noqa: SIM115

    def read(self, tree: Tree) -> Repository:
        repository = self._repository
        walked = walk(tree, self._settings.maximum_file_bytes, self._settings.exclude)
        repository.left_out = walked.left_out
        for path, reason in walked.problems:
            self._quarantine(path, reason, None)
        for content in tree.contents(walked.files):
            if content.problem:
                self._quarantine(content.path, content.problem, None)
            else:
                self._take(content.path, content.data)
        for path in sorted(self._files):
            language, offset, size = self._files[path]
            repository.paths.append(path)
            repository.languages.append(language)
            repository.sizes.append(size)
            repository._offsets.append(offset)
        number = {path: at for at, path in enumerate(repository.paths)}
        repository.needs, repository.deferred = self._imports.edges(
            repository.paths, lambda path: repository.text(number[path]).decode()
        )
        repository.languages = header_languages(
            repository.paths, repository.languages, repository.needs, self._cpp_only
        )
        return repository

    def _take(self, path: str, data: bytes) -> None:
        """Judges a file, and puts it aside or counts it as left out."""
        left = self._repository.left_out
        if len(data) > self._settings.maximum_file_bytes:
            left[left_out.OVERSIZED] += 1
            return
        if posixpath.basename(path) in MANIFESTS:
            self._imports.add_manifest(path, data.decode("utf-8", "replace"))
        language = language_of_file(path, data)
        if language is None:
            left[left_out.UNKNOWN] += 1
            return
        if data.startswith(UTF16_MARKS):
            self._quarantine(path, "not UTF-8 but UTF-16", None)
            return
        if reason := left_out.content_reason(data, language):
            left[reason] += 1
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            self._quarantine(path, f"not UTF-8 (byte {error.start})", data.decode("utf-8", "replace"))
            return
        text = self._normalise(text if text.endswith("\n") else text + "\n")
        self._imports.add(path, language, text)
        if language == "c" and path.lower().endswith(".h"):
            self._cpp_only[path] = says_cpp(text)
        data = text.encode()
        self._files[path] = (language, self._end, len(data))
        self._repository._text.write(data)
        self._end += len(data)

    def _quarantine(self, path: str, reason: str, text: str | None) -> None:
        self._repository.quarantined += 1
        self._problem(path, reason, text)
