"""The workers' side of ingest: pieces of raw files to parts of documents."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from corpusmill.dataproc.datasets import PartWriter, write_table
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.readers.archives.html import read_html
from corpusmill.dataproc.readers.archives.warc import read_warc
from corpusmill.dataproc.readers.arrow_ipc import read_arrow
from corpusmill.dataproc.readers.batches import Report
from corpusmill.dataproc.readers.csv_files import read_csv
from corpusmill.dataproc.readers.json_objects import read_json
from corpusmill.dataproc.readers.jsonl import read_jsonl
from corpusmill.dataproc.readers.parquet import read_parquet
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.python_metadata import read_metadata
from corpusmill.dataproc.readers.repository import SUMMARY_SCHEMA, read_repositories
from corpusmill.dataproc.readers.text import read_files
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.ingest.arguments import IngestWork

PieceReader = Callable[[Piece, Fields, Report], Iterator[pa.RecordBatch]]
GroupReader = Callable[[Iterable[Piece], Fields, Report], Iterator[pa.RecordBatch]]

BY_PIECE: Mapping[str, PieceReader] = {
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "warc": read_warc,
    "repository": read_repositories,
}
BY_GROUP: Mapping[str, GroupReader] = {"text": read_files, "html": read_html, "python-metadata": read_metadata}
SUMMARISED = "repositories"


def ingest_pieces(task: TaskContext[IngestWork]) -> dict[str, Any]:
    """Reads a task's pieces into `part-NNNNN.parquet`; the quarantined go to `quarantine/`."""
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
    format, fields = work.format, work.fields
    entered = (piece for piece in work.pieces if guard.enter(piece.path, piece.path))  # each just before it is opened
    if format in BY_GROUP:
        for batch in BY_GROUP[format](entered, fields, guard.quarantine):
            yield batch, "a group of files"
        return
    for piece in entered:
        if work.repository is not None:  # whose files are normalised one by one, before they are joined
            batches = read_repositories(
                piece, fields, guard.quarantine, work.repository, summaries.append, work.normalisation
            )
        else:
            batches = BY_PIECE[format](piece, fields, guard.quarantine)
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
    name = f"{SUMMARISED}/{task.id}.parquet"
    return [{"path": name} | write_table(task.path(name), pa.Table.from_pylist(summaries, SUMMARY_SCHEMA))]
