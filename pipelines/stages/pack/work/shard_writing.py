"""Packed documents to shards of equal size: full ones at once, what is left of each group as a tail to join later.

A task writes as many full shards as its documents give. What is left (less than a shard) is its tail, an intermediate
file; a second phase joins the tails of all tasks into full shards, so that all shards of a group hold the same number
of sequences but its last one. Only tails are written twice. Packing and import both write this way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import write_table
from corpusmill.dataproc.sequences.packing import Placement, fill
from corpusmill.dataproc.sequences.shard_folder import VALIDATION, VOCABULARY
from corpusmill.dataproc.sequences.shards import (
    ShardHeader,
    batch_learned,
    batch_tokens,
    open_shard,
    segment_column,
    shard_name,
    write_shard,
)
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.pack.arguments import GatherWork, ShardWork
from corpusmill.pipelines.stages.pack.work.encoding import load_encoder, shard_header
from corpusmill.tokenizer.chat_encoding import LEARNED


@dataclass(frozen=True)
class TokenisedDocuments:
    """The documents of a task: columns `id`, `source`, `fim` and others, and their tokens in batches.

    Tokens are never joined into one array: sequences are filled from the batches, a shard at a time.
    """

    table: pa.Table
    tokens: list[pa.LargeListArray]
    lengths: np.ndarray

    @classmethod
    def join(cls, batches: Sequence[tuple[pa.RecordBatch, pa.LargeListArray]]) -> "TokenisedDocuments":
        """(columns, tokens) of all batches of a task, numbered through."""
        tokens = [lists for _, lists in batches]
        lengths = np.concatenate([pc.list_value_length(chunk).to_numpy() for chunk in tokens])
        return cls(pa.Table.from_batches([table for table, _ in batches]).combine_chunks(), tokens, lengths)


@dataclass(frozen=True)
class Written:
    """Entries of the full shards and the tails of a task."""

    parts: list[dict[str, Any]] = field(default_factory=list)
    tails: list[dict[str, Any]] = field(default_factory=list)


def write_vocabulary(task: TaskContext[ShardWork]) -> dict[str, Any]:
    """`_vocabulary.parquet`: the bytes of every id, so that shards can be read without the tokenizer."""
    tokenizer = load_encoder(task.arguments.tokenizer).tokenizer
    numbers = np.arange(tokenizer.vocab_size, dtype=np.int32)
    special = np.isin(numbers, list(tokenizer.special.ids.values()))
    spelled = tokenizer.spellings.fill_null(b"").cast(pa.binary())  # an id that there is not spells nothing
    table = pa.table({"id": pa.array(numbers), "bytes": spelled, "special": pa.array(special)})
    entry = {"path": VOCABULARY} | write_table(task.path(VOCABULARY), table)
    return {"files": [entry], "fingerprint": tokenizer.fingerprint}


def write_group(
    task: TaskContext[ShardWork],
    documents: TokenisedDocuments,
    placement: Placement,
    group: str,
    held_back: bool,
    before: Written,
) -> Written:
    """Writes full shards and the tail of a group; gives these and what the task had written before.

    Held-back sequences are all tail: a task has few of them.
    """
    header, rows = shard_header(task.arguments, group), task.arguments.shard_sequences
    parts, tails = list(before.parts), list(before.tails)
    full = 0 if held_back else placement.sequences // rows
    for number in range(full):
        name = shard_name(task.arguments.number, len(parts))
        first, last = number * rows, (number + 1) * rows
        parts.append(_write(task.path(name), name, header, documents, placement, first, last))
    if (first := full * rows) < placement.sequences:
        name = f"{task.id}-{len(tails):03d}.arrow"
        plain = replace(header, storage="plain")
        entry = _write(task.work_path("tails", name), name, plain, documents, placement, first, placement.sequences)
        tails.append({"path": name, "rows": entry["rows"], "group": group, "held_back": held_back})
    return Written(parts, tails)


def _write(
    path: str,
    name: str,
    header: ShardHeader,
    documents: TokenisedDocuments,
    placement: Placement,
    first: int,
    last: int,
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
    tokens, learned = fill(placement, documents.tokens, header.special.pad, first, last), None
    if header.learned:
        learned, tokens = (tokens & LEARNED) > 0, tokens & (LEARNED - 1)
    size, digest = write_shard(path, header, tokens, segments, learned)
    used = int(placement.length[chosen].sum(dtype=np.int64))
    entry = {"path": name, "rows": last - first, "bytes": size, "digest": digest}
    return entry | {"tokens": used, "group": header.group}


def gather_shard(task: TaskContext[GatherWork]) -> dict[str, Any]:
    """Joins rows of tails into one shard. Memory: the shard."""
    work = task.arguments
    header = shard_header(work.shard, work.group)
    tokens, segments, learned = [], [], []
    for piece in work.pieces:
        tail, table = open_shard(task.work_path("tails", piece.path))
        for batch in table.slice(piece.first, piece.last - piece.first).to_batches():
            tokens.append(batch_tokens(tail, batch))
            segments.append(batch.column("segments"))
            if tail.learned:
                learned.append(batch_learned(tail, batch))
    joined = pa.concat_arrays(segments)
    name = shard_name(work.shard.number)
    name = f"{VALIDATION}/{name}" if work.held_back else name
    mask = np.concatenate(learned) if header.learned else None
    size, digest = write_shard(task.path(name), header, np.concatenate(tokens), joined, mask)
    entry = {"path": name, "rows": len(joined), "bytes": size, "digest": digest}
    used = int(pc.sum(joined.flatten().field("length")).as_py())
    return {"entry": entry | {"tokens": used, "group": header.group}}
