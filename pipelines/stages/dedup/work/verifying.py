"""Phases of `verify: exact`: pairs that are alike by their signatures, compared by the shingles of their texts.

Documents of a component meet in one partition, with the sets of their shingles, and so do the pairs between them: each
document's text is read once, whatever the number of its pairs. Where a component breaks apart by this, the components
of what is left are computed anew.

    shingles   block → shingle sets of its clustered documents, partitioned by component
    route      partition of pairs → the same, partitioned by component
    compare    partition → the pairs whose Jaccard similarity is the threshold or more

Cost on disk: 8 bytes a shingle of a clustered document. Memory: a batch of documents and their shingles; where pairs
are compared, the shingles of a partition (about 64 MiB; a component lies in one partition whole).
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.dedup.jaccard import set_similarity, shingle_sets
from corpusmill.dataproc.dedup.shuffle import partition_slices, read_partition, spread, write_partitions
from corpusmill.dataproc.documents import address
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import DedupWork
from corpusmill.pipelines.stages.dedup.work.clustering import Labels
from corpusmill.pipelines.stages.dedup.work.layout import (
    Layout,
    batches_of,
    block_name,
    partition_name,
    read_ipc,
    write_ipc,
)
from corpusmill.pipelines.stages.dedup.work.pairing import PAIR_SCHEMA
from corpusmill.pipelines.stages.dedup.work.signing import EXACT, minhash_settings


def shingle_block(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Writes the shingle sets of a block's clustered documents."""
    arguments, layout = task.arguments, Layout(task)
    addresses, labels = Labels(task, layout).of_block(arguments.block)
    tables = []
    for part in layout.parts_of(arguments.block):
        first = 0
        for batch in batches_of(layout.path[part], ["text"]):
            low, high = (int(value) for value in address(part, np.array([first, first + batch.num_rows])))
            start, stop = np.searchsorted(addresses, np.array([low, high], np.uint64))
            rows = (addresses[start:stop] - np.uint64(low)).astype(np.int64)
            texts = batch.column("text").take(pa.array(rows))
            offsets, hashes = shingle_sets(texts, minhash_settings(arguments))
            sets = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(hashes))
            columns = {"address": addresses[start:stop], "label": labels[start:stop], "shingles": sets}
            tables.append(pa.table(columns))
            first += batch.num_rows
    table = pa.concat_tables(tables).combine_chunks()
    batches = partition_slices(table, spread(table["label"].to_numpy()), arguments.compared)
    name = f"{block_name(arguments.block)}.arrow"
    return {"bytes": write_partitions(task.work_path("shingles", name), batches)[0]}


def route_pairs(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Sends the pairs of a partition to the partitions of their components."""
    arguments = task.arguments
    name = f"{partition_name(arguments.partition)}.arrow"
    pairs = read_ipc(task.work_path("pairs", name)).combine_chunks()
    labels = Labels(task, Layout(task)).take(pairs["left"].to_numpy())
    batches = partition_slices(pairs, spread(labels), arguments.compared)
    return {"bytes": write_partitions(task.work_path("routed", name), batches)[0]}


def compare_partition(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Keeps the pairs of a partition that are equal, or whose true similarity is the threshold or more."""
    arguments, layout = task.arguments, Layout(task)
    partition = arguments.partition
    names = [task.work_path("routed", f"{partition_name(number)}.arrow") for number in range(arguments.pair_files)]
    pairs = pa.Table.from_batches([read_partition(name, partition) for name in names])
    pairs = pairs.group_by(["left", "right", "method"]).aggregate([("similarity", "max")])
    names = [task.work_path("shingles", f"{block_name(block)}.arrow") for block in range(layout.blocks)]
    sets = pa.Table.from_batches([read_partition(name, partition) for name in names]).combine_chunks()
    known, shingles = sets["address"].to_numpy(), sets["shingles"].combine_chunks()
    order = np.argsort(known)
    rows = [order[np.searchsorted(known[order], pairs[end].to_numpy())] for end in ("left", "right")]
    alike = set_similarity(shingles.offsets.to_numpy(), shingles.values.to_numpy(), *rows)
    equal = pc.equal(pairs["method"], EXACT).to_numpy()
    alike = np.where(equal, 1.0, alike)
    table = pa.table([pairs["left"], pairs["right"], pa.array(alike), pairs["method"]], schema=PAIR_SCHEMA)
    enough = table.filter(pa.array(alike >= arguments.threshold))
    enough = enough.sort_by([("left", "ascending"), ("right", "ascending"), ("method", "ascending")])
    written = write_ipc(task.work_path("compare", f"{partition_name(partition)}.arrow"), enough)
    return {"pairs": enough.num_rows, "bytes": written}
