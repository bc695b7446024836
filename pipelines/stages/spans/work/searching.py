"""The workers' side of finding repeated text: keys, shared keys, contexts, repeats; tallies and repeated units.

A block's files are named by its number, and a reduce task's file holds a record batch for each block. Positions are
bytes of the block's text, all its documents counted, also those that were left out.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part, read_batches
from corpusmill.dataproc.dedup import lines, substring, windows
from corpusmill.dataproc.dedup.repeats import REPEATS
from corpusmill.dataproc.dedup.shuffle import partition_order, read_partition, write_partitions
from corpusmill.dataproc.dedup.spans import one_array
from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.spans.arguments import SpansWork

T = TypeVar("T")
KEYS = pa.schema([pa.field("key", pa.uint64(), nullable=False)])
LEFT_OUT = pa.schema([pa.field("row", pa.int64(), nullable=False)])


def block_file(number: int) -> str:
    return f"block-{number:05d}.arrow"


def partition_file(number: int) -> str:
    return f"partition-{number:04d}.arrow"


def numbered_batches(path: str, row: int, position: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A part's rows with two more columns: row and byte of the block, from those at which the part begins."""
    for batch in read_batches(path, columns):
        offsets, _ = text_buffers(batch.column("text"))
        positions = position + offsets[:-1] - offsets[0]
        yield batch.append_column("row", pa.array(np.arange(row, row + batch.num_rows))).append_column(
            "position", pa.array(positions)
        )
        row += batch.num_rows
        position += int(offsets[-1] - offsets[0])


def _guarded_batches(
    task: TaskContext[SpansWork], left_out: np.ndarray, work: Callable[[pa.RecordBatch], T]
) -> Iterator[list[T]]:
    """Guarded work on the block's batches, without the rows that were left out before; a list for each batch."""
    row = position = 0
    for _, path in task.arguments.parts:
        for batch in numbered_batches(path, row, position, ["id", "text"]):
            row += batch.num_rows
            position += text_bytes(batch)
            yield list(task.guard.apply(without_rows(batch, left_out), work, path))


def text_bytes(batch: pa.RecordBatch) -> int:
    offsets, _ = text_buffers(batch.column("text"))
    return int(offsets[-1] - offsets[0])


def without_rows(batch: pa.RecordBatch, left_out: np.ndarray) -> pa.RecordBatch:
    if not len(left_out):
        return batch
    return batch.filter(pa.array(~np.isin(batch.column("row").to_numpy(), left_out)))


def _leave_out(task: TaskContext[SpansWork], left_out: np.ndarray) -> None:
    """Writes which rows this phase could not do, and why."""
    tables = [("left_out", pa.table({"row": left_out}, schema=LEFT_OUT)), ("quarantine", task.guard.quarantine_table())]
    for name, table in tables:
        batch = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
        write_partitions(task.work_path(name, task.phase, block_file(task.arguments.block)), batch)


def rows_left_out(task: TaskContext[SpansWork], phases: Sequence[str]) -> np.ndarray:
    """Rows of the block that earlier phases left out."""
    name = block_file(task.arguments.block)
    batches = [read_partition(task.work_path("left_out", phase, name), 0) for phase in phases]
    return np.concatenate([np.zeros(0, np.int64), *(batch.column("row").to_numpy() for batch in batches)])


def list_keys(task: TaskContext[SpansWork]) -> dict[str, Any]:
    """Phase `keys`: the keys that stand for a block's windows, each twice at the most, partitioned."""
    arguments = task.arguments
    keys, rows = np.zeros(0, np.uint64), []
    for pieces in _guarded_batches(task, np.zeros(0, np.int64), partial(_keys_of, length=arguments.length)):
        keys = windows.twice_at_most(np.concatenate([keys, *(piece[0] for piece in pieces)]))
        rows += [piece[1] for piece in pieces]
    order, bounds = partition_order(keys, arguments.partitions)
    batches = [pa.RecordBatch.from_arrays([pa.array(keys[order[a:b]])], schema=KEYS) for a, b in pairwise(bounds)]
    size, _ = write_partitions(task.work_path("keys", block_file(arguments.block)), batches)
    _leave_out(task, np.setdiff1d(np.arange(_rows_of(task)), np.concatenate([np.zeros(0, np.int64), *rows])))
    return {"documents_in": sum(map(len, rows)), "bytes": size}


def unit_of(work: SpansWork) -> Literal["paragraph", "line"]:
    """What is compared, where it is not substrings."""
    assert work.unit != "substring"
    return work.unit


def _rows_of(task: TaskContext[SpansWork]) -> int:
    rows = 0
    for _, path in task.arguments.parts:
        with open_part(path) as file:
            rows += file.metadata.num_rows
    return rows


