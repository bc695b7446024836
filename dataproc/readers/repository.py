"""Code repositories: a folder or an archive is read whole, and its files are joined in the order of dependency.

`dataproc.repositories` says how. The id of a document is `<source>/<repository>#<path of its first file>`: a
file is in one document only, so ids are unique. `meta` holds `repository`, `paths`, `languages` and `file_starts` (the
byte at which each file begins, which packing draws FIM by), and `left_out`, the repository's files that are no
documents, by reason. A file that should be one and cannot be read, or is not UTF-8, is reported; the rest of the
repository goes on.

The declared normalisation is applied to each file before it is joined, so that offsets hold. Memory: see
`dataproc.repositories`, and a batch.
"""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pyarrow as pa

from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.readers.batches import BATCH_CHARACTERS, Report, Unread, normalise
from corpusmill.dataproc.readers.normalisation import Normalisation
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.repositories.documents import grouped_files, join_files
from corpusmill.dataproc.repositories.finding import is_folder, name_of
from corpusmill.dataproc.repositories.left_out import REASONS
from corpusmill.dataproc.repositories.reading import Repository, RepositorySettings, read_repository
from corpusmill.dataproc.repositories.trees import ARCHIVES, ArchiveTree, FolderTree, Tree
from corpusmill.dataproc.urls import without_query

SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("repository", pa.string(), nullable=False),
        pa.field("place", pa.string(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("documents", "files", "bytes", "dependencies")),
        pa.field("normalised", pa.int64(), nullable=False),
        pa.field("quarantined", pa.int64(), nullable=False),
        *(pa.field(reason.replace(" ", "_"), pa.int64(), nullable=False) for reason in REASONS),
    ]
)
"""What became of a repository: documents made, files in them and their bytes, edges between files, files that a Unicode
form or mojibake repair changed, files quarantined, and files left out by each reason."""

Summarise = Callable[[dict[str, Any]], None]


def read_repositories(
    piece: Piece,
    fields: Fields,
    report: Report,
    settings: RepositorySettings = RepositorySettings(),
    summarise: Summarise | None = None,
    normalisation: Normalisation = Normalisation(),
) -> Iterator[pa.RecordBatch]:
    """Documents of one repository, the folder or archive `piece.path`.

    `summarise` is given a row of SUMMARY_SCHEMA when all documents have been made. `normalisation` is applied to each
    file, on top of what every reader does. What is neither a folder nor an archive is reported.
    """
    tree = _tree(piece, fields, report, settings)
    if tree is None:
        return
    quarantined_before = 1 if isinstance(tree, ArchiveTree) and tree.problem else 0

    def problem(path: str, reason: str, text: str | None) -> None:
        name, place = (_shown(f"{prefix}{path}") for prefix in (f"{fields.source}/{piece.name}#", f"{piece.path}/"))
        report(name, place, reason, text)

    normaliser = _Normaliser(normalisation)
    own_name = name_of(piece.name) if isinstance(tree, ArchiveTree) else piece.name
    with read_repository(tree, settings, normaliser, problem) as repository:
        repository.quarantined += quarantined_before
        documents = 0
        rows: list[tuple[Any, ...]] = []
        characters = 0
        for files in grouped_files(repository, settings.documents, settings.document_bytes):
            joined = join_files(repository, files)
            meta = {
                "file_starts": joined.file_starts,
                "languages": joined.languages,
                "left_out": dict(repository.left_out),
                "paths": joined.paths,
                "repository": own_name,
            }
            name = f"{fields.source}/{piece.name}#{joined.paths[0]}"
            meta_text = orjson.dumps(meta, option=orjson.OPT_SORT_KEYS).decode()
            rows.append((name, joined.text, fields.source, fields.kind, joined.language, None, meta_text))
            documents += 1
            characters += len(joined.text) + len(meta_text)
            if characters >= BATCH_CHARACTERS:
                yield _batch(rows)
                rows, characters = [], 0
        yield _batch(rows)
        if summarise is not None:
            named = {"repository": own_name, "place": piece.path, "normalised": normaliser.changed}
            summarise(_summary(repository, documents) | named)


def _tree(piece: Piece, fields: Fields, report: Report, settings: RepositorySettings) -> Tree | None:
    """The tree of a folder or archive; None, reported, where the piece is neither."""
    name = f"{fields.source}/{piece.name}#"
    if without_query(piece.path).lower().endswith(ARCHIVES) and not is_folder(piece.path):
        archive = ArchiveTree(piece.path, settings.maximum_file_bytes, settings.archive_bytes)
        if archive.problem:
            report(name, piece.path, Unread(archive.problem), None)
        return archive
    if not is_folder(piece.path):
        report(name, piece.path, "neither a folder nor an archive: no repository", None)
        return None
    return FolderTree(piece.path, settings.maximum_file_bytes)


def _batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    arrays = [
        pa.array(column, pa.large_binary()).cast(field.type) if field.name == "text" else pa.array(column, field.type)
        for column, field in zip(columns, SCHEMA, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


class _Normaliser:
    """What is done to the text of each file; counts the files that Unicode forms and mojibake repair changed."""

    def __init__(self, normalisation: Normalisation) -> None:
        self._normalisation = normalisation
        self.changed = 0

    def __call__(self, text: str) -> str:
        columns = [pa.array([text], SCHEMA.field("text").type), pa.nulls(1, pa.string())]
        batch = normalise(pa.RecordBatch.from_arrays(columns, ["text", "meta"]))
        if not text.isascii():
            before = batch
            batch, counts = self._normalisation.apply(batch)
            self.changed += batch is not before and any(counts.values())
        return str(batch.column("text")[0].as_py())


def _summary(repository: Repository, documents: int) -> dict[str, Any]:
    return {
        "documents": documents,
        "files": len(repository.paths),
        "bytes": sum(repository.sizes),
        "dependencies": sum(map(len, repository.needs)),
        "quarantined": repository.quarantined,
        **{reason.replace(" ", "_"): repository.left_out[reason] for reason in REASONS},
    }


def _shown(path: str) -> str:
    """A path that may hold bytes that are not UTF-8, as text."""
    return path.encode("utf-8", "backslashreplace").decode()
