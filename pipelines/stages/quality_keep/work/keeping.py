"""The workers' side of keeping by a score: a part into kept, rejected, and the ledger of why."""

from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.datasets import open_part, read_batches, sided_writers
from corpusmill.dataproc.documents import LEDGER_SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.keeping import RULES, pareto_thresholds
from corpusmill.dataproc.quality.ranking import reaches, score_of_key
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.quality_keep.arguments import KeepWork
from corpusmill.pipelines.stages.quality_keep.work.ranking import group_column, rank, score_column


def keep_part(task: TaskContext[KeepWork]) -> dict[str, Any]:
    """Parts a part into the part of the task's name, `_rejected/` and `_ledger/`."""
    arguments = task.arguments
    rule = RULES[arguments.way]
    with open_part(arguments.path) as file:
        schema = file.schema_arrow.remove_metadata()
    if arguments.source.column not in schema.names:
        hint = "score it by `corpusmill quality score`, or name another column with --column"
        raise UserError(f"no column {arguments.source.column}", arguments.path, hint)
    schemas = {
        "kept": schema,
        "rejected": schema if "broken_rules" in schema.names else schema.append(pa.field("broken_rules", pa.string())),
        "ledger": LEDGER_SCHEMA,
    }
    counts, groups = {"documents_in": 0, "kept": 0, "rejected": 0}, dict[str, list[int]]()
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(writer) for name, writer in sided_writers(task.folder, task.id, schemas).items()
        }
        for batch in read_batches(arguments.path):
            scores = score_column(batch, arguments.source.column)
            places, names = group_column(batch, arguments.source.by)
            is_kept, thresholds = _decide(batch, scores, places, names, arguments)
            kept, rejected = batch.filter(pa.array(is_kept)), batch.filter(pa.array(~is_kept))
            names_of_rules = pa.array([rule] * rejected.num_rows, pa.string())
            writers["kept"].write(kept)
            writers["rejected"].write(_with_column(rejected, "broken_rules", names_of_rules))
            numbers = pa.array(scores[~is_kept]), pa.array(thresholds[~is_kept])
            columns = [rejected.column("id"), names_of_rules, *numbers]
            writers["ledger"].write(pa.RecordBatch.from_arrays(columns, schema=LEDGER_SCHEMA))
            counts["documents_in"] += batch.num_rows
            counts["kept"] += kept.num_rows
            counts["rejected"] += rejected.num_rows
            in_all = np.bincount(places, minlength=len(names))
            good = np.bincount(places[is_kept], minlength=len(names))
            for place, name in enumerate(names):
                total = groups.setdefault(name, [0, 0])
                total[0] += int(in_all[place])
                total[1] += int(good[place])
    return {
        **counts,
        "rule": rule,
        "groups": groups,
        "parts": writers["kept"].parts,
        "files": [entry for name in ("rejected", "ledger") for entry in writers[name].parts],
    }


def _decide(
    batch: pa.RecordBatch, scores: np.ndarray, places: np.ndarray, names: list[str], arguments: KeepWork
) -> tuple[np.ndarray, np.ndarray]:
    """(which of N documents are kept, bool; the threshold of each document, float64)."""
    if arguments.way == "threshold":
        by_group = [arguments.thresholds.get(name, arguments.threshold) for name in names]
        thresholds = np.array([*by_group, 0.0])[places]
        return scores >= thresholds, thresholds
    if arguments.way == "pareto":
        assert arguments.pareto is not None
        thresholds = pareto_thresholds(batch.column("id"), arguments.pareto, arguments.source.seed)
        return scores > thresholds, thresholds
    ranked = rank(batch, arguments.source)
    is_kept, thresholds = np.zeros(len(scores), np.bool_), np.full(len(scores), np.inf)
    for place, name in enumerate(names):
        rows = places == place
        cutoff = arguments.cutoffs.get(name)
        is_kept[rows] = reaches(ranked.keys[rows], ranked.draws[rows], cutoff)
        if cutoff:
            thresholds[rows] = score_of_key(cutoff[0])
    return is_kept, thresholds


def _with_column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """The batch with a column added, or in place of the one of that name."""
    if name in batch.schema.names:
        return batch.set_column(batch.schema.get_field_index(name), name, values)
    return batch.append_column(name, values)
