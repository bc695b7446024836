"""Phase `matches` (of de-duplication against an index, and of a query): the documents that an index has the like of.

Matching goes by partition and not by block, so that a query of many parts passes the index's keys once and in order.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.index import EXACT, MINHASH, Index, match_digests, match_keys
from corpusmill.dataproc.dedup.index_matches import Matches, best_matches, no_matches
from corpusmill.dataproc.dedup.shuffle import read_partition, slices_by_number, write_partitions
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import DedupWork, Matching, MatchingWork
from corpusmill.pipelines.stages.dedup.work.layout import Layout, partition_name, signature_rows
from corpusmill.pipelines.stages.dedup.work.pairing import partition_table, passes


class NamedMatches(NamedTuple):
    """Documents of a block that the index has the like of: addresses, rising, and the documents that they match."""

    addresses: np.ndarray
    ids: pa.Array
    similarity: np.ndarray
    exact: np.ndarray


def named_matches(task: TaskContext[DedupWork], block: int) -> NamedMatches:
    """The matches of a block; none where there is no index."""
    against = task.arguments.against
    if against is None:
        return NamedMatches(np.zeros(0, np.uint64), pa.array([], pa.string()), np.zeros(0), np.zeros(0, bool))
    matches = block_matches(task, block)
    ids, _ = Index(against.index, against.generation).names(matches.addresses)
    return NamedMatches(matches.documents, ids, matches.similarity, matches.exact)


def match_partition(task: TaskContext[MatchingWork]) -> dict[str, Any]:
    """The best match in the index of every document that has one by this partition's keys.

    Looks by those of the index's methods that the documents were signed for (`method`). Memory: 90 bytes a key of a
    pass, and the best matches.
    """
    arguments, layout = task.arguments, Layout(task)
    against = matching_index(task)
    index = Index(against.index, against.generation)
    methods = set(arguments.method) & set(index.settings["method"]) if layout.blocks else set()
    best = no_matches()
    if EXACT in methods:
        for table in passes(task, layout, "digests", "high"):
            digests = np.stack([table["high"].to_numpy(), table["low"].to_numpy()], axis=1)
            best = best_matches([best, match_digests(index, digests, table["address"].to_numpy())])
    if MINHASH in methods:
        take = signature_rows(task, layout).take
        for table in passes(task, layout, "bands", "key"):
            keys, owners = table["key"].to_numpy(), table["address"].to_numpy()
            best = best_matches([best, match_keys(index, keys, owners, take, against.threshold)])
    block, _ = layout.place(best.documents)
    batches = slices_by_number(pa.table(best._asdict()), block, layout.blocks)
    if batches:
        name = f"{partition_name(arguments.partition)}.arrow"
        write_partitions(task.work_path("matches", name), batches)
    return {"matches": len(best.documents)}


def block_matches(task: TaskContext[MatchingWork], block: int) -> Matches:
    """The best match of each document of a block that has one, over all partitions; sorted by `documents`, addresses
    in this run."""
    names = [f"{partition_name(number)}.arrow" for number in range(task.arguments.partitions)]
    tables = [read_partition(task.work_path("matches", name), block) for name in names]
    return best_matches([Matches(*(_array(table.column(name)) for name in Matches._fields)) for table in tables])


def matching_index(task: TaskContext[MatchingWork]) -> Matching:
    """The index of a phase that matches."""
    against = task.arguments.against
    assert against is not None  # the plan gives these phases one
    return against


def partition_rows(task: TaskContext[MatchingWork], layout: Layout, folder: str, *keys: str) -> pa.Table:
    """The task's partition from the files of all blocks; empty if there are no blocks."""
    if layout.blocks:
        return partition_table(task, layout, folder, task.arguments.partition)
    return pa.table({name: pa.array([], pa.uint64()) for name in (*keys, "address")})


def _array(column: pa.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)
