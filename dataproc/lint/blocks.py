"""Sequences of any format as lint looks at them: flat tokens, where sequences begin, and the stretches of documents.

A record batch of a shard says where each document lies. A foreign file says where its items lie, and the end tokens in
them do the rest; where it records neither, an item is a document. Ids are brought to int32.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.exchange.items import flat_segments, running
from corpusmill.dataproc.exchange.pieces import Tokens
from corpusmill.dataproc.sequences.shards import ShardHeader, batch_tokens

UNKNOWN = -1
"""The start of a segment of which nothing says where in its document it begins."""


@dataclass(frozen=True)
class Block:
    """N sequences of one shard or file, with G segments.

    Attributes:
        shard: name of the file.
        first: number of the first sequence in it.
        tokens: int32 (T,), padding included.
        begins: int64 (N,), first token of each sequence. used: int64 (N,), tokens before its padding.
        sizes: int64 (N,), tokens with padding.
        row: int64 (G,), the sequence of a segment. begin, length: int64 (G,), its place in `tokens`.
        start: int64 (G,), its first token's place in the document, or `UNKNOWN`.
        fim: bool (G,), whether the document was rearranged.
        documents, sources: string (G,), where the format has them.
        group: what all documents of the shard have in common.
    """

    shard: str
    first: int
    tokens: np.ndarray
    begins: np.ndarray
    used: np.ndarray
    sizes: np.ndarray
    row: np.ndarray
    begin: np.ndarray
    length: np.ndarray
    start: np.ndarray
    fim: np.ndarray
    documents: pa.Array | None = None
    sources: pa.Array | None = None
    group: str = ""

    def __len__(self) -> int:
        return len(self.begins)

    def places(self, rows: np.ndarray) -> list[int]:
        """Numbers in the file of sequences of the block, rising, each once."""
        return [int(row) + self.first for row in np.unique(rows)[:16]]


def shard_block(header: ShardHeader, batch: pa.RecordBatch, shard: str, first: int) -> Block:
    """A record batch of a shard of ours. Segments that would reach beyond their sequence are cut there."""
    tokens = np.ascontiguousarray(batch_tokens(header, batch))
    sequences, size = tokens.shape
    bounds, flat = flat_segments(batch.column("segments"))
    row = np.repeat(np.arange(sequences), np.diff(bounds))
    length = flat.field("length").to_numpy().astype(np.int64)
    ahead = running(length)
    inside = ahead[:-1] - ahead[bounds[:-1]][row]
    inside = inside.clip(0, size)
    length = length.clip(0, size - inside)
    return Block(
        shard=shard,
        first=first,
        tokens=tokens.reshape(-1),
        begins=np.arange(sequences, dtype=np.int64) * size,
        used=np.bincount(row, length, sequences).astype(np.int64),
        sizes=np.full(sequences, size, np.int64),
        row=row,
        begin=row * size + inside,
        length=length,
        start=flat.field("start").to_numpy(),
        fim=flat.field("fim").to_numpy(zero_copy_only=False),
        documents=flat.field("document"),
        sources=flat.field("source"),
        group=header.group,
    )


def foreign_block(
    read: Tokens, shard: str, eos: int | None, pad: int | None, first: int, *, packed: bool = False
) -> Block:
    """Items of a foreign file, cut at end tokens and at the segments that the file records.

    Of a file without items every document is a sequence, and `first` counts them. `packed`: items are sequences, so
    nothing says where a document begins.
    """
    tokens = as_int32(read.tokens)
    begins, sizes = read.offsets[:-1].astype(np.int64), np.diff(read.offsets).astype(np.int64)
    used = sizes.copy()
    cuts = [read.offsets[:-1], read.offsets[1:]]
    if read.lengths is not None:
        bounds, lengths = read.lengths
        ahead = running(np.asarray(lengths, np.int64).clip(0))
        used = np.minimum(ahead[bounds[1:]] - ahead[bounds[:-1]], sizes)
        owner = np.repeat(np.arange(len(begins)), np.diff(bounds))
        cuts.append(begins[owner] + np.minimum(ahead[1:] - ahead[bounds[:-1]][owner], sizes[owner]))
    elif pad is not None and read.has_items:
        used = _before_padding(tokens, begins, sizes, pad, pad == eos)
    if eos is not None and not read.has_items:
        ends = np.flatnonzero(tokens == eos) + 1
        begins = np.unique(np.append(ends[ends < len(tokens)], 0)).astype(np.int64)
        sizes = np.diff(np.append(begins, len(tokens)))
        used, cuts = sizes, [begins, begins + sizes]
    elif eos is not None:
        cuts.append(np.flatnonzero(tokens == eos) + 1)
    edges = np.unique(np.concatenate([*cuts, begins + used]))
    begin, length = edges[:-1], np.diff(edges)
    row = np.searchsorted(begins, begin, side="right") - 1
    text = (begin < begins[row] + used[row]) & (length > 0)
    row, begin, length = row[text], begin[text], length[text]
    start = np.full(len(row), UNKNOWN if packed else 0, np.int64)
    return Block(shard, first, tokens, begins, used, sizes, row, begin, length, start, np.zeros(len(row), bool))


def holds_packed(read: Tokens, eos: int | None) -> bool:
    """Whether items are packed sequences: they record segments, are all of one length, or have end tokens inside."""
    if read.lengths is not None:
        return True
    sizes = np.diff(read.offsets)
    if not read.has_items or len(sizes) < 2:
        return False
    if (sizes == sizes[0]).all():
        return True
    inner = np.delete(np.asarray(read.tokens), np.maximum(read.offsets[1:][sizes > 0] - 1, 0))
    return eos is not None and int((inner == eos).sum()) > len(sizes) // 100


def as_int32(tokens: np.ndarray) -> np.ndarray:
    """Ids as int32: of 32 bits as they are, so that bytes can still be swapped; of 64, -1 for what does not fit."""
    if tokens.dtype.itemsize == 8:
        return np.where((tokens >= 0) & (tokens < 1 << 31), tokens, -1).astype(np.int32)
    if tokens.dtype.kind == "u" and tokens.dtype.itemsize == 4:
        return np.ascontiguousarray(tokens, np.uint32).view(np.int32)
    return np.ascontiguousarray(tokens, np.int32)


def _before_padding(tokens: np.ndarray, begins: np.ndarray, sizes: np.ndarray, pad: int, is_eos: bool) -> np.ndarray:
    """Tokens of each item before the run of pad tokens at its end; where pad and end token are one, one more."""
    text = np.append(-1, np.flatnonzero(tokens != pad))
    last = text[np.searchsorted(text, begins + sizes) - 1]
    used = np.maximum(last + 1 - begins, 0)
    return np.minimum(used + is_eos, sizes)


def whole_documents(block: Block, eos: int) -> np.ndarray:
    """Numbers of the segments that are whole plain documents: from their first token to their end token."""
    last = block.tokens[block.begin + np.maximum(block.length, 1) - 1]
    return np.flatnonzero((block.start == 0) & (last == eos) & (block.length > 1) & ~block.fim)
