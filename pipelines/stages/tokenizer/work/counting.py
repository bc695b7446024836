"""Counting: parts become sorted runs, runs become fewer, and all that share a partition become a file of the table."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.datasets import PartWriter, open_part, read_batches
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.tokenizer.arguments import (
    CombineWork,
    CountWork,
    MergeWork,
    PatternSettings,
    RunSource,
    Source,
)
from corpusmill.tokenizer.counting.counter import Counter
from corpusmill.tokenizer.counting.merging import CountMerge, group_numbers
from corpusmill.tokenizer.counting.rows import CountRows, partition_numbers
from corpusmill.tokenizer.counting.runs import Run, write_run, write_stream
from corpusmill.tokenizer.counting.table_files import TableFile, TableInfo
from corpusmill.tokenizer.patterns import Pattern


def count_parts(task: TaskContext[CountWork]) -> dict[str, Any]:
    """Phase 1: the pretokens of some parts, as runs, one each time that the table is full, and one at the end."""
    arguments = task.arguments
    runs: list[str] = []
    written = 0

    def spill(rows: CountRows, names: list[str]) -> None:
        nonlocal written
        path = task.work_path("runs", f"{task.id}-{len(runs):04d}.arrow")
        written += write_run(path, rows, names, arguments.partitions)
        runs.append(path)

    counter = Counter(
        _pattern(arguments.pattern), memory=arguments.memory, spill=spill, most_groups=arguments.most_groups
    )
    column = arguments.group_by
    columns = ["id", "text"] if column == "none" else ["id", "text", column]

    def count(batch: pa.RecordBatch) -> None:
        counter.add_texts(batch.column("text"), None if column == "none" else batch.column(column))

    documents = 0
    for path in arguments.paths:
        with open_part(path) as file:
            documents += file.metadata.num_rows
        for batch in read_batches(path, columns):
            for _ in task.guard.apply(batch, count, path):
                pass
    counter.hand_over()
    return {
        "documents_in": documents,
        "quarantined": task.guard.quarantined,
        "runs": runs,
        "groups": counter.group_names,
        "bytes": written,
        "files": write_quarantine(task),
    }


def combine_runs(task: TaskContext[CombineWork]) -> dict[str, Any]:
    """Between 1 and 2, where there are too many runs for one merge: some runs of a partition become one."""
    names = list(task.arguments.groups)
    path = task.work_path("runs", f"{task.phase}-{task.id}.arrow")
    written = write_stream(
        path, CountMerge([_opened(source, names) for source in task.arguments.sources], len(names)), names
    )
    return {"run": path, "bytes": written}


def merge_partition(task: TaskContext[MergeWork]) -> dict[str, Any]:
    """Phase 2: all runs of a partition, and all tables that are extended, to one file of the table."""
    arguments = task.arguments
    names = list(arguments.groups)
    pattern = _pattern(arguments.pattern)
    info = TableInfo(pattern, arguments.group_by, tuple(names), arguments.min_count, arguments.inputs)
    merge = CountMerge([_opened(source, names) for source in arguments.sources], len(names), info.min_count)
    rows = 0
    with PartWriter(task.folder, f"counts/{task.id}", info.schema()) as writer:
        for piece in merge:
            writer.write(info.to_batch(piece))
            rows += len(piece)
    return {
        "rows": rows,
        "unique": merge.unique,
        "totals": merge.totals[: len(names)].tolist(),
        "dropped": [merge.dropped.unique, merge.dropped.pretokens, merge.dropped.bytes],
        "bytes": sum(part["bytes"] for part in writer.parts),
        "files": writer.parts,
    }


def _pattern(settings: PatternSettings) -> Pattern:
    return Pattern(settings.name, settings.splits)


def _opened(source: Source, names: list[str]) -> tuple[Iterable[CountRows], np.ndarray]:
    """What a merge takes of a source: a run (of one partition of it), or a file of a table (or what of it belongs to
    one partition of several)."""
    if isinstance(source, RunSource):
        run = Run(source.run, source.partition)
        return run, group_numbers(run.names, names)
    file = TableFile(source.table)
    rows = _only(file, *source.only) if source.only else file
    return rows, group_numbers(file.info.groups, names)


def _only(pieces: Iterable[CountRows], partition: int, partitions: int) -> Iterator[CountRows]:
    for rows in pieces:
        yield rows.take(np.flatnonzero(partition_numbers(rows, partitions) == partition))
