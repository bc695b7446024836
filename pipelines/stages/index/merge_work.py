"""The workers' side of merging segments: a block's signatures and ids, a partition's keys and digests."""

from typing import Any

from corpusmill.dataproc.dedup import index_segment
from corpusmill.dataproc.dedup.index import EXACT, MINHASH
from corpusmill.dataproc.dedup.index_files import require_generation
from corpusmill.dataproc.dedup.merging import Merging
from corpusmill.pipelines.engine.outputs import file_entry
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.index.arguments import MergeWork


def copy_block(task: TaskContext[MergeWork]) -> dict[str, Any]:
    """Phase `copy`. Memory: a block's signatures and ids, where they are not mapped."""
    arguments, merging = task.arguments, _merging(task)
    names = []
    if MINHASH in arguments.method:
        pieces = merging.signatures(arguments.first, arguments.stop)
        names.append(index_segment.write_signatures(task.folder, arguments.block, pieces))
    ids = merging.ids(arguments.first, arguments.stop)
    names.append(index_segment.write_ids(task.folder, arguments.block, ids))
    return {"files": [file_entry(task, name) for name in names]}


def sort_partition(task: TaskContext[MergeWork]) -> dict[str, Any]:
    """Phase `sort`. Memory: 40 bytes a key of the partition."""
    arguments, merging = task.arguments, _merging(task)
    where = (arguments.partition, arguments.partitions)
    names = []
    if EXACT in arguments.method:
        digests, rows = merging.digests(*where)
        names.append(index_segment.write_digests(task.folder, arguments.partition, digests, rows, merging.documents))
    if MINHASH in arguments.method:
        keys, rows = merging.keys(*where)
        names.append(index_segment.write_keys(task.folder, arguments.partition, keys, rows, merging.documents))
    return {"files": [file_entry(task, name) for name in names]}


def _merging(task: TaskContext[MergeWork]) -> Merging:
    arguments = task.arguments
    generation = require_generation(arguments.index, arguments.generation)
    return Merging(arguments.index, [entry for entry in generation.segments if entry.number in arguments.segments])
