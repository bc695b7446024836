"""The workers' side of decontamination: the index of the sets, n-grams counted by part, parts after the action."""

from collections import Counter
from contextlib import ExitStack
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.contamination.decontaminate import (
    HITS_SCHEMA,
    LEDGER_SCHEMA,
    REWRITES_SCHEMA,
    Decontaminated,
    Decontamination,
    allowed_ngrams,
    common_ngrams,
    decontaminate,
)
from corpusmill.dataproc.contamination.index import OverlapIndex, build_index, crowded
from corpusmill.dataproc.contamination.index_file import open_index, write_index
from corpusmill.dataproc.contamination.items import read_evaluation_set
from corpusmill.dataproc.datasets import PartWriter, open_part, read_batches, sided_writers, write_table
from corpusmill.dataproc.dedup.shuffle import read_partition, write_partitions
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.side_tables import side_name
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.decontaminate.arguments import ApplyWork, CommonWork, CountWork, IndexWork, ItemsWork

COUNTS = pa.schema([pa.field("ngram", pa.int64(), nullable=False), pa.field("documents", pa.int64(), nullable=False)])
ITEMS = pa.schema(
    [
        pa.field("item", pa.int64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("counted", pa.int64(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
    ]
)
"""Of a part: number of an item, documents that hold an n-gram of it, those in which it counts, the greatest share."""

ITEMS_SCHEMA = pa.schema(
    [
        pa.field("set", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("words", pa.int64(), nullable=False),
        pa.field("looked_for", pa.bool_(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("contaminated", pa.int64(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
    ]
)
"""An item: its words; whether it has an n-gram that is looked for; documents that hold one; those in which the item
counts by the share that was asked for; and the greatest share that a document holds of it."""

SHOWN = 10


def make_index(task: TaskContext[IndexWork]) -> dict[str, Any]:
    """Phase `index`: reads the sets and writes the n-grams that are looked for."""
    arguments = task.arguments
    sets = [
        read_evaluation_set(name=files.name, paths=files.paths, fields=files.fields, id_field=files.id_field)
        for files in arguments.sets
    ]
    index = build_index(sets, ngram=arguments.ngram, minimum=arguments.minimum)
    shared = crowded(index, arguments.maximum_items)
    left_out = {"template": _examples(index, shared)}
    if arguments.allow:
        allowed = allowed_ngrams(index, [_text_of(path) for path in arguments.allow])
        left_out["allowed"] = _examples(index, allowed)
        shared |= allowed
    index = index.without(shared) if shared.any() else index
    write_index(task.work_path("all.arrow"), index)
    return {"ngrams": index.ngrams, "left_out": left_out}


def _text_of(path: str) -> str:
    try:
        return storage.read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 ({error})", path, "give files of text") from error


def _examples(index: OverlapIndex, ngrams: np.ndarray) -> dict[str, Any]:
    """How many n-grams, and the first of them."""
    chosen = np.flatnonzero(ngrams)
    return {"ngrams": len(chosen), "such_as": sorted(index.words_as_text(ngram) for ngram in chosen[:SHOWN])}


@cache
def _opened(path: str) -> OverlapIndex:
    """Mapped once in each worker."""
    return open_index(path)


def _index_of(task: TaskContext[CountWork | ItemsWork | CommonWork]) -> OverlapIndex:
    return _opened(task.work_path(f"{task.arguments.index}.arrow"))


def count_ngrams(task: TaskContext[CountWork]) -> dict[str, Any]:
    """Phase `count`: how many of a part's documents hold each n-gram that any of them holds."""
    index, path = _index_of(task), task.arguments.path
    ngrams, documents = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    seen = 0
    for batch in read_batches(path, ["id", "text"]):
        seen += batch.num_rows
        for numbers, times in task.guard.apply(batch, partial(common_ngrams, index=index), path):
            ngrams.append(numbers)
            documents.append(times)
        ngrams, documents = _summed(ngrams, documents)
    columns = [pa.array(ngrams[0]), pa.array(documents[0])]
    batch = pa.RecordBatch.from_arrays(columns, schema=COUNTS)
    write_partitions(task.work_path("counts", f"{task.id}.arrow"), [batch])
    return {"task": task.id, "documents_in": seen}


def _summed(ngrams: list[np.ndarray], documents: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The counts of equal n-grams added up."""
    numbers, group = np.unique(np.concatenate(ngrams), return_inverse=True)
    times = np.bincount(group, np.concatenate(documents), minlength=len(numbers)).astype(np.int64)
    return [numbers], [times]


def leave_common(task: TaskContext[CommonWork]) -> dict[str, Any]:
    """Phase `common`: the index without the n-grams that too many documents hold."""
    index = _opened(task.work_path("all.arrow"))
    totals = np.zeros(index.ngrams, np.int64)
    for name in task.arguments.parts:
        batch = read_partition(task.work_path("counts", f"{name}.arrow"), 0)
        totals[batch.column("ngram").to_numpy()] += batch.column("documents").to_numpy()
    common = totals > task.arguments.most
    write_index(task.work_path("rare.arrow"), index.without(common))
    first = np.lexsort((np.arange(len(totals)), -totals))[:SHOWN]
    such_as = [[index.words_as_text(ngram), int(totals[ngram])] for ngram in first if common[ngram]]
    return {"common": {"ngrams": int(common.sum()), "such_as": such_as}}


def apply_part(task: TaskContext[ApplyWork]) -> dict[str, Any]:
    """Phase `apply`: a part after the action, and beside it the hits and what was done."""
    work = task.arguments
    index, path = _index_of(task), work.path
    action = Decontamination(
        action=work.action,
        share=work.share,
        shares=work.shares,
        margin=work.margin,
        least_piece=work.least_piece,
        maximum_pieces=work.maximum_pieces,
    )
    cleaned = partial(decontaminate, index=index, settings=action)
    with open_part(path) as file:
        schema = file.schema_arrow.remove_metadata()
    counts, rejected_by = Counter[str](), Counter[str]()
    items = _ItemTotals()
    with ExitStack() as stack:
        writers = {name: stack.enter_context(writer) for name, writer in _writers(task, schema, action).items()}
        for batch in read_batches(path):
            counts["documents_in"] += batch.num_rows
            for done in task.guard.apply(batch, cleaned, path):
                for name, writer in writers.items():
                    writer.write(getattr(done, name))
                items.add(done)
                rejected_by.update(done.ledger.column("rule").to_pylist())
                counts.update(
                    kept=done.kept.num_rows,
                    rejected=done.rejected.num_rows,
                    contaminated=done.contaminated,
                    hits=done.hits.num_rows,
                    bytes_in=_bytes(done.kept) + _bytes(done.rejected) + done.cut_bytes,
                    bytes_cut=done.cut_bytes,
                    bytes_rejected=_bytes(done.rejected),
                )
    write_partitions(task.work_path("items", f"{task.id}.arrow"), [items.table()])
    files = [entry for name in writers if name != "kept" for entry in writers[name].parts]
    return {
        **counts,
        "task": task.id,
        "quarantined": task.guard.quarantined,
        "rejected_by": dict(rejected_by),
        "parts": writers["kept"].parts,
        "files": files + write_quarantine(task),
    }


def _bytes(batch: pa.RecordBatch) -> int:
    return int(pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0)


def _writers(task: TaskContext[Any], schema: pa.Schema, action: Decontamination) -> dict[str, PartWriter]:
    schemas = {"kept": schema, "rejected": schema.append(pa.field("broken_rules", pa.string()))}
    schemas |= {"ledger": LEDGER_SCHEMA, "hits": HITS_SCHEMA}
    if action.action == "cut":
        schemas["rewrites"] = REWRITES_SCHEMA
    return sided_writers(task.folder, task.id, schemas)


class _ItemTotals:
    """Adds up what a part's documents hold of each item."""

    def __init__(self) -> None:
        self._items, self._counted = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._documents, self._shares = np.zeros(0, np.int64), np.zeros(0)

    def add(self, done: Decontaminated) -> None:
        items = np.concatenate([self._items, done.items])
        ones = np.ones(len(done.items), np.int64)
        documents = np.concatenate([self._documents, ones])
        counted = np.concatenate([self._counted, done.counted.astype(np.int64)])
        shares = np.concatenate([self._shares, done.shares])
        self._items, group = np.unique(items, return_inverse=True)
        self._documents = np.bincount(group, documents, len(self._items)).astype(np.int64)
        self._counted = np.bincount(group, counted, len(self._items)).astype(np.int64)
        self._shares = np.zeros(len(self._items))
        np.maximum.at(self._shares, group, shares)

    def table(self) -> pa.RecordBatch:
        columns = (self._items, self._documents, self._counted, self._shares)
        return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=ITEMS)


def count_items(task: TaskContext[ItemsWork]) -> dict[str, Any]:
    """Phase `items`: a row for each item of the sets, over all parts, and the sums of each set."""
    index = _index_of(task)
    documents, contaminated = np.zeros(index.items, np.int64), np.zeros(index.items, np.int64)
    shares = np.zeros(index.items)
    for name in task.arguments.parts:
        batch = read_partition(task.work_path("items", f"{name}.arrow"), 0)
        items = batch.column("item").to_numpy()
        documents[items] += batch.column("documents").to_numpy()
        contaminated[items] += batch.column("counted").to_numpy()
        shares[items] = np.maximum(shares[items], batch.column("share").to_numpy())
    words, looked_for = index.words_of(np.arange(index.items)), index.is_looked_for()
    names = pa.array(index.set_names, pa.string()).take(pa.array(index.item_sets))
    columns = [names, index.item_ids, *map(pa.array, (words, looked_for, documents, contaminated, shares))]
    name = side_name("items", "part-00000")
    entry = write_table(task.path(name), pa.Table.from_arrays(columns, schema=ITEMS_SCHEMA))
    sums = {}
    for number, set_name in enumerate(index.set_names):
        here = index.item_sets == number
        sums[set_name] = {
            "items": int(here.sum()),
            "looked_for": int((here & looked_for).sum()),
            "too_short": int((here & (words < index.minimum)).sum()),
            "found": int((here & (documents > 0)).sum()),
            "contaminated": int((here & (contaminated > 0)).sum()),
        }
    return {"files": [{"path": name} | entry], "sets": sums}
