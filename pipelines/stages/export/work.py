"""The workers' side of export: a shard to files of another format, documents joined from several shards, the index."""

from collections.abc import Iterable
from typing import Any

import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup.shuffle import read_partition, write_partitions
from corpusmill.dataproc.exchange.formats import format_named
from corpusmill.dataproc.exchange.items import Items, sequence_items, shard_batches
from corpusmill.dataproc.exchange.joining import joined_documents, piece_partitions, shard_documents
from corpusmill.dataproc.sequences.shards import ShardHeader, open_reader
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.export.arguments import ExportWork, FinishWork, JoinWork


def export_shard(task: TaskContext[ExportWork]) -> dict[str, Any]:
    """Writes the sequences of a shard, or the documents that lie whole in it; pieces of others go to the shuffle."""
    arguments = task.arguments
    header = open_reader(arguments.path)[0]
    padded = format_named(arguments.to).PADDED
    if arguments.unit == "sequence":
        batches = shard_batches(arguments.path)
        items = (sequence_items(header, batch, padding=padded) for header, batch in batches)
        return _write(task, header, items) | {"pieces": []}
    whole, pieces = shard_documents(arguments.path)
    counts = []
    if pieces.num_rows:
        partitions = piece_partitions(pieces, arguments.partitions)
        write_partitions(_pieces_path(task, arguments.stem), partitions)
        counts = [int(pc.sum(pc.list_value_length(batch.column("tokens"))).as_py() or 0) for batch in partitions]
    return _write(task, header, whole.batches()) | {"pieces": counts}


def export_joined(task: TaskContext[JoinWork]) -> dict[str, Any]:
    """Writes the documents of a partition, whose pieces lie in several shards or of which some are missing."""
    arguments = task.arguments
    header = open_reader(arguments.path)[0]
    paths = [_pieces_path(task, stem) for stem in arguments.pieces]
    items, missing = joined_documents([read_partition(path, arguments.number) for path in paths], header.special.eos)
    return _write(task, header, items.batches()) | {"incomplete_documents": missing}


def write_beside(task: TaskContext[FinishWork]) -> dict[str, Any]:
    """Writes what the format has once for all files of a folder."""
    arguments = task.arguments
    header = open_reader(arguments.path)[0]
    written = []
    for folder in arguments.folders:
        data = [entry for entry in arguments.entries if "rows" in entry]
        if folder and not any(entry["path"].startswith(f"{folder}/") for entry in data):
            continue
        for name, content in format_named(arguments.to).beside(data, header, arguments.unit, folder).items():
            path = f"{folder}/{name}" if folder else name
            digest = storage.commit_bytes(task.path(path), content)
            written.append({"path": path, "bytes": len(content), "digest": digest})
    return {"files": written}


def _pieces_path(task: TaskContext[ExportWork], stem: str) -> str:
    folder = task.arguments.folder or "train"
    return task.work_path(folder, f"{stem}.arrow")


def _write(task: TaskContext[ExportWork], header: ShardHeader, batches: Iterable[Items]) -> dict[str, Any]:
    """Writes items to files named after the task; gives their entries and counts. Nothing is written for no items."""
    arguments, folder = task.arguments, task.arguments.folder
    target = task.path(folder) if folder else task.folder
    items = tokens = written = 0
    entries: list[dict[str, Any]] = []
    batches = (batch for batch in batches if len(batch))
    first = next(batches, None)
    if first is not None:
        with format_named(arguments.to).Writer(target, arguments.stem, header, arguments.unit) as writer:
            for batch in (items_of for group in ([first], batches) for items_of in group):
                writer.write(batch)
                items += len(batch)
                tokens += batch.text_tokens
                written += len(batch.tokens)
        entries = [
            entry | {"path": f"{folder}/{entry['path']}" if folder else entry["path"]} for entry in writer.entries
        ]
    prefix = f"{folder}_" if folder else ""
    return {"entries": entries, f"{prefix}items": items, f"{prefix}tokens": tokens, "padding": written - tokens}
