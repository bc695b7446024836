"""Phase `apply`: a block's parts without their removals and quarantined; `_duplicates/` says what became of whom."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, batches_of_part, open_part, side_writer
from corpusmill.dataproc.dedup.shuffle import read_partition
from corpusmill.dataproc.documents import address
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import DedupWork
from corpusmill.pipelines.stages.dedup.work.layout import Layout, block_name, partition_name, read_ipc

DUPLICATES_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("survivor", pa.string()),
        pa.field("similarity", pa.float64()),
        pa.field("containment", pa.float64()),
        pa.field("method", pa.string()),
        pa.field("verified", pa.string()),
        pa.field("cluster", pa.uint64()),
    ]
)


def apply_block(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Writes the parts of a block. Memory: two row groups, and the block's removals."""
    arguments, layout = task.arguments, Layout(task)
    block = arguments.block
    names = [task.work_path("removals", f"{partition_name(number)}.arrow") for number in range(arguments.chosen)]
    removals = pa.Table.from_batches([read_partition(name, block) for name in names]).sort_by("address")
    left_out = read_ipc(task.work_path("left_out", f"{block_name(block)}.arrow"))["address"].to_numpy()
    for bad in read_ipc(task.work_path("quarantine", f"{block_name(block)}.arrow")).to_pylist():
        task.guard.quarantine(bad["id"], bad["place"], bad["reason"], bad["text"])
    counts = Counter[str]()
    parts: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    for part in layout.parts_of(block):
        _apply_part(task, layout, part, removals, left_out, counts, parts, files)
    return {
        "documents_in": counts["documents_in"],
        "kept": counts["kept"],
        "duplicates": counts["duplicates"],
        "quarantined": task.guard.quarantined,
        "by_method": dict(Counter(removals["method"].to_pylist())),
        "parts": parts,
        "files": files + write_quarantine(task),
    }


def _apply_part(
    task: TaskContext[DedupWork],
    layout: Layout,
    part: int,
    removals: pa.Table,
    left_out: np.ndarray,
    counts: Counter[str],
    parts: list[dict[str, Any]],
    files: list[dict[str, Any]],
) -> None:
    path, name = layout.path[part], f"part-{part:05d}"
    removed = removals["address"].to_numpy()
    with open_part(path) as opened:
        schema = opened.schema_arrow.remove_metadata()
        with (
            PartWriter(task.folder, name, schema, part_bytes=ONE_PART_A_FILE) as writer,
            side_writer(task.folder, "duplicates", name, DUPLICATES_SCHEMA) as duplicates,
        ):
            first = 0
            for batch in batches_of_part(opened, path):
                begin, end = address(part, np.array([first, first + batch.num_rows]))
                start, stop = np.searchsorted(removed, np.array([begin, end]))
                rows = (removed[start:stop] - begin).astype(np.int64)
                named = removals.slice(start, stop - start).combine_chunks()
                ids = batch.column("id").take(pa.array(rows))
                columns = [named[column].combine_chunks() for column in DUPLICATES_SCHEMA.names[1:]]
                duplicates.write(pa.RecordBatch.from_arrays([ids, *columns], schema=DUPLICATES_SCHEMA))
                keep = np.ones(batch.num_rows, bool)
                keep[rows] = False
                keep[(left_out[(left_out >= begin) & (left_out < end)] - begin).astype(np.int64)] = False
                kept = batch.filter(pa.array(keep))
                writer.write(kept)
                counts.update(documents_in=batch.num_rows, kept=kept.num_rows, duplicates=len(rows))
                first += batch.num_rows
    parts.extend(writer.parts)
    files.extend(duplicates.parts)
