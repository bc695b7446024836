"""The workers' side of ingest: pieces of raw files to parts of documents."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from corpusmill.dataproc.datasets import PartWriter, write_table
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.batches import Report, Unread
from corpusmill.dataproc.readers.pieces import Piece
from corpusmill.dataproc.readers.registry import reader_of
from corpusmill.dataproc.readers.repository import SUMMARY_SCHEMA, read_repositories
from corpusmill.dataproc.side_tables import side_name
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.ingest.arguments import IngestWork

SUMMARISED = "repositories"


def ingest_pieces(task: TaskContext[IngestWork]) -> dict[str, Any]:
    """Reads a task's pieces into `part-NNNNN.parquet`; the quarantined go to `_quarantine/`."""
    work, normalisation = task.arguments, task.arguments.normalisation
    normalisation.check()
    kept, changed, summaries, unread = 0, Counter[str](), list[dict[str, Any]](), list[Piece]()
    with PartWriter(task.folder, task.id, SCHEMA, part_bytes=work.part_bytes) as writer:
        for batch, place in _read(task, summaries, unread):
            for normalised, counts in task.guard.each(batch, lambda some: normalisation.apply(_checked(some)), place):
                changed.update(counts)
                writer.write(normalised)
                kept += normalised.num_rows
    quarantined = task.guard.quarantined
    return {
        "documents_in": kept + quarantined,
        "kept": kept,
        "quarantined": quarantined,
        "unread": [piece.bytes for piece in unread],
        "normalised": dict(changed),
        "repositories": dict(_added(summaries)),
        "parts": writer.parts,
        "files": write_quarantine(task) + _write_summaries(task, summaries),
    }


def _read(
    task: TaskContext[IngestWork], summaries: list[dict[str, Any]], unread: list[Piece]
) -> Iterator[tuple[pa.RecordBatch, str]]:
    """The batches of a task with the file that each comes from.

    Args:
        summaries: gets what became of each repository.
        unread: gets the pieces that could not be read to their ends.
    """
    work, guard = task.arguments, task.guard
    fields, reader = work.fields, reader_of(work.format)
    if reader is None:
        raise UserError(
            f"no installed package reads the format '{work.format}'", hint="install the package that provides it"
        )
    read = reader.load()
    if reader.groups:  # each file is one document; it is entered just before it is opened
        entered = (piece for piece in work.pieces if guard.enter(piece.path, piece.path))
        for batch in read(entered, fields, guard.quarantine):
            yield batch, "a group of files"
        return
    for piece in work.pieces:
        if not guard.enter(piece.path, piece.path):
            unread.append(piece)
            continue
        report = _noting(unread, piece, guard.quarantine)
        if work.repository is not None:  # whose files are normalised one by one, before they are joined
            batches = read_repositories(piece, fields, report, work.repository, summaries.append, work.normalisation)
        else:
            batches = read(piece, fields, report)
        for batch in batches:
            yield batch, piece.path
            guard.enter(piece.path, piece.path)  # the next batch is read: the file is what a death is blamed on


def _noting(unread: list[Piece], piece: Piece, report: Report) -> Report:
    """The report, which also notes a piece of which more than single records is missing."""

    def noted(document: str, place: str, reason: str, text: str | None) -> None:
        if isinstance(reason, Unread) and piece not in unread[-1:]:
            unread.append(piece)
        report(document, place, reason, text)

    return noted


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, once Arrow has checked every value of it (UTF-8 included)."""
    batch.validate(full=True)
    return batch


def _added(summaries: list[dict[str, Any]]) -> Counter[str]:
    """The numbers of all repositories of a task together, and how many they are."""
    total = Counter(repositories=len(summaries)) if summaries else Counter[str]()
    for summary in summaries:
        total.update({name: value for name, value in summary.items() if isinstance(value, int)})
    return total


def _write_summaries(task: TaskContext[IngestWork], summaries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What became of each repository of a task, beside its parts."""
    if not summaries:
        return []
    name = side_name(SUMMARISED, task.id)
    return [{"path": name} | write_table(task.path(name), pa.Table.from_pylist(summaries, SUMMARY_SCHEMA))]
