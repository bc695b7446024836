"""The workers' side of ingest: pieces of raw files to parts of documents."""

import errno
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import PartWriter, write_table
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import MissingLibrary, Unreachable, UserError
from corpusmill.dataproc.finding import NOT_UTF8
from corpusmill.dataproc.readers.batches import Report, Unread, counting_passed_over
from corpusmill.dataproc.readers.counting import count_records
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.registry import reader_of
from corpusmill.dataproc.readers.repository import SUMMARY_SCHEMA, read_repositories
from corpusmill.dataproc.side_tables import side_name
from corpusmill.pipelines.engine.guard import Guard
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.ingest.arguments import IngestWork
from corpusmill.pipelines.stages.ingest.raw_files import MISNAMED

SUMMARISED = "repositories"
OF_THE_FILE = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)


def ingest_pieces(task: TaskContext[IngestWork]) -> dict[str, Any]:
    """Reads a task's pieces into `part-NNNNN.parquet`; the quarantined go to `_quarantine/`."""
    work, normalisation = task.arguments, task.arguments.normalisation
    normalisation.check()
    reader, marked = reader_of(work.format), Counter[str]()
    marks = reader.marks if reader else ()
    kept, changed, summaries, unread = 0, Counter[str](), list[dict[str, Any]](), _UnreadPieces()
    with (
        PartWriter(task.folder, task.id, SCHEMA, part_bytes=work.part_bytes) as writer,
        counting_passed_over() as passed_over,
    ):
        for batch, place in _read(task, summaries, unread):
            for normalised, counts in task.guard.apply(batch, lambda some: normalisation.apply(_checked(some)), place):
                changed.update(counts)
                writer.write(normalised)
                marked.update(_marked(normalised, marks))
                kept += normalised.num_rows
    quarantined = task.guard.quarantined
    return {
        "documents_in": kept + quarantined,
        "kept": kept,
        "quarantined": quarantined,
        "unread": unread.result(),
        "normalised": dict(changed),
        "marked": dict(marked),
        "passed_over": dict(passed_over),
        "repositories": dict(_added(summaries)),
        "parts": writer.parts,
        "files": write_quarantine(task) + _write_summaries(task, summaries),
    }


def _read(
    task: TaskContext[IngestWork], summaries: list[dict[str, Any]], unread: "_UnreadPieces"
) -> Iterator[tuple[pa.RecordBatch, str]]:
    """The batches of a task with the file that each comes from.

    Args:
        summaries: gets what became of each repository.
        unread: gets the pieces that could not be read to their ends.
    """
    work, guard = task.arguments, task.guard
    fields, reader = work.fields, reader_of(work.format)
    if work.format == MISNAMED:
        for piece in work.pieces:
            unread.noting(piece, guard)(f"{fields.source}/{piece.name}#0", piece.path, Unread(NOT_UTF8), None)
        return
    if reader is None:
        raise UserError(
            f"no installed package reads the format '{work.format}'", hint="install the package that provides it"
        )
    read = reader.load()
    if reader.groups:  # each file is one document; it is entered just before it is opened
        for batch in _read_group(read, work.pieces, task, unread):
            yield batch, "a group of files"
        return
    for piece in work.pieces:
        if not guard.enter(piece.path, piece.path, partial(_records_of, piece)):
            unread.note(piece)
            continue
        report = unread.noting(piece, guard)
        if work.repository is not None:  # whose files are normalised one by one, before they are joined
            batches = read_repositories(piece, fields, report, work.repository, summaries.append, work.normalisation)
        else:
            batches = read(piece, fields, report)
        for batch in _until_it_fails(batches, piece, fields, report):
            yield batch, piece.path
            guard.enter(piece.path, piece.path)  # the next batch is read: the file is what a death is blamed on


def _records_of(piece: Piece) -> int:
    """How many records a piece has, one where that is not known."""
    return count_records(piece) or 1


