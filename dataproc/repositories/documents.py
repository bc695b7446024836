"""Documents of a repository: files joined in order, each under its path, with where each begins.

A document is the files of a connected subgraph (as in DeepSeek-Coder), of the whole repository (its subgraphs one
after the other, by their first paths), or one file. Longer ones are split between files at `document_bytes`, in order,
so what a file needs is before it in its own document or in an earlier one. Memory: one document.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.repositories.comments import path_comment
from corpusmill.dataproc.repositories.order import order_files
from corpusmill.dataproc.repositories.reading import Repository

GROUPINGS = ("component", "repository", "file")


@dataclass(frozen=True, kw_only=True)
class JoinedFiles:
    """Some files of a repository as one text.

    Attributes:
        text: UTF-8.
        file_starts: byte offsets at which the files begin, each with the comment of its path.
        paths, languages: of the files, in order.
        language: the language that most bytes are of.
    """

    text: bytes
    file_starts: list[int]
    paths: list[str]
    languages: list[str]
    language: str


def grouped_files(repository: Repository, documents: str, document_bytes: int) -> Iterator[list[int]]:
    """The numbers of the files of each document, in order. Raises UserError for an unknown kind of documents."""
    if documents not in GROUPINGS:
        raise UserError(f"unknown value of documents: '{documents}'", "documents", f"one of {', '.join(GROUPINGS)}")
    if documents == "file":
        yield from ([file] for file in range(len(repository.paths)))
        return
    subgraphs = order_files(repository.needs, repository.deferred)
    if documents == "repository":
        subgraphs = [[file for subgraph in subgraphs for file in subgraph]]
    for files in subgraphs:
        group: list[int] = []
        size = 0
        for file in files:
            added = repository.sizes[file] + len(_heading(repository, file))
            if group and size + added > document_bytes:
                yield group
                group, size = [], 0
            group.append(file)
            size += added
        if group:
            yield group


def join_files(repository: Repository, files: list[int]) -> JoinedFiles:
    """One document of some files, in the order given."""
    pieces: list[bytes] = []
    starts: list[int] = []
    size = 0
    by_language: Counter[str] = Counter()
    for file in files:
        starts.append(size)
        pieces += (_heading(repository, file), repository.text(file))
        size += len(pieces[-2]) + len(pieces[-1])
        by_language[repository.languages[file]] += len(pieces[-1])
    return JoinedFiles(
        text=b"".join(pieces),
        file_starts=starts,
        paths=[repository.paths[file] for file in files],
        languages=[repository.languages[file] for file in files],
        language=min(by_language, key=lambda language: (-by_language[language], language)),
    )


def _heading(repository: Repository, file: int) -> bytes:
    return path_comment(repository.paths[file], repository.languages[file]).encode()