def _keys_of(batch: pa.RecordBatch, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(keys, rows) of a batch."""
    runs = windows.window_runs(batch.column("text"), length)
    return windows.keys_to_tell(runs, length), batch.column("row").to_numpy()


def share_keys(task: TaskContext[SpansWork]) -> dict[str, Any]:
    """Phase `shared`: the keys of a partition that occur twice, sent to each block that has them."""
    arguments = task.arguments
    names = [task.work_path("keys", block_file(number)) for number in range(arguments.blocks)]
    keys = [read_partition(name, arguments.partition).column("key").to_numpy() for name in names]
    shared = windows.shared_keys(keys)
    batches = [pa.RecordBatch.from_arrays([pa.array(keys)], schema=KEYS) for keys in shared]
    write_partitions(task.work_path("shared", partition_file(arguments.partition)), batches)
    return {"keys": sum(map(len, shared))}


def ship_contexts(task: TaskContext[SpansWork]) -> dict[str, Any]:
    """Phase `contexts`: the text under a block's shared keys; a batch of rows for each row group and partition."""
    arguments = task.arguments
    partitions, block = arguments.applied, arguments.block
    names = [task.work_path("shared", partition_file(number)) for number in range(arguments.partitions)]
    key_lists = [read_partition(name, block).column("key").to_numpy() for name in names]
    shared = np.concatenate(key_lists)  # rising: partitions are ranges of the keys
    before = rows_left_out(task, ["keys"])
    work = partial(_contexts_of, shared=shared, length=arguments.length, partitions=partitions)
    done = [before]
    documents = 0
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1), use_threads=False)
    with (
        storage.commit_file(task.work_path("contexts", block_file(block))) as file,
        pa.ipc.new_file(file, windows.CONTEXTS, options=options) as writer,
    ):
        for pieces in _guarded_batches(task, before, work):
            done += [piece[1] for piece in pieces]
            documents += sum(len(piece[1]) for piece in pieces)
            for number in range(partitions):
                table = pa.Table.from_batches([piece[0][number] for piece in pieces], windows.CONTEXTS)
                writer.write_batch(_whole(table))
    _leave_out(task, np.setdiff1d(np.arange(_rows_of(task)), np.concatenate(done)))
    return {"documents_in": documents, "bytes": file.bytes}


def _contexts_of(
    batch: pa.RecordBatch, shared: np.ndarray, length: int, partitions: int
) -> tuple[list[pa.RecordBatch], np.ndarray]:
    """(contexts by partition, rows) of a batch."""
    shipped = windows.contexts(batch, batch.column("position").to_numpy(), shared, length, partitions)
    return shipped, batch.column("row").to_numpy()


def _whole(table: pa.Table) -> pa.RecordBatch:
    """A table in one record batch."""
    columns = [one_array(column) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def find_repeats(task: TaskContext[SpansWork]) -> dict[str, Any]:
    """Phase `repeats`: the repeated windows of a partition, sent to each block that has them."""
    arguments = task.arguments
    resolver = substring.Resolver(arguments.length)
    batches = []
    for block in range(arguments.blocks):
        path = task.work_path("contexts", block_file(block))
        with storage.open_input(path) as source:
            file = pa.ipc.open_file(source)
            numbers = range(arguments.partition, file.num_record_batches, arguments.applied)
            repeats = [resolver.add(block, file.get_batch(number)) for number in numbers]
        batches.append(_whole(pa.Table.from_batches(repeats, REPEATS)))
    write_partitions(task.work_path("repeats", partition_file(arguments.partition)), batches)
    return {"windows": sum(int(np.sum(batch.column("count").to_numpy())) for batch in batches)}


def tally_units(task: TaskContext[SpansWork]) -> dict[str, Any]:
    """Phase `tally`: the digests of a block's units with counts and their first place, partitioned."""
    arguments = task.arguments
    tally, rows, units = lines.Tally(), [], 0
    for pieces in _guarded_batches(task, np.zeros(0, np.int64), partial(_units_of, arguments=arguments)):
        for digests, owners, starts, row, ids in pieces:
            tally.add(digests, owners, starts)
            tally.name(row, ids)
            rows.append(row)
            units += len(digests)
    table = _whole(tally.table())
    order, bounds = partition_order(table.column("high").to_numpy(), arguments.partitions)
    ordered = table.take(pa.array(order))
    batches = [ordered.slice(a, b - a) for a, b in pairwise(bounds.tolist())]
    size, _ = write_partitions(task.work_path("tallies", block_file(arguments.block)), batches)
    _leave_out(task, np.setdiff1d(np.arange(_rows_of(task)), np.concatenate([np.zeros(0, np.int64), *rows])))
    return {"documents_in": sum(map(len, rows)), "bytes": size, "units": units}


def _units_of(
    batch: pa.RecordBatch, arguments: SpansWork
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, pa.Array]:
    """(digests, row and byte of each unit; rows and ids of the documents) of a batch."""
    texts, rows = batch.column("text"), batch.column("row").to_numpy()
    offsets, _ = text_buffers(texts)
    units = lines.units(texts, unit_of(arguments), arguments.unit_length)
    digests = lines.unit_digests(texts, units, arguments.normalise)
    return digests, rows[units.documents], units.starts - offsets[units.documents], rows, batch.column("id")


def repeat_units(task: TaskContext[SpansWork]) -> dict[str, Any]:
    """Phase `repeated`: the digests of a partition that are counted too often, sent to each block that has them."""
    arguments = task.arguments
    names = [task.work_path("tallies", block_file(number)) for number in range(arguments.blocks)]
    tallies = [read_partition(name, arguments.partition) for name in names]
    repeated = lines.repeated_units(tallies, arguments.limit, arguments.count)
    write_partitions(
        task.work_path("repeated", partition_file(arguments.partition)), [_whole(table) for table in repeated]
    )
    firsts = sum(int(np.sum(table["row"].to_numpy() >= 0)) for table in repeated)
    return {"distinct": firsts}
