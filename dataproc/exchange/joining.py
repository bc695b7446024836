"""Documents put together again from the segments of packed sequences.

A document is whole when its segments begin at its first token, follow each other without a gap and end with the end
token. Those that lie whole in one shard are joined at once; the pieces of all others go through a shuffle
(`dataproc/dedup/shuffle.py`), in which the pieces of a document meet, whichever shards they come from. What is not
whole even then (a piece is missing, or documents have no end token) is written as far as it follows on, and counted.
Documents with one id are one document.

Documents stand in the order of their first segments. Cost: two gathers of the tokens, about 150 million tokens/s.
Memory: three times the tokens of a shard, or of the pieces of a partition.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.shuffle import partition_order
from corpusmill.dataproc.exchange.items import Items, flat_segments, running, sequence_items, shard_batches
from corpusmill.dataproc.randomness import random_keys
from corpusmill.dataproc.sequences.shards import segment_column

PIECE_SCHEMA = pa.schema(
    [
        pa.field("document", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("fim", pa.bool_(), nullable=False),
        pa.field("tokens", pa.large_list(pa.field("item", pa.int32(), nullable=False)), nullable=False),
    ]
)
"""A segment on its way to the others of its document."""


def shard_documents(path: str) -> tuple[Items, pa.Table]:
    """(documents that lie whole in a shard, in the order of their first segments; the segments of all others)."""
    eos = -1
    batches = []
    for header, batch in shard_batches(path):
        eos = header.special.eos
        batches.append(_pieces(sequence_items(header, batch, padding=False)))
    pieces = pa.Table.from_batches(batches, PIECE_SCHEMA).combine_chunks()
    ordered, first = _by_document(pieces)
    complete = _complete(ordered, first, eos)
    whole = np.repeat(complete, np.diff(first))
    lengths = np.diff(first)[complete]
    items = _joined(ordered.filter(pa.array(whole)), running(lengths))
    return items, ordered.filter(pa.array(~whole))


def joined_documents(pieces: Sequence[pa.RecordBatch], eos: int) -> tuple[Items, int]:
    """(documents from pieces of several shards, how many of them lack a piece). What follows on is put together; where
    a piece is missing, what comes after it is an item of its own."""
    ordered, first = _by_document(pa.Table.from_batches(pieces, PIECE_SCHEMA).combine_chunks())
    start = ordered["start"].to_numpy()
    length = _list_lengths(ordered)
    follows = np.zeros(len(start), bool)
    follows[1:] = start[1:] == (start + length)[:-1]
    follows[first[:-1]] = False
    runs = np.append(np.flatnonzero(~follows), len(start))
    missing = int((~_complete(ordered, runs, eos)).sum())
    return _joined(ordered, runs), missing


def piece_partitions(pieces: pa.Table, partitions: int) -> list[pa.RecordBatch]:
    """The pieces of each partition: all pieces of a document are in the same one, whichever shard they come from."""
    order, bounds = partition_order(random_keys(0, "export", pieces["document"].combine_chunks()), partitions)
    sorted_pieces = pieces.take(pa.array(order)).combine_chunks()
    batches = sorted_pieces.to_batches() or [pa.RecordBatch.from_pylist([], PIECE_SCHEMA)]
    # `take` makes fresh buffers: those of a slice would be written whole, once a partition
    return [
        batches[0].take(pa.array(np.arange(first, last)))
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]


def _pieces(items: Items) -> pa.RecordBatch:
    """The segments of sequences without padding, as rows of `PIECE_SCHEMA`."""
    _, flat = flat_segments(items.segments)
    offsets = running(flat.field("length").to_numpy())
    tokens = pa.LargeListArray.from_arrays(
        pa.array(offsets), pa.array(items.tokens), type=PIECE_SCHEMA.field("tokens").type
    )
    columns = [flat.field(name) for name in ("document", "source", "start", "fim")]
    return pa.RecordBatch.from_arrays([*columns, tokens], schema=PIECE_SCHEMA)


def _by_document(pieces: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """(pieces sorted by document, then by start; int64 (D + 1,), where each document's begin). Documents stand in the
    order of their first pieces."""
    if not pieces.num_rows:
        return pieces, np.zeros(1, np.int64)
    # The codes of a dictionary follow the first appearance.
    code = pieces["document"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.lexsort((pieces["start"].to_numpy(), code))
    first = np.append(np.flatnonzero(np.diff(code[order], prepend=-1)), len(order))
    return pieces.take(pa.array(order)).combine_chunks(), first


def _complete(ordered: pa.Table, first: np.ndarray, eos: int) -> np.ndarray:
    """bool (D,): whether the pieces first[d] to first[d + 1] are a document without a gap, up to its end token."""
    if len(first) < 2:
        return np.zeros(0, bool)
    start, length = ordered["start"].to_numpy(), _list_lengths(ordered)
    gap = np.ones(len(start), bool)
    gap[1:] = start[1:] != (start + length)[:-1]
    gap[first[:-1]] = start[first[:-1]] != 0
    values = _values(ordered)
    ends = values[running(length)[first[1:]] - 1] == eos
    return ends & (np.add.reduceat(gap.astype(np.int64), first[:-1]) == 0)


def _joined(ordered: pa.Table, runs: np.ndarray) -> Items:
    """One item for each run of pieces: runs[i] to runs[i + 1]."""
    offsets = running(_list_lengths(ordered))[runs]
    head = ordered.take(pa.array(runs[:-1]))
    segments = segment_column(
        np.arange(len(runs)),
        head["document"].combine_chunks(),
        head["source"].combine_chunks(),
        head["start"].to_numpy(),
        np.diff(offsets).astype(np.int32),
        head["fim"].to_numpy(),
    )
    return Items(offsets, _values(ordered), segments)


def _values(pieces: pa.Table) -> np.ndarray:
    if not pieces.num_rows:
        return np.zeros(0, np.int32)
    return pieces["tokens"].combine_chunks().flatten().to_numpy()


def _list_lengths(pieces: pa.Table) -> np.ndarray:
    if not pieces.num_rows:
        return np.zeros(0, np.int64)
    return np.diff(pieces["tokens"].combine_chunks().offsets.to_numpy())
