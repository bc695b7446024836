"""The workers' side of a de-duplication index: keep a block, sort a partition of a segment, match a partition against
an index, gather a block's matches.

Documents are laid out and signed as for de-duplication (`pipelines.stages.dedup.work`, phases `layout` and `sign`), and
these tasks go on from those files. Matching goes by partition and not by block, so that a query of many parts passes
the index's keys once and in order.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, read_batches
from corpusmill.dataproc.dedup import index_segment
from corpusmill.dataproc.dedup.index import EXACT, MINHASH, Index, match_digests, match_keys
from corpusmill.dataproc.dedup.index_matches import Matches, best_matches
from corpusmill.dataproc.dedup.shuffle import read_partition, slices_by_number, write_partitions
from corpusmill.dataproc.documents import address
from corpusmill.pipelines.engine.outputs import file_entry, write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import Matching, MatchingWork
from corpusmill.pipelines.stages.dedup.work.layout import Layout, block_name, partition_name, read_ipc, signature_rows
from corpusmill.pipelines.stages.dedup.work.pairing import partition_table

COPY_BYTES = 4 << 20
MATCHES_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("match_id", pa.string()),
        pa.field("match_dataset", pa.string()),
        pa.field("similarity", pa.float64()),
        pa.field("method", pa.string()),
    ]
)


def keep_block(task: TaskContext[MatchingWork]) -> dict[str, Any]:
    """Phase `keep` of adding: a block's signatures, out of `_work/`, and its ids. Memory: the ids of a block."""
    arguments, layout = task.arguments, Layout(task)
    block = arguments.block
    names = []
    if MINHASH in arguments.method:
        names.append(index_segment.signatures_name(block))
        made = signature_rows(task, layout).path(block)
        with storage.open_input(made) as file, storage.commit_file(task.path(names[0])) as out:
            while piece := file.read(COPY_BYTES):
                out.write(piece)
    ids: list[pa.Array] = []
    for part in layout.parts_of(block):
        ids.extend(batch.column("id") for batch in read_batches(layout.path[part], ["id"]))
    names.append(index_segment.write_ids(task.folder, block, pa.chunked_array(ids, pa.string())))
    _quarantine(task, block)
    return {
        "documents_in": layout.rows_of(block),
        "quarantined": task.guard.quarantined,
        "files": [file_entry(task, name) for name in names] + write_quarantine(task),
    }


def _quarantine(task: TaskContext[MatchingWork], block: int) -> None:
    """Takes over what could not be read when a block was signed."""
    for bad in read_ipc(task.work_path("quarantine", f"{block_name(block)}.arrow")).to_pylist():
        task.guard.quarantine(bad["id"], bad["place"], bad["reason"], bad["text"])


def sort_partition(task: TaskContext[MatchingWork]) -> dict[str, Any]:
    """Phase `sort` of adding: a partition of the segment's keys and digests. Memory: 40 bytes a key."""
    arguments, layout = task.arguments, Layout(task)
    partition, documents = arguments.partition, int(layout.rows.sum())
    first_row = np.cumsum([0, *(layout.rows_of(block) for block in range(layout.blocks))])
    names = []

    def segment_rows(table: pa.Table) -> np.ndarray:
        block, row = layout.place(table["address"].to_numpy())
        return first_row[block] + row

    if EXACT in arguments.method:
        table = _partition(task, layout, "digests", "high", "low")
        digests = np.stack([table["high"].to_numpy(), table["low"].to_numpy()], axis=1)
        names.append(index_segment.write_digests(task.folder, partition, digests, segment_rows(table), documents))
    if MINHASH in arguments.method:
        table = _partition(task, layout, "bands", "key")
        keys = table["key"].to_numpy()
        names.append(index_segment.write_keys(task.folder, partition, keys, segment_rows(table), documents))
    return {"files": [file_entry(task, name) for name in names]}


