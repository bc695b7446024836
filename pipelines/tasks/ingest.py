"""The workers' side of ingest: pieces of raw files to parts of documents."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from dataproc.datasets import PartWriter
from dataproc.documents import SCHEMA
from dataproc.readers.jsonl import read_jsonl
from dataproc.readers.parquet import read_parquet
from dataproc.readers.pieces import Fields, Piece
from dataproc.readers.python_metadata import read_metadata
from dataproc.readers.text import read_files
from dataproc.readers.warc import read_warc
from pipelines.engine.worker import TaskContext
from pipelines.tasks.outputs import write_quarantine

BY_PIECE = {"jsonl": read_jsonl, "parquet": read_parquet, "warc": read_warc}
BY_GROUP = {"text": read_files, "python-metadata": read_metadata}


def ingest_pieces(task: TaskContext) -> dict[str, Any]:
    """Reads a task's pieces into `part-NNNNN.parquet`; the quarantined go to `quarantine/`."""
    arguments = task.arguments
    fields = Fields(**arguments["fields"])
    kept = 0
    with PartWriter(task.folder, task.id, SCHEMA, part_bytes=arguments["part_bytes"]) as writer:
        for batch, place in _read(task, [Piece(**piece) for piece in arguments["pieces"]], fields):
            for passed in task.guard.each(batch, _checked, place):
                writer.write(passed)
                kept += passed.num_rows
    quarantined = task.guard.quarantined
    return {
        "documents_in": kept + quarantined,
        "kept": kept,
        "quarantined": quarantined,
        "parts": writer.parts,
        "files": write_quarantine(task),
    }


def _read(task: TaskContext, pieces: list[Piece], fields: Fields) -> Iterator[tuple[pa.RecordBatch, str]]:
    format, guard = task.arguments["format"], task.guard
    entered = (piece for piece in pieces if guard.enter(piece.path, piece.path))  # each just before it is opened
    if format in BY_GROUP:
        for batch in BY_GROUP[format](entered, fields, guard.quarantine):
            yield batch, "a group of files"
        return
    for piece in entered:
        for batch in BY_PIECE[format](piece, fields, guard.quarantine):
            yield batch, piece.path
            guard.enter(piece.path, piece.path)  # the next batch is read: the file is what a death is then put down to


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, once Arrow has checked every value of it (UTF-8 included)."""
    batch.validate(full=True)
    return batch
