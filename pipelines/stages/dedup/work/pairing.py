"""Phase `pairs`: a partition's documents that share a key to pairs that are equal, or alike by their signatures."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.banding import estimate_floor
from corpusmill.dataproc.dedup.candidates import candidate_pairs
from corpusmill.dataproc.dedup.exact import duplicate_pairs
from corpusmill.dataproc.dedup.minhash import similarity
from corpusmill.dataproc.dedup.shuffle import key_ranges, read_partition, rows_between
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import DedupWork
from corpusmill.pipelines.stages.dedup.work.layout import (
    AnySigning,
    BlockRows,
    Layout,
    block_name,
    number_rows,
    partition_name,
    signature_rows,
    write_ipc,
)
from corpusmill.pipelines.stages.dedup.work.signing import EXACT, MINHASH

FLOOR_RECALL = {"signatures": 0.9, "exact": 0.999}
"""How likely a pair at the threshold must be to pass by its signatures: where texts are compared afterwards, a pair
that is let through costs time and one that is not is lost."""

PAIR_SCHEMA = pa.schema(
    [("left", pa.uint64()), ("right", pa.uint64()), ("similarity", pa.float64()), ("method", pa.string())]
)


def pair_partition(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Writes the pairs of one partition. Memory: the keys of a pass, a signature for each of its candidates, pairs."""
    arguments, layout = task.arguments, Layout(task)
    tables: list[pa.Table] = []
    candidates = 0
    if EXACT in arguments.method:
        for table in passes(task, layout, "digests", "high"):
            digests = np.stack([table["high"].to_numpy(), table["low"].to_numpy()], axis=1)
            left, right = duplicate_pairs(digests, table["address"].to_numpy())
            candidates += len(left)
            tables.append(pair_table(left, right, np.ones(len(left)), EXACT))
    if MINHASH in arguments.method:
        numbers, signed = number_rows(task, layout), signature_rows(task, layout)
        floor = estimate_floor(arguments.threshold, arguments.permutations, FLOOR_RECALL[arguments.verify])
        for table in passes(task, layout, "bands", "key"):
            left, right = candidate_pairs(
                table["key"].to_numpy(), table["address"].to_numpy(), lambda addresses: numbers.take(addresses)[:, 0]
            )
            candidates += len(left)
            alike = estimated(signed, left, right)
            enough = alike >= floor
            tables.append(pair_table(left[enough], right[enough], alike[enough], MINHASH))
    pairs = pa.concat_tables(tables)
    written = write_ipc(task.work_path("pairs", f"{partition_name(arguments.partition)}.arrow"), pairs)
    return {"candidates": candidates, "pairs": pairs.num_rows, "bytes": written}


def passes(task: TaskContext[AnySigning], layout: Layout, folder: str, column: str) -> Iterator[pa.Table]:
    """A partition's rows from the files of all blocks, by ranges of its keys: rows with equal keys come together."""
    arguments = task.arguments
    paths = [task.work_path(folder, f"{block_name(block)}.arrow") for block in range(layout.blocks)]
    batches = [read_partition(path, arguments.partition) for path in paths]
    if arguments.passes == 1:
        yield pa.Table.from_batches(batches)
        return
    for first, stop in key_ranges(arguments.partition, arguments.partitions, arguments.passes):
        yield pa.Table.from_batches([rows_between(batch, column, first, stop) for batch in batches])


def partition_table(task: TaskContext[Any], layout: Layout, folder: str, partition: int) -> pa.Table:
    """A partition's rows from the files of all blocks."""
    paths = [task.work_path(folder, f"{block_name(block)}.arrow") for block in range(layout.blocks)]
    return pa.Table.from_batches([read_partition(path, partition) for path in paths])


def pair_table(left: np.ndarray, right: np.ndarray, alike: np.ndarray, method: str) -> pa.Table:
    """Pairs of addresses as a table of `PAIR_SCHEMA`."""
    methods = pa.array([method], pa.string()).take(pa.array(np.zeros(len(left), np.int64)))
    return pa.Table.from_arrays([pa.array(left), pa.array(right), pa.array(alike), methods], schema=PAIR_SCHEMA)


def estimated(signed: BlockRows, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Estimated Jaccard similarity of pairs of addresses, float64; each document's signature is read once."""
    ends, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    taken = signed.take(ends)
    return similarity(taken, taken, place[: len(left)], place[len(left) :])