def _partition(task: TaskContext[MatchingWork], layout: Layout, folder: str, *keys: str) -> pa.Table:
    """The task's partition from the files of all blocks; without rows where there are no blocks."""
    if layout.blocks:
        return partition_table(task, layout, folder, task.arguments.partition)
    return pa.table({name: pa.array([], pa.uint64()) for name in (*keys, "address")})


def match_partition(task: TaskContext[MatchingWork]) -> dict[str, Any]:
    """Phase `matches`: the best match in the index of every document that has one by this partition's keys.

    Looks by those of the index's methods that the documents were signed for (`method`).
    """
    arguments, layout = task.arguments, Layout(task)
    against = _against(task)
    index = Index(against.index, against.generation)
    found: list[Matches] = []
    methods = set(arguments.method) & set(index.settings["method"])
    if EXACT in methods:
        table = _partition(task, layout, "digests", "high", "low")
        digests = np.stack([table["high"].to_numpy(), table["low"].to_numpy()], axis=1)
        found.append(match_digests(index, digests, table["address"].to_numpy()))
    if MINHASH in methods:
        table = _partition(task, layout, "bands", "key")
        take = signature_rows(task, layout).take
        keys, owners = table["key"].to_numpy(), table["address"].to_numpy()
        found.append(match_keys(index, keys, owners, take, against.threshold))
    best = best_matches(found)
    block, _ = layout.place(best.documents)
    batches = slices_by_number(pa.table(best._asdict()), block, layout.blocks)
    if batches:
        name = f"{partition_name(arguments.partition)}.arrow"
        write_partitions(task.work_path("matches", name), batches)
    return {"matches": len(best.documents)}


def _against(task: TaskContext[MatchingWork]) -> Matching:
    against = task.arguments.against
    assert against is not None  # a phase that matches is given an index
    return against


def block_matches(task: TaskContext[MatchingWork], block: int) -> Matches:
    """The best match of each document of a block that has one, over all partitions; sorted by `documents`, addresses
    in this run."""
    names = [f"{partition_name(number)}.arrow" for number in range(task.arguments.partitions)]
    tables = [read_partition(task.work_path("matches", name), block) for name in names]
    columns = Matches._fields
    return best_matches([Matches(*(_array(table.column(name)) for name in columns)) for table in tables])


def _array(column: pa.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)


def gather_block(task: TaskContext[MatchingWork]) -> dict[str, Any]:
    """Phase `gather` of a query: the matches of a block's parts with their names. Memory: a block's matches and ids."""
    arguments, layout = task.arguments, Layout(task)
    block = arguments.block
    found = block_matches(task, block)
    against = _against(task)
    match_ids, datasets = Index(against.index, against.generation).names(found.addresses)
    _quarantine(task, block)
    parts: list[dict[str, Any]] = []
    for part in layout.parts_of(block):
        with PartWriter(task.folder, f"part-{part:05d}", MATCHES_SCHEMA, part_bytes=ONE_PART_A_FILE) as writer:
            first = 0
            for batch in read_batches(layout.path[part], ["id"]):
                begin, end = address(part, np.array([first, first + batch.num_rows]))
                start, stop = (int(at) for at in np.searchsorted(found.documents, np.array([begin, end])))
                rows = (found.documents[start:stop] - begin).astype(np.int64)
                columns = [
                    batch.column("id").take(pa.array(rows)),
                    match_ids.slice(start, stop - start),
                    datasets.slice(start, stop - start),
                    pa.array(found.similarity[start:stop]),
                    pc.if_else(pa.array(found.exact[start:stop]), EXACT, MINHASH),
                ]
                writer.write(pa.RecordBatch.from_arrays(columns, schema=MATCHES_SCHEMA))
                first += batch.num_rows
        parts.extend(writer.parts)
    exact = int(found.exact.sum())
    return {
        "documents_in": layout.rows_of(block),
        "quarantined": task.guard.quarantined,
        "matched": len(found.documents),
        "by_method": {EXACT: exact, MINHASH: len(found.documents) - exact},
        "parts": parts,
        "files": write_quarantine(task),
    }
