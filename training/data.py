"""Token shards to training batches: memory-mapped, globally shuffled, and resumable from one integer.

A `ShardSet` reads any rows of a folder of shards; the operating system brings in the pages that are touched and
nothing else is kept, so memory is the batch's (8 bytes a token) plus one view a record batch. `ShardLoader` walks a
seeded permutation of all rows, a new one each epoch, and counts the sequences that all ranks together have consumed.
That count is its whole state: position p of the global order is the same sequence for any number of ranks, so a run may
be resumed on another number of machines and see exactly what it would have seen.

Cost: one open file a shard and one footer read each at the start.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from dataproc.errors import UserError
from dataproc.randomness import random_key
from dataproc.shards import ShardHeader, list_shards, open_shard
from training.permutation import permute


@dataclass(frozen=True)
class Batch:
    """Sequences for one forward pass. Legend: B sequences, T tokens each."""

    tokens: torch.Tensor
    """[B, T] int64 ids."""
    segments: torch.Tensor
    """[B, T] int32: which segment of its sequence a token belongs to, from 0; padding is -1."""
    segment_lengths: list[np.ndarray]
    """For each sequence the lengths of its segments, int32."""
    rows: np.ndarray
    """[B] int64: the sequences' numbers in the shard set, for tracing a step to its documents."""

    @property
    def valid(self) -> torch.Tensor:
        """[B, T] bool: not padding."""
        return self.segments >= 0


@dataclass(frozen=True)
class _Part:
    """One record batch of a shard, as views into the mapped file."""

    tokens: np.ndarray
    segment_bounds: np.ndarray
    segment_lengths: np.ndarray


class ShardSet:
    """The sequences of a folder of shards, in the order of its files.

    Raises UserError when the folder holds no shard, when a file is not a token shard, or when shards disagree about
    sequence length, tokenizer or vocabulary.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        paths = list_shards(str(folder))
        if not paths:
            raise UserError("no token shards here", where=str(folder), mend="make them with 'corpusmill pack'")
        opened = [open_shard(path) for path in paths]
        self.header = opened[0][0]
        """What all sequences have in common: length, tokenizer, special ids, how they were packed."""
        self._parts: list[_Part] = []
        for path, (header, table) in zip(paths, opened, strict=True):
            _require_same(self.header, header, path)
            self._parts += [_views(batch) for batch in table.to_batches()]
        self._starts = np.cumsum([0, *(len(part.tokens) for part in self._parts)])
        if not len(self):
            raise UserError("the shards hold no sequence", where=str(folder), mend="pack more documents")

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def sequence_length(self) -> int:
        """Tokens a sequence, padding included."""
        return self.header.sequence_length

    def token_rows(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each row number: its tokens (int32 view of the mapped file) and its segments' lengths (int32)."""
        parts = np.searchsorted(self._starts, rows, side="right") - 1
        for number, row in zip(parts, rows - self._starts[parts], strict=True):
            part = self._parts[number]
            yield part.tokens[row], part.segment_lengths[part.segment_bounds[row] : part.segment_bounds[row + 1]]

    def read(self, rows: np.ndarray) -> Batch:
        """A batch of the sequences with these numbers (int64 [B], each below `len`)."""
        tokens = np.empty((len(rows), self.sequence_length), np.int64)
        segments = np.full(tokens.shape, -1, np.int32)
        lengths = []
        for place, (ids, row_lengths) in enumerate(self.token_rows(rows)):
            tokens[place] = ids
            segments[place, : row_lengths.sum()] = np.repeat(np.arange(len(row_lengths), dtype=np.int32), row_lengths)
            lengths.append(row_lengths)
        return Batch(torch.from_numpy(tokens), torch.from_numpy(segments), lengths, rows)


def _require_same(first: ShardHeader, other: ShardHeader, path: str) -> None:
    for field in ("sequence_length", "tokenizer", "model_rows"):
        if getattr(first, field) != getattr(other, field):
            raise UserError(f"this shard has another {field} than the first", where=path, mend="pack them together")


def _views(batch: pa.RecordBatch) -> _Part:
    """The columns of a record batch as arrays, without copying."""
    tokens, segments = batch.column("tokens"), batch.column("segments")
    ids = tokens.flatten().to_numpy(zero_copy_only=True).reshape(-1, tokens.type.list_size)
    lengths = segments.values.field("length").to_numpy(zero_copy_only=True)
    return _Part(ids, segments.offsets.to_numpy(zero_copy_only=True), lengths)


def held_back(folder: str | Path) -> ShardSet | None:
    """The sequences of held-back documents that lie beside the shards, in `validation/`; None where there are none."""
    inner = Path(folder) / "validation"
    return ShardSet(inner) if list_shards(str(inner)) else None


class ShardLoader:
    """An endless iterator of micro-batches in a seeded global order.

    Each step of the iteration hands the next `world_size * micro_batch` sequences of the global order to the ranks,
    `micro_batch` to each in the order of ranks. Epochs are shuffled differently and follow each other without a gap.

    Args:
        folder: shards, or a `ShardSet` that is already open.
        micro_batch: sequences a rank gets at a time.
        rank: which rank this is, below `world_size`.
        world_size: data-parallel ranks.
        seed: chooses the order.

    Raises UserError when there are fewer sequences than the ranks take at a time.
    """

    def __init__(
        self, folder: str | Path | ShardSet, micro_batch: int, rank: int = 0, world_size: int = 1, seed: int = 0
    ) -> None:
        self.shards = folder if isinstance(folder, ShardSet) else ShardSet(folder)
        self.micro_batch, self.rank, self.world_size, self.seed = micro_batch, rank, world_size, seed
        self.sequences_consumed = 0
        """Sequences that all ranks together have consumed: set it to resume."""
        if len(self.shards) < micro_batch * world_size:
            raise UserError(
                f"{len(self.shards)} sequences are fewer than a batch of {micro_batch * world_size}",
                where=str(self.shards.folder),
                mend="pack more text, or train with a smaller batch",
            )

    def order(self, start: int, count: int) -> np.ndarray:
        """Row numbers (int64 [count]) at the positions from `start` on of the endless global order."""
        size = len(self.shards)
        epochs, places = np.divmod(np.arange(start, start + count, dtype=np.int64), size)
        rows = np.empty(count, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            rows[here] = permute(places[here], size, random_key(self.seed, "order", f"epoch {epoch}"))
        return rows

    def __iter__(self) -> "ShardLoader":
        return self

    def __next__(self) -> Batch:
        rows = self.order(self.sequences_consumed + self.rank * self.micro_batch, self.micro_batch)
        batch = self.shards.read(rows)
        self.sequences_consumed += self.world_size * self.micro_batch
        return batch
