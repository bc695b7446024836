"""The workers' side of packing: parts of documents to sequences in one pass over the text, group by group."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import watching
from corpusmill.dataproc.datasets import read_batches, write_table
from corpusmill.dataproc.documents import LEDGER_SCHEMA
from corpusmill.dataproc.sequences.packing import Placement, pack, report
from corpusmill.dataproc.side_tables import side_name
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.pack.arguments import PackWork
from corpusmill.pipelines.stages.pack.work.encoding import (
    COLUMNS,
    Encoded,
    encode_conversations,
    encode_documents,
    load_encoder,
)
from corpusmill.pipelines.stages.pack.work.shard_writing import TokenisedDocuments, Written, write_group
from corpusmill.tokenizer.chat_encoding import LEARNED

UNKNOWN = "unknown"
COSTS = ("cut", "cut_needlessly", "tokens_past_a_cut")
TOO_LONG = "pack/too-long"
"""The rule that a conversation breaks that is longer than a sequence."""


def pack_documents(task: TaskContext[PackWork]) -> dict[str, Any]:
    """Encodes and packs a group of parts into full shards, and a tail of each group of documents."""
    work = task.arguments
    load_encoder(work.tokenizer).tokenizer.encode("ready")
    watching.ready()
    encode = partial(encode_conversations if work.chat else encode_documents, work=work)
    encoded = [
        piece
        for path in work.paths
        for batch in read_batches(path, list(COLUMNS))
        for piece in task.guard.apply(batch, encode, path)
    ]
    result: dict[str, Any] = {
        "documents_in": sum(batch.table.num_rows for batch in encoded) + task.guard.quarantined,
        "kept": sum(batch.table.num_rows for batch in encoded),
        "quarantined": task.guard.quarantined,
        "fim_documents": sum(int(pc.sum(batch.table.column("fim")).as_py() or 0) for batch in encoded),
        "boundary_splits": sum(batch.boundary_splits for batch in encoded),
        "text_bytes": sum(batch.text_bytes for batch in encoded),
        "parts": [],
        "tails": [],
        "files": write_quarantine(task),
    }
    if work.chat:
        encoded, ledger = _fitting(encoded, work.sequence_length)
        learned = [int((batch.tokens.values.to_numpy() & LEARNED > 0).sum()) for batch in encoded]
        result |= {"rejected": ledger.num_rows, "learned": sum(learned)}
        result["kept"] -= ledger.num_rows
        result["files"] += _write_ledger(task, ledger)
    encoded = [batch for batch in encoded if batch.table.num_rows]
    if not encoded:
        return result
    documents = TokenisedDocuments.join([(batch.table, batch.tokens) for batch in encoded])
    counts: Counter[str] = Counter()
    written = Written()
    for group, held_back, rows in _groups(documents, work):
        placement = pack(documents.lengths, work.sequence_length, work.packing, rows)
        written = write_group(task, documents, placement, group, held_back, written)
        counts.update(_counted(placement, held_back))
        if not held_back:
            plain = report(pack(documents.lengths, work.sequence_length, "concat", rows))
            counts.update({f"concat_{name}": getattr(plain, name) for name in COSTS})
    result |= {"parts": written.parts, "tails": written.tails}
    return result | counts | {"tokens_by": _tokens_by(documents)}


def _fitting(encoded: Sequence[Encoded], most: int) -> tuple[list[Encoded], pa.Table]:
    """The conversations of at most so many tokens, and the ledger of the longer ones, which are left out.

    A conversation is never cut: what would be left of it has lost the question, or the answer.
    """
    fitting, ledgers = [], [LEDGER_SCHEMA.empty_table()]
    for batch in encoded:
        lengths = pc.list_value_length(batch.tokens)
        fits = pc.less_equal(lengths, most)
        fitting.append(replace(batch, table=batch.table.filter(fits), tokens=batch.tokens.filter(fits)))
        long = pc.invert(fits)
        ids, values = batch.table.column("id").filter(long), lengths.filter(long).cast(pa.float64())
        rule, threshold = pa.array([TOO_LONG] * len(ids), pa.string()), pa.array([float(most)] * len(ids))
        ledgers.append(pa.table([ids, rule, values, threshold], schema=LEDGER_SCHEMA))
    return fitting, pa.concat_tables(ledgers)


def _write_ledger(task: TaskContext[PackWork], ledger: pa.Table) -> list[dict[str, Any]]:
    if not ledger.num_rows:
        return []
    name = side_name("ledger", task.id)
    return [{"path": name} | write_table(task.path(name), ledger.combine_chunks())]


def _groups(documents: TokenisedDocuments, work: PackWork) -> Iterator[tuple[str, bool, np.ndarray]]:
    """(name, whether held back, rows) of every group that has documents; held-back documents are one group."""
    held_back = documents.table["held_back"].to_numpy()
    names = group_names(documents.table, documents.lengths, work.group_by, work.length_buckets)
    rows = np.flatnonzero(~held_back)
    encoded = names.take(pa.array(rows)).dictionary_encode()
    code = encoded.indices.to_numpy()
    for number in np.argsort(np.array(encoded.dictionary.to_pylist(), object)):
        yield encoded.dictionary[int(number)].as_py(), False, rows[code == number]
    if held_back.any():
        yield "", True, np.flatnonzero(held_back)


def group_names(table: pa.Table, lengths: np.ndarray, group_by: str, buckets: Sequence[int]) -> pa.Array:
    """The group of each document, string (N,): "" where all are one, "web", "0-4096", or "web:4097-32768".

    Args:
        table: documents with the column that `group_by` names, if it is not "none".
        lengths: tokens of each document, int64 (N,).
        buckets: rising bounds of length in tokens; a document belongs to the first that it does not exceed.
    """
    if group_by == "none":
        names = pa.array([""] * table.num_rows, pa.string())
    else:
        names = pc.fill_null(table[group_by].combine_chunks().cast(pa.string()), UNKNOWN)
    if not buckets:
        return names
    lows = [0, *(bound + 1 for bound in buckets)]
    labels = [f"{low}-{high}" for low, high in zip(lows, [*buckets, ""], strict=True)]
    bucket = pa.array(labels).take(pa.array(np.searchsorted(np.array(buckets), lengths, side="left")))
    return bucket if group_by == "none" else pc.binary_join_element_wise(names, bucket, ":")


def _counted(placement: Placement, held_back: bool) -> dict[str, int]:
    measured = report(placement)
    if held_back:
        return {"validation_sequences": measured.sequences, "validation_documents": measured.documents}
    return {key: int(getattr(measured, key)) for key in ("sequences", "tokens", "padding", *COSTS)}


def _tokens_by(documents: TokenisedDocuments) -> dict[str, dict[str, int]]:
    counted = documents.table.append_column("tokens", pa.array(documents.lengths))
    tokens = {}
    for column in ("source", "kind", "language"):
        sums = counted.group_by(column).aggregate([("tokens", "sum")])
        tokens[column] = {row[column] or UNKNOWN: int(row["tokens_sum"]) for row in sums.to_pylist()}
    return tokens
