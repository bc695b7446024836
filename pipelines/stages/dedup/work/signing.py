"""Phase `sign`: a block's documents to digests and band keys, partitioned by key, and to rows read by address later."""

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.dedup.bands import band_keys, key_rows
from corpusmill.dataproc.dedup.exact import text_digests
from corpusmill.dataproc.dedup.minhash import EMPTY, MinHashSettings, signatures
from corpusmill.dataproc.dedup.shuffle import partition_slices, write_partitions
from corpusmill.dataproc.documents import address
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import SigningWork
from corpusmill.pipelines.stages.dedup.work.layout import (
    Layout,
    block_name,
    digest_rows,
    number_rows,
    signature_rows,
    write_ipc,
)

EXACT, MINHASH = "exact", "minhash"
COUNTED = ("source", "kind", "language")
"""Columns by whose values documents are counted, before and after."""


def minhash_settings(arguments: SigningWork) -> MinHashSettings:
    """What signatures depend on, from a task's arguments."""
    return MinHashSettings(
        permutations=arguments.permutations,
        ngram=arguments.ngram,
        seed=arguments.seed & 0xFFFFFFFF,
        shingle=arguments.shingle,
    )


def sign_block(task: TaskContext[SigningWork]) -> dict[str, Any]:
    """Signs the parts of a block. A document that cannot be read leaves an empty signature: it has no partner."""
    arguments, layout = task.arguments, Layout(task)
    block = arguments.block
    near = MINHASH in arguments.method
    work = partial(_sign, settings=minhash_settings(arguments) if near else None, normalise=arguments.normalise)
    digests = np.zeros((layout.rows_of(block), 2), np.uint64)
    signed = np.full((len(digests), arguments.permutations), EMPTY) if near else None
    done = np.zeros(len(digests), bool)
    addresses, numbers = np.empty(len(digests), np.uint64), np.empty(len(digests), np.uint64)
    documents: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
    for part in layout.parts_of(block):
        first = int(layout.first_row[part])
        addresses[first : first + int(layout.rows[part])] = address(part, np.arange(layout.rows[part]))
        for batch in read_batches(layout.path[part], ["id", "text", *COUNTED]):
            numbers[first : first + batch.num_rows] = text_digests(batch.column("id"), ())[:, 0]
            for name in COUNTED:
                documents[name].update(count_values(batch.column(name)))
            numbered = batch.select(["id", "text"]).append_column(
                "row", pa.array(np.arange(first, first + batch.num_rows))
            )
            first += batch.num_rows
            for row, digest, signature in task.guard.apply(numbered, work, layout.path[part]):
                digests[row], done[row] = digest, True
                if signed is not None and signature is not None:
                    signed[row] = signature
    key_bytes = 0
    if EXACT in arguments.method:
        table = pa.table({"high": digests[done, 0], "low": digests[done, 1], "address": addresses[done]})
        high = digests[done, 0]
        batches = partition_slices(table, high, arguments.partitions, by_key=arguments.passes > 1)
        key_bytes += write_partitions(task.work_path("digests", f"{block_name(block)}.arrow"), batches)[0]
        digest_rows(task, layout).write(block, digests)
    if signed is not None:
        keys, owners = key_rows(band_keys(signed, arguments.bands, arguments.rows), addresses)
        table = pa.table({"key": keys, "address": owners})
        batches = partition_slices(table, keys, arguments.partitions, by_key=arguments.passes > 1)
        key_bytes += write_partitions(task.work_path("bands", f"{block_name(block)}.arrow"), batches)[0]
        signature_rows(task, layout).write(block, signed)
    number_rows(task, layout).write(block, numbers)
    write_ipc(task.work_path("left_out", f"{block_name(block)}.arrow"), pa.table({"address": addresses[~done]}))
    write_ipc(task.work_path("quarantine", f"{block_name(block)}.arrow"), task.guard.quarantine_table())
    counts = {name: dict(sorted(counter.items())) for name, counter in documents.items()}
    return {"documents_in": len(digests), "bytes": key_bytes, "documents": counts}


def count_values(column: pa.Array) -> dict[str, int]:
    """How often each value is there; null counts as ""."""
    counted = pc.value_counts(pc.fill_null(column.cast(pa.string()), ""))
    return dict(zip(*(counted.field(name).to_pylist() for name in ("values", "counts")), strict=True))


def _sign(
    batch: pa.RecordBatch, settings: MinHashSettings | None, normalise: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(rows, digests, signatures if any) of a batch."""
    text = batch.column("text")
    signed = signatures(text, settings) if settings else None
    return batch.column("row").to_numpy(), text_digests(text, normalise), signed
