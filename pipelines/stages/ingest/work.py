"""The workers' side of ingest: pieces of raw files to parts of documents."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from corpusmill.dataproc.datasets import PartWriter, write_table
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import UserError
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
    kept, changed, summaries = 0, Counter[str](), list[dict[str, Any]]()
    with PartWriter(task.folder, task.id, SCHEMA, part_bytes=work.part_bytes) as writer:
        for batch, place in _read(task, summaries):
            for normalised, counts in task.guard.each(batch, lambda some: normalisation.apply(_checked(some)), place):
                changed.update(counts)
                writer.write(normalised)
                kept += normalised.num_rows
    quarantined = task.guard.quarantined
    return {
        "documents_in": kept + quarantined,
        "kept": kept,
        "quarantined": quarantined,
        "normalised": dict(changed),
        "repositories": dict(_added(summaries)),
        "parts": writer.parts,
        "files": write_quarantine(task) + _write_summaries(task, summaries),
    }


def _read(task: TaskContext[IngestWork], summaries: list[dict[str, Any]]) -> Iterator[tuple[pa.RecordBatch, str]]:
    work, guard = task.arguments, task.guard
    fields, reader = work.fields, reader_of(work.format)
    if reader is None:
        raise UserError(f"nothing here reads the format '{work.format}'", hint="install the package that brings it")
    read = reader.load()
    entered = (piece for piece in work.pieces if guard.enter(piece.path, piece.path))  # each just before it is opened
    if reader.groups:
        for batch in read(entered, fields, guard.quarantine):
            yield batch, "a group of files"
        return
    for piece in entered:
        if work.repository is not None:  # whose files are normalised one by one, before they are joined
            batches = read_repositories(
                piece, fields, guard.quarantine, work.repository, summaries.append, work.normalisation
            )
        else:
            batches = read(piece, fields, guard.quarantine)
        for batch in batches:
            yield batch, piece.path
            guard.enter(piece.path, piece.path)  # the next batch is read: the file is what a death is blamed on


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
