"""Phases `members` and `survivors`: clustered documents meet by component, and of each component one stays.

Protected documents always stay, and whoever shares a component with one goes; so does whoever shares one with a
document that the index holds the like of, that document included. Removals are written partitioned by block, so that
each block finds its own.
"""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.dedup.shuffle import (
    partition_slices,
    read_partition,
    slices_by_number,
    spread,
    write_partitions,
)
from corpusmill.dataproc.dedup.survivors import choose_survivors, named_columns
from corpusmill.dataproc.documents import address
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import DedupWork
from corpusmill.pipelines.stages.dedup.work.clustering import Labels
from corpusmill.pipelines.stages.dedup.work.layout import (
    Layout,
    batches_of,
    block_name,
    digest_rows,
    partition_name,
    signature_rows,
)
from corpusmill.pipelines.stages.dedup.work.matching import NamedMatches, named_matches
from corpusmill.pipelines.stages.dedup.work.pairing import estimated
from corpusmill.pipelines.stages.dedup.work.signing import EXACT, MINHASH

INDEX = "(index)"
"""What stands for the source of a survivor that is in the index."""
MATCH_COLUMNS = ["match", "match_similarity", "match_exact"]


def member_block(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Writes of a block's clustered documents what a choice between them needs, partitioned by component."""
    arguments, layout = task.arguments, Layout(task)
    addresses, labels = Labels(task, layout).of_block(arguments.block)
    matches = named_matches(task, arguments.block)
    lone = np.setdiff1d(matches.addresses, addresses)  # clusters of their own
    order = np.argsort(np.concatenate([addresses, lone]))
    labels = np.concatenate([labels, lone])[order]
    addresses = np.concatenate([addresses, lone])[order]
    tables = []
    for part in layout.parts_of(arguments.block):
        with open_part(layout.path[part]) as file:
            present = file.schema_arrow.names
        wanted = [name for name in named_columns(arguments.prefer) if name in present and name != "length"]
        columns = sorted({"id", "source", *wanted})
        first = 0
        for batch in batches_of(layout.path[part], [*columns, "text"]):
            low, high = (int(value) for value in address(part, np.array([first, first + batch.num_rows])))
            start, stop = np.searchsorted(addresses, np.array([low, high], np.uint64))
            rows = (addresses[start:stop] - np.uint64(low)).astype(np.int64)
            taken = batch.take(pa.array(rows))
            table = pa.Table.from_batches([taken]).select(columns)
            table = table.append_column("length", pc.utf8_length(taken.column("text")).cast(pa.int64()))
            table = table.append_column("address", pa.array(addresses[start:stop]))
            table = table.append_column("cluster", pa.array(labels[start:stop]))
            tables.append(_with_matches(table, matches))
            first += batch.num_rows
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    batches = partition_slices(table, spread(table["cluster"].to_numpy()), arguments.chosen)
    name = f"{block_name(arguments.block)}.arrow"
    return {"bytes": write_partitions(task.work_path("members", name), batches)[0]}


def _with_matches(table: pa.Table, matches: NamedMatches) -> pa.Table:
    """Adds the indexed document that each row matches, null for most."""
    place = pc.index_in(table["address"].combine_chunks(), value_set=pa.array(matches.addresses))
    columns = (matches.ids, pa.array(matches.similarity), pa.array(matches.exact))
    for name, values in zip(MATCH_COLUMNS, columns, strict=True):
        table = table.append_column(name, values.take(place))
    return table


def choose_partition(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Chooses survivors among a partition's members, and writes the removals of each block."""
    arguments, layout = task.arguments, Layout(task)
    names = [task.work_path("members", f"{block_name(block)}.arrow") for block in range(layout.blocks)]
    read = [pa.Table.from_batches([read_partition(name, arguments.partition)]) for name in names]
    members = pa.concat_tables(read, promote_options="default").combine_chunks()
    addresses = members["address"].to_numpy()
    protected = layout.is_protected(addresses)
    matched = pc.is_valid(members["match"]).to_numpy()
    survivor = choose_survivors(members.drop_columns(MATCH_COLUMNS), arguments.prefer, protected, matched)
    removed = np.flatnonzero((matched | matched[survivor] | (survivor != np.arange(len(survivor)))) & ~protected)
    kept = survivor[removed]
    alike, equal = _likeness(task, layout, addresses[removed], addresses[kept])
    own = matched[removed]  # its survivor is the indexed document
    gone = members.take(pa.array(removed))
    others = members.take(pa.array(kept))
    alike = np.where(own, gone["match_similarity"].to_numpy(), alike)
    equal = np.where(own, pc.fill_null(gone["match_exact"], False).to_numpy(), equal)
    table = pa.table(
        {
            "address": addresses[removed],
            "survivor": pc.coalesce(gone["match"], others["match"], others["id"]),
            "similarity": alike,
            "method": pc.if_else(pa.array(equal), EXACT, MINHASH),
            "cluster": gone["cluster"],
        }
    )
    block, _ = layout.place(addresses[removed])
    batches = slices_by_number(table, block, layout.blocks)
    write_partitions(task.work_path("removals", f"{partition_name(arguments.partition)}.arrow"), batches)
    sizes = np.unique(members["cluster"].to_numpy(), return_counts=True)[1]
    stayed = pc.if_else(pa.array(own | matched[kept]), INDEX, others["source"])
    between = zip(gone["source"].to_pylist(), stayed.to_pylist(), strict=True)
    return {
        "clusters": len(sizes),
        "largest": int(sizes.max(initial=0)),
        "sizes": {str(size): count for size, count in sorted(Counter(_rounded(sizes)).items())},
        "between": [[*names, count] for names, count in sorted(Counter(between).items())],
    }


def _likeness(
    task: TaskContext[DedupWork], layout: Layout, removed: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(similarity, whether equal) of documents to their survivors; without MinHash all are equal."""
    methods = task.arguments.method
    equal = np.ones(len(removed), bool)
    if EXACT in methods:
        digests = digest_rows(task, layout)
        equal = (digests.take(removed) == digests.take(kept)).all(axis=1)
    elif MINHASH in methods:
        equal = np.zeros(len(removed), bool)
    if MINHASH not in methods:
        return np.ones(len(removed)), equal
    return np.where(equal, 1.0, estimated(signature_rows(task, layout), removed, kept)), equal


def _rounded(sizes: np.ndarray) -> list[int]:
    """Sizes as the power of two that they reach, from 2 on, for a table of a few rows."""
    return (1 << np.floor(np.log2(np.maximum(sizes, 2))).astype(np.int64)).tolist()
