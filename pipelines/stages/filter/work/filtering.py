"""The workers' side of filter: one part of documents, judged a batch at a time."""

from collections import Counter
from contextlib import ExitStack
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import PartWriter, open_part, read_batches, sided_writers
from corpusmill.dataproc.documents import LEDGER_SCHEMA, REWRITES_SCHEMA
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.filter.arguments import FilterWork
from corpusmill.pipelines.stages.filter.work.judging import Judge, judge, judge_from

BESIDE = ("rejected", "ledger", "statistics", "rewrites")
"""Folders beside the kept documents; `_rewrites/` where a rewriter is in force."""


def filter_part(task: TaskContext[FilterWork]) -> dict[str, Any]:
    """Filters a part into part, rejected, ledger, statistics and rewrites of the task's name."""
    path, by = task.arguments.path, judge_from(task.arguments)
    with open_part(path) as file:
        schema = file.schema_arrow.remove_metadata()
    counts, rejected_by, rewritten_by, not_asked = (Counter[str]() for _ in range(4))
    with ExitStack() as stack:
        writers = {name: stack.enter_context(writer) for name, writer in _writers(task, schema, by).items()}
        for batch in read_batches(path):
            counts["documents_in"] += batch.num_rows
            for judged in task.guard.apply(batch, partial(judge, by=by), path):
                for name, writer in writers.items():
                    writer.write(getattr(judged, name))
                counts["kept"] += judged.kept.num_rows
                counts["rejected"] += judged.rejected.num_rows
                rejected_by.update(_tally(judged.ledger))
                rewritten_by.update(_tally(judged.rewrites))
                not_asked.update(judged.not_asked)
    files = [entry for name in BESIDE if name in writers for entry in writers[name].parts]
    return {
        "documents_in": counts["documents_in"],
        "kept": counts["kept"],
        "rejected": counts["rejected"],
        "quarantined": task.guard.quarantined,
        "rejected_by": dict(rejected_by),
        "rewritten_by": dict(rewritten_by),
        "not_asked": dict(not_asked),
        "parts": writers["kept"].parts,
        "files": files + write_quarantine(task),
    }


def _tally(table: pa.RecordBatch) -> dict[str, int]:
    """How often each rule occurs in a ledger."""
    counted = pc.value_counts(table.column("rule"))
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _writers(task: TaskContext[FilterWork], schema: pa.Schema, by: Judge) -> dict[str, PartWriter]:
    nothing = judge(pa.RecordBatch.from_pylist([], schema=schema), by)  # for the columns of statistics/
    schemas = {
        "kept": schema,
        "rejected": schema.append(pa.field("broken_rules", pa.string())),
        "ledger": LEDGER_SCHEMA,
        "statistics": nothing.statistics.schema,
    } | ({"rewrites": REWRITES_SCHEMA} if by.rewriters else {})
    return sided_writers(task.folder, task.id, schemas)