def _read_group(
    read: Callable[..., Iterator[pa.RecordBatch]],
    pieces: Sequence[Piece],
    task: TaskContext[IngestWork],
    unread: "_UnreadPieces",
) -> Iterator[pa.RecordBatch]:
    """The batches of many small files. Where the reader fails, those since the last batch are read one by one."""
    guard, fields = task.guard, task.arguments.fields
    pending: list[Piece] = []
    reports: list[tuple[Any, ...]] = []

    def entered() -> Iterator[Piece]:
        for piece in pieces:
            pending.append(piece)
            if guard.enter(piece.path, piece.path):
                yield piece

    def report(*values: Any) -> None:
        reports.append(values)

    def settle() -> None:
        for values in reports:
            guard.quarantine(*values)
        reports.clear()
        pending.clear()

    whole = entered()
    while True:
        try:
            for batch in read(whole, fields, report):
                settle()
                yield batch
            settle()
            return
        except Exception as error:
            if not pending or not _is_of_the_file(error, pending[-1].path):
                raise
            again = [piece for piece in pending if not guard.skips(piece.path)]
            pending.clear()
            reports.clear()
        for piece in again:
            guard.enter(piece.path, piece.path)
            noted = unread.noting(piece, guard)
            yield from _until_it_fails(read([piece], fields, noted), piece, fields, noted)


def _until_it_fails(
    batches: Iterator[pa.RecordBatch], piece: Piece, fields: Fields, report: Report
) -> Iterator[pa.RecordBatch]:
    """The batches of a piece; what its reader raises ends this piece alone, and is reported."""
    try:
        yield from batches
    except Exception as error:
        if not _is_of_the_file(error, piece.path):
            raise
        mismatch = isinstance(error, UserError)
        if isinstance(error, UserError):
            reason = f"{error.what}; {error.hint}" if error.hint else error.what
        else:
            reason = f"{type(error).__name__}: {error}"
        report(f"{fields.source}/{piece.name}#", piece.path, Unread(reason, mismatch=mismatch), None)


def _is_of_the_file(error: Exception, path: str) -> bool:
    """Whether an exception says something of the file, and not of the machine, the storage or the installation.

    Libraries raise OSErrors without a number for what is wrong in a file; a remote storage does for itself, too.
    """
    if isinstance(error, OSError):
        return error.errno in OF_THE_FILE or (error.errno is None and not storage.is_url(path))
    return not isinstance(error, MemoryError | MissingLibrary | Unreachable)


class _UnreadPieces:
    """The pieces of a task that could not be read to their ends, with what is said of each."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._reasons: list[Unread | None] = []

    def note(self, piece: Piece, reason: Unread | None = None) -> None:
        if piece not in self._pieces[-1:]:
            self._pieces.append(piece)
            self._reasons.append(reason)

    def noting(self, piece: Piece, guard: Guard) -> Report:
        """A report to the guard, which also notes a piece of which more than single records is missing."""

        def noted(document: str, place: str, reason: str, text: str | None) -> None:
            records = 1
            if isinstance(reason, Unread):
                self.note(piece, reason)
                records = 1 if reason.records is None else reason.records
            guard.quarantine(document, place, reason, text, records)

        return noted

    def result(self) -> list[dict[str, Any]]:
        """Of each its bytes, and its path and the reason where only the settings do not go with it."""
        return [
            {"bytes": piece.bytes}
            | ({"path": piece.path, "mismatch": str(reason)} if reason is not None and reason.mismatch else {})
            for piece, reason in zip(self._pieces, self._reasons, strict=True)
        ]


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, once Arrow has checked every value of it (UTF-8 included)."""
    batch.validate(full=True)
    return batch


def _marked(batch: pa.RecordBatch, marks: Sequence[str]) -> dict[str, int]:
    """How many documents have each of these keys in `meta`; readers that have marks write no key of others into it."""
    counts = {mark: pc.sum(pc.match_substring(batch.column("meta"), f'"{mark}":')).as_py() or 0 for mark in marks}
    return {mark: count for mark, count in counts.items() if count}


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
