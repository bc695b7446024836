"""A sample of raw files for `--dry-run`: some pieces of each format are read for a second or two, and written as parts.

Pieces are taken from all over the input. One is left when its share of the time is up; how much of its file was read
by then is what the process read meanwhile.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import psutil

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import PartWriter
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.readers.batches import batches_of
from corpusmill.dataproc.readers.pieces import Piece
from corpusmill.dataproc.readers.registry import Reader, reader_of
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.sampling import SAMPLE_BYTES, Sampled, sample_manifest
from corpusmill.pipelines.stages.ingest.arguments import IngestWork

if TYPE_CHECKING:
    from corpusmill.pipelines.stages.ingest.plan import IngestStage

SECONDS = 1.5
PIECES = 4
BATCH_CHARACTERS = 1 << 18
"""Small, so that a slow extractor is looked at often enough."""
GROUPED = 64
"""Small files that are read together."""
LARGEST_REPOSITORY = 32 << 20
"""A repository is read as a whole before its first document comes out."""


def sample_ingest(stage: "IngestStage", folder: str) -> tuple[Sampled | None, dict[str, Any], float]:
    """(costs, manifest of the sample, share of the input that it is); no costs where nothing can be sampled."""
    tasks = stage.tasks()
    by_format = sorted(tasks, key=lambda task: task.arguments.format)
    groups = [list(group) for _, group in groupby(by_format, key=lambda task: task.arguments.format)]
    seconds = text = disk = longest = loading = 0.0
    share, parts = 1.0, list[dict[str, Any]]()
    for number, group in enumerate(groups):
        whole = sum(task.bytes for task in group)
        taken, spent, loaded, writer = _read(group, folder, number, len(groups))
        if not taken:
            if whole:
                return None, {}, 0.0
            continue
        of_group = min(1.0, taken / whole)
        loading += loaded
        seconds += spent / of_group
        longest = max(longest, spent / of_group * max(task.bytes for task in group) / whole)
        text += sum(part["arrow_bytes"] for part in writer.parts) / of_group
        disk += sum(part["bytes"] for part in writer.parts) / of_group
        share = min(share, of_group)
        parts += writer.parts
    if not parts:
        return None, {}, 0.0
    costs = Sampled(seconds=seconds, longest=longest, loading=loading, text_out=int(text), disk=int(disk))
    sampled_share = sum(part["arrow_bytes"] for part in parts) / text if text else 0.0
    return costs, sample_manifest(stage.plan(), parts), sampled_share


def _read(tasks: Sequence[Task], folder: str, number: int, formats: int) -> tuple[int, float, float, PartWriter]:
    """(bytes of files that were read, seconds, seconds for loading what reads them, where the documents are) of some
    pieces of one format of several."""
    seconds, most = SECONDS / formats, SAMPLE_BYTES // formats
    work: IngestWork = tasks[0].arguments
    reader = reader_of(work.format)
    with PartWriter(folder, f"part-{number:05d}", SCHEMA) as writer:
        if reader is None:
            return 0, 0.0, 0.0, writer
        sources = list(_sources(tasks, reader))
        started = time.perf_counter()
        for source in sources[:1]:
            _read_one(reader, work, source, 0.0, 0, None)  # one batch: loads what it needs
        loading = time.perf_counter() - started
        taken, spent = 0, 0.0
        for left, source in zip(range(len(sources), 0, -1), sources, strict=True):
            read, took = _read_one(reader, work, source, (seconds - spent) / left, most // len(sources), writer)
            taken, spent = taken + read, spent + took
    return taken, spent, loading, writer


def _sources(tasks: Sequence[Task], reader: Reader) -> Iterator[list[Piece]]:
    """A few pieces from all over the input, by themselves or, for a reader of small files, some together."""
    pieces = [piece for task in tasks for piece in task.arguments.pieces if not storage.is_url(piece.path)]
    if tasks[0].arguments.repository is not None:
        pieces = [piece for piece in pieces if piece.bytes <= LARGEST_REPOSITORY]
    if reader.groups:
        step = max(1, len(pieces) // (PIECES * GROUPED))
        spread = pieces[::step]
        yield from (spread[at : at + GROUPED] for at in range(0, min(len(spread), PIECES * GROUPED), GROUPED))
    else:
        yield from ([piece] for piece in pieces[:: max(1, -(-len(pieces) // PIECES))])


def _read_one(
    reader: Reader, work: IngestWork, pieces: list[Piece], seconds: float, most: int, writer: PartWriter | None
) -> tuple[int, float]:
    """(bytes of files, seconds): reads until the time is up, the text enough, or the pieces at their end."""
    before, started, text = _bytes_read(), time.perf_counter(), 0
    whole = sum(piece.bytes for piece in pieces)
    with batches_of(BATCH_CHARACTERS):
        for batch in (batches := _batches(reader, work, pieces)):
            text += batch.nbytes
            if writer is not None:
                batch.validate(full=True)
                writer.write(work.normalisation.apply(batch)[0])
            if (took := time.perf_counter() - started) >= seconds or text >= most:
                batches.close()
                return min(whole, (_bytes_read() - before) or text), took
    return whole, time.perf_counter() - started


def _batches(reader: Reader, work: IngestWork, pieces: list[Piece]) -> Generator[Any, None, None]:
    read = reader.load()
    if reader.groups:
        yield from read(iter(pieces), work.fields, _ignore)
    elif work.repository is not None:
        (piece,) = pieces
        yield from read(piece, work.fields, _ignore, work.repository, lambda summary: None, work.normalisation)
    else:
        yield from read(pieces[0], work.fields, _ignore)


def _ignore(document: str, place: str, reason: str, text: str | None = None) -> None:
    """What is quarantined by the run is left out of a sample."""


def _bytes_read() -> int:
    """Bytes that this process has read from files; 0 where the system does not say."""
    counters = getattr(psutil.Process(), "io_counters", None)
    return int(getattr(counters(), "read_chars", 0)) if counters else 0
