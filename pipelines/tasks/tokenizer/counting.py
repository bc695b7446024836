"""Counting, by part and by partition."""

from typing import Any

import pyarrow as pa

from dataproc.datasets import open_part, read_batches, write_table
from dataproc.dedup.shuffle import read_partition, write_partitions
from pipelines.engine.worker import TaskContext
from pipelines.tasks.outputs import write_quarantine
from tokenizer.counts import Counter, PretokenCounts, count_pretokens, merge, partition


def count_part(task: TaskContext) -> dict[str, Any]:
    """Phase 1: the pretokens of a part, partitioned by hash."""
    path, pattern = task.arguments["path"], task.arguments["pattern"]
    counter = Counter(pattern)
    with open_part(path) as file:
        documents = file.metadata.num_rows
    for batch in read_batches(path, ["id", "text"]):
        for counts in task.guard.each(batch, lambda part: count_pretokens(part.column("text"), pattern), path):
            counter.add_counts(counts)
    tables = [counts.to_table() for counts in partition(counter.result(), task.arguments["partitions"])]
    batches = [_one_batch(table) for table in tables]
    written, _ = write_partitions(task.work_path("counts", f"{task.id}.arrow"), batches)
    return {
        "documents_in": documents,
        "quarantined": task.guard.quarantined,
        "bytes": written,
        "files": write_quarantine(task),
    }


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def merge_partition(task: TaskContext) -> dict[str, Any]:
    """Phase 2: one table of a partition's pretokens over all parts."""
    number = task.arguments["partition"]
    paths = [task.work_path("counts", f"{name}.arrow") for name in task.arguments["parts"]]
    merged = merge(PretokenCounts.from_table(pa.Table.from_batches([read_partition(path, number)])) for path in paths)
    name = f"counts/{task.id}.parquet"
    entry = {"path": name} | write_table(task.path(name), merged.to_table())
    return {"unique": len(merged), "total": merged.total, "bytes": entry["bytes"], "files": [entry]}
