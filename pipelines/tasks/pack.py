"""The workers' side of packing: parts of documents to sequences, in one pass over the text, and those into shards.

A task packs its documents, group by group, and writes as many full shards as they give. What is left of each group
(less than a shard) is its tail, an intermediate file; a second phase joins the tails of all tasks into full shards, so
that all shards of a group hold the same number of sequences but its last one. Only tails are written twice.

Tokens are never joined into one array: sequences are filled from the batches as they were encoded, a shard at a time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataproc.datasets import read_batches, write_table
from dataproc.packing import Placement, fill, pack, report
from dataproc.shards import ShardHeader, batch_tokens, open_shard, segment_column, shard_name, write_shard
from pipelines.engine.worker import TaskContext
from pipelines.tasks.encoding import COLUMNS, Encoded, encode_documents, load_encoder, shard_header
from pipelines.tasks.outputs import write_quarantine

VALIDATION = "validation"
UNKNOWN = "unknown"
COSTS = ("cut", "cut_needlessly", "tokens_past_a_cut")


@dataclass(frozen=True)
class Documents:
    """The encoded documents of a task: columns of N documents, their tokens in batches, and their lengths."""

    table: pa.Table
    tokens: list[pa.LargeListArray]
    lengths: np.ndarray

    @classmethod
    def join(cls, encoded: Sequence[Encoded]) -> "Documents":
        """All batches of a task, numbered through."""
        tokens = [each.tokens for each in encoded]
        lengths = np.concatenate([pc.list_value_length(chunk).to_numpy() for chunk in tokens])
        return cls(pa.Table.from_batches([each.table for each in encoded]).combine_chunks(), tokens, lengths)


def write_vocabulary(task: TaskContext) -> dict[str, Any]:
    """`vocabulary.parquet`: the bytes of every id, so that shards can be read without the tokenizer."""
    tokenizer = load_encoder(task.arguments["tokenizer"]).tokenizer
    numbers = np.arange(tokenizer.vocab_size, dtype=np.int32)
    special = np.isin(numbers, list(tokenizer.special.ids.values()))
    spelled = tokenizer.spellings.cast(pa.binary())
    table = pa.table({"id": pa.array(numbers), "bytes": spelled, "special": pa.array(special)})
    entry = {"path": "vocabulary.parquet"} | write_table(task.path("vocabulary.parquet"), table)
    return {"files": [entry], "fingerprint": tokenizer.fingerprint}


def pack_documents(task: TaskContext) -> dict[str, Any]:
    """Encodes and packs a group of parts into full shards, and a tail of each group of documents."""
    settings = task.arguments
    work = partial(encode_documents, settings=settings)
    encoded = [
        piece
        for path in settings["paths"]
        for batch in read_batches(path, list(COLUMNS))
        for piece in task.guard.each(batch, work, path)
    ]
    result: dict[str, Any] = {
        "documents_in": sum(each.table.num_rows for each in encoded) + task.guard.quarantined,
        "kept": sum(each.table.num_rows for each in encoded),
        "quarantined": task.guard.quarantined,
        "fim_documents": sum(int(pc.sum(each.table.column("fim")).as_py() or 0) for each in encoded),
        "boundary_splits": sum(each.boundary_splits for each in encoded),
        "text_bytes": sum(each.text_bytes for each in encoded),
        "parts": [],
        "tails": [],
        "files": write_quarantine(task),
    }
    if not encoded:
        return result
    documents = Documents.join(encoded)
    counts: Counter[str] = Counter()
    for group, held_back, rows in _groups(documents, settings):
        placement = pack(documents.lengths, settings["sequence_length"], settings["packing"], rows)
        _write_group(task, documents, placement, group, held_back, result)
        counts.update(_counted(placement, held_back))
        if not held_back:
            plain = report(pack(documents.lengths, settings["sequence_length"], "concat", rows))
            counts.update({f"concat_{name}": getattr(plain, name) for name in COSTS})
    return result | counts | {"tokens_by": _tokens_by(documents)}


def _groups(documents: Documents, settings: Mapping[str, Any]) -> Iterator[tuple[str, bool, np.ndarray]]:
    """(name, whether held back, rows) of every group that has documents; held-back documents are one group."""
    held_back = documents.table["held_back"].to_numpy()
    names = group_names(documents.table, documents.lengths, settings["group_by"], settings["length_buckets"])
    rows = np.flatnonzero(~held_back)
    found = names.take(pa.array(rows)).dictionary_encode()
    code = found.indices.to_numpy()
    for number in np.argsort(np.array(found.dictionary.to_pylist(), object)):
        yield found.dictionary[int(number)].as_py(), False, rows[code == number]
    if held_back.any():
        yield "", True, np.flatnonzero(held_back)


def group_names(table: pa.Table, lengths: np.ndarray, group_by: str, buckets: Sequence[int]) -> pa.Array:
    """The group of each document, string (N,): "" where all are one, "web", "0-4096", or "web:4097-32768".

    Args:
        table: documents with the column that `group_by` names, if it is not "none".
        lengths: tokens of each document, int64 (N,).
        buckets: rising bounds of length in tokens; a document belongs to the first that it does not exceed.
    """
    if group_by == "none":
        names = pa.array([""] * table.num_rows, pa.string())
    else:
        names = pc.fill_null(table[group_by].combine_chunks().cast(pa.string()), UNKNOWN)
    if not buckets:
        return names
    lows = [0, *(bound + 1 for bound in buckets)]
    labels = [f"{low}-{high}" for low, high in zip(lows, [*buckets, ""], strict=True)]
    bucket = pa.array(labels).take(pa.array(np.searchsorted(np.array(buckets), lengths, side="left")))
    return bucket if group_by == "none" else pc.binary_join_element_wise(names, bucket, ":")


def _write_group(
    task: TaskContext, documents: Documents, placement: Placement, group: str, held_back: bool, result: dict[str, Any]
) -> None:
    """Writes full shards and the tail of a group, and notes them in the result."""
    header = shard_header(task.arguments, group)
    full = 0 if held_back else placement.sequences // task.arguments["shard_sequences"]
    for number in range(full):
        first = number * task.arguments["shard_sequences"]
        name = shard_name(task.arguments["number"], len(result["parts"]))
        last = first + task.arguments["shard_sequences"]
        result["parts"].append(_write(task.path(name), name, header, documents, placement, first, last))
    if (first := full * task.arguments["shard_sequences"]) < placement.sequences:
        name = f"{task.id}-{len(result['tails']):03d}.arrow"
        plain = replace(header, storage="plain")
        entry = _write(task.work_path("tails", name), name, plain, documents, placement, first, placement.sequences)
        result["tails"].append({"path": name, "rows": entry["rows"], "group": group, "held_back": held_back})


def _write(
    path: str, name: str, header: ShardHeader, documents: Documents, placement: Placement, first: int, last: int
) -> dict[str, Any]:
    """Writes the sequences from `first` up to `last` as one shard; gives its entry."""
    bounds = placement.bounds[first : last + 1]
    chosen = slice(bounds[0], bounds[-1])
    rows = pa.array(placement.document[chosen])
    segments = segment_column(
        bounds - bounds[0],
        documents.table["id"].combine_chunks().take(rows),
        documents.table["source"].combine_chunks().take(rows),
        placement.start[chosen],
        placement.length[chosen],
        documents.table["fim"].combine_chunks().take(rows).to_numpy(zero_copy_only=False),
    )
    tokens = fill(placement, documents.tokens, header.special.pad, first, last)
    size, digest = write_shard(path, header, tokens, segments)
    used = int(placement.length[chosen].sum(dtype=np.int64))
    entry = {"path": name, "rows": last - first, "bytes": size, "digest": digest}
    return entry | {"tokens": used, "group": header.group}


def gather_shard(task: TaskContext) -> dict[str, Any]:
    """Joins rows of tails into one shard. Memory: the shard."""
    settings = task.arguments
    header = shard_header(settings, settings["group"])
    tokens, segments = [], []
    for piece in settings["pieces"]:
        found, table = open_shard(task.work_path("tails", piece["path"]))
        for batch in table.slice(piece["first"], piece["last"] - piece["first"]).to_batches():
            tokens.append(batch_tokens(found, batch))
            segments.append(batch.column("segments"))
    joined = pa.concat_arrays(segments)
    name = shard_name(settings["number"])
    name = f"{VALIDATION}/{name}" if settings["held_back"] else name
    size, digest = write_shard(task.path(name), header, np.concatenate(tokens), joined)
    entry = {"path": name, "rows": len(joined), "bytes": size, "digest": digest}
    used = int(pc.sum(joined.flatten().field("length")).as_py())
    return {"entry": entry | {"tokens": used, "group": header.group}}


def _counted(placement: Placement, held_back: bool) -> dict[str, int]:
    measured = report(placement)
    if held_back:
        return {"validation_sequences": measured.sequences, "validation_documents": measured.documents}
    return {key: int(getattr(measured, key)) for key in ("sequences", "tokens", "padding", *COSTS)}


def _tokens_by(documents: Documents) -> dict[str, dict[str, int]]:
    counted = documents.table.append_column("tokens", pa.array(documents.lengths))
    found = {}
    for column in ("source", "kind", "language"):
        sums = counted.group_by(column).aggregate([("tokens", "sum")])
        found[column] = {row[column] or UNKNOWN: int(row["tokens_sum"]) for row in sums.to_pylist()}
    return found
