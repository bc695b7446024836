"""The workers' side of ranking: the documents of a part by one digit of their rank, or the ranks themselves.

A source says what ranks are: a score with ties by a draw, in groups (`ScoreRank`), or a draw alone, of the documents
that may be trained on (`DrawRank`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import read_batches, write_table
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.evaluation import UNKNOWN, is_held_back
from corpusmill.dataproc.quality.keeping import tie_draws
from corpusmill.dataproc.quality.ranking import DIGIT_BITS, begins, digit, score_keys
from corpusmill.dataproc.randomness import random_keys
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.quality_keep.arguments import DrawRank, RankSource, RankWork, ScoreRank

ALL = "all"
"""The group of all documents."""

COUNTS_SCHEMA = pa.schema([("group", pa.string()), ("digit", pa.int32()), ("documents", pa.int64())])
RANKS_SCHEMA = pa.schema([("group", pa.string()), ("key", pa.uint64()), ("draw", pa.uint64())])


@dataclass(frozen=True)
class Ranked:
    """N documents: uint64 keys and draws, and their groups as places (int64) in `names`."""

    keys: np.ndarray
    draws: np.ndarray
    groups: np.ndarray
    names: list[str]


def columns_of(source: RankSource) -> list[str]:
    """The columns that ranks are made of."""
    chosen = ["id"]
    if isinstance(source, ScoreRank):
        chosen += [source.column, *([source.by] if source.by else [])]
    return chosen


def rank(batch: pa.RecordBatch, source: RankSource) -> Ranked:
    """The ranks of all rows of a batch; `source` of a draw alone must have been applied by `eligible` before."""
    ids = batch.column("id")
    if isinstance(source, DrawRank):
        nothing = np.zeros(batch.num_rows, np.int64)
        draws = random_keys(source.seed, "quality/sample", ids)
        return Ranked(draws, nothing.astype(np.uint64), nothing, [source.label])
    scores = score_column(batch, source.column)
    groups, names = group_column(batch, source.by)
    return Ranked(score_keys(scores), tie_draws(ids, source.seed), groups, names)


def eligible(batch: pa.RecordBatch, source: RankSource) -> pa.RecordBatch:
    """The rows that are ranked: all, or those that are not held back from training."""
    if isinstance(source, ScoreRank):
        return batch
    return batch.filter(pa.array(~is_held_back(batch.column("id"), source.held_back, source.seed)))


def score_column(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """A column of numbers as float64 of shape (N,). Raises UserError where a document has none."""
    column = batch.column(name)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise UserError(f"the column {name} does not hold numbers", hint="name another column with --column")
    scores = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    bad = np.flatnonzero(np.isnan(scores))
    if len(bad):
        document = batch.column("id")[int(bad[0])].as_py()
        raise UserError(f"no {name} for this document", document, "score the dataset again")
    return scores


def group_column(batch: pa.RecordBatch, by: str | None) -> tuple[np.ndarray, list[str]]:
    """(places int64 of shape (N,), names) of a column's values; one group of all without a column."""
    if not by:
        return np.zeros(batch.num_rows, np.int64), [ALL]
    encoded = pc.fill_null(batch.column(by).cast(pa.string()), UNKNOWN).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def rank_part(task: TaskContext[RankWork]) -> dict[str, Any]:
    """A part → `_work/<phase>/<part>.counts.parquet`, and `.ranks.parquet` for the groups that want ranks."""
    arguments = task.arguments
    source = arguments.source
    sums: dict[str, np.ndarray] = {}
    ranks: list[pa.Table] = []
    documents = 0
    for batch in read_batches(arguments.path, columns_of(source)):
        batch = eligible(batch, source)
        documents += batch.num_rows
        ranked = rank(batch, source)
        for place, name in enumerate(ranked.names):
            rows = ranked.groups == place
            keys, draws = ranked.keys[rows], ranked.draws[rows]
            prefix = [] if arguments.is_first else arguments.counted.get(name)
            if prefix is not None:
                inside = begins(keys, draws, prefix)
                digits = digit(keys[inside], draws[inside], len(prefix))
                counted = np.bincount(digits, minlength=1 << DIGIT_BITS)
                sums[name] = counted + sums[name] if name in sums else counted
            elif name in arguments.listed:
                inside = begins(keys, draws, arguments.listed[name])
                names = pa.array([name] * int(inside.sum()), pa.string())
                ranks.append(pa.table([names, pa.array(keys[inside]), pa.array(draws[inside])], schema=RANKS_SCHEMA))
    counts = [_sparse(name, counted) for name, counted in sorted(sums.items())]
    write_table(
        task.work_path(task.phase, f"{task.id}.counts.parquet"),
        pa.concat_tables([COUNTS_SCHEMA.empty_table(), *counts]),
    )
    if ranks:
        write_table(task.work_path(task.phase, f"{task.id}.ranks.parquet"), pa.concat_tables(ranks))
    return {"ranked": documents}


def _sparse(name: str, counted: np.ndarray) -> pa.Table:
    digits = np.flatnonzero(counted)
    columns = [pa.array([name] * len(digits), pa.string()), digits.astype(np.int32), counted[digits].astype(np.int64)]
    return pa.table(columns, schema=COUNTS_SCHEMA)
