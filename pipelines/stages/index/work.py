"""The workers' side of a de-duplication index: keep a block, sort a partition of a segment, gather a block's matches.

Documents are laid out, signed and matched as for de-duplication (`pipelines.stages.dedup.work`, phases `layout`, `sign`
and `matches`), and these tasks go on from those files.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, read_batches
from corpusmill.dataproc.dedup import index_segment
from corpusmill.dataproc.dedup.index import EXACT, MINHASH, Index
from corpusmill.dataproc.documents import address
from corpusmill.pipelines.engine.outputs import file_entry, write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import MatchingWork
from corpusmill.pipelines.stages.dedup.work.layout import Layout, block_name, read_ipc, signature_rows
from corpusmill.pipelines.stages.dedup.work.matching import block_matches, matching_index, partition_rows

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
        made = signature_rows(task, layout).path(block)
        names.append(index_segment.write_signatures(task.folder, block, _pieces(made)))
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


def _pieces(path: str) -> Iterator[bytes]:
    with storage.open_input(path) as file:
        while piece := file.read(COPY_BYTES):
            yield piece


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
        table = partition_rows(task, layout, "digests", "high", "low")
        digests = np.stack([table["high"].to_numpy(), table["low"].to_numpy()], axis=1)
        names.append(index_segment.write_digests(task.folder, partition, digests, segment_rows(table), documents))
    if MINHASH in arguments.method:
        table = partition_rows(task, layout, "bands", "key")
        keys = table["key"].to_numpy()
        names.append(index_segment.write_keys(task.folder, partition, keys, segment_rows(table), documents))
    return {"files": [file_entry(task, name) for name in names]}


def gather_block(task: TaskContext[MatchingWork]) -> dict[str, Any]:
    """Phase `gather` of a query: the matches of a block's parts with their names. Memory: a block's matches and ids."""
    arguments, layout = task.arguments, Layout(task)
    block = arguments.block
    matches = block_matches(task, block)
    against = matching_index(task)
    match_ids, datasets = Index(against.index, against.generation).names(matches.addresses)
    _quarantine(task, block)
    parts: list[dict[str, Any]] = []
    for part in layout.parts_of(block):
        with PartWriter(task.folder, f"part-{part:05d}", MATCHES_SCHEMA, part_bytes=ONE_PART_A_FILE) as writer:
            first = 0
            for batch in read_batches(layout.path[part], ["id"]):
                begin, end = address(part, np.array([first, first + batch.num_rows]))
                start, stop = (int(at) for at in np.searchsorted(matches.documents, np.array([begin, end])))
                rows = (matches.documents[start:stop] - begin).astype(np.int64)
                columns = [
                    batch.column("id").take(pa.array(rows)),
                    match_ids.slice(start, stop - start),
                    datasets.slice(start, stop - start),
                    pa.array(matches.similarity[start:stop]),
                    pc.if_else(pa.array(matches.exact[start:stop]), EXACT, MINHASH),
                ]
                writer.write(pa.RecordBatch.from_arrays(columns, schema=MATCHES_SCHEMA))
                first += batch.num_rows
        parts.extend(writer.parts)
    exact = int(matches.exact.sum())
    return {
        "documents_in": layout.rows_of(block),
        "quarantined": task.guard.quarantined,
        "matched": len(matches.documents),
        "by_method": {EXACT: exact, MINHASH: len(matches.documents) - exact},
        "parts": parts,
        "files": write_quarantine(task),
    }
