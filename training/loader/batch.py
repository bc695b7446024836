"""Sequences for one forward pass, and what follows from where their documents begin and end.

Only the tokens are there from the start. Lengths, segment numbers, position ids, labels and the mask are made when
first asked for, because pre-training asks for none of them and reading segments touches other pages of the shard. They
are made on the CPU and put where the tokens are.

A batch may be pickled, as a DataLoader's workers do to hand it over: tokens, rows and lengths go along, and what
follows from them is made on the other side.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from corpusmill.training.lazy import lazy
from corpusmill.training.model.attention import document_mask

NO_LABEL = -100
"""What torch's cross entropy, and so transformers, leaves out of the loss."""


class Batch:
    """B sequences of T tokens each.

    Args:
        tokens: [B, T] int64 ids.
        rows: [B] int64, the sequences' numbers in the shard set, for tracing a step to its documents.
        lengths: gives for each sequence the lengths of its segments (int32); called once at most.
        learned: gives which tokens the loss counts, bool [B, T]; called once at most. None: all that are not padding.
        sequences_consumed: sequences of the global order that all ranks have been handed once this batch is used, for
            resuming after it (`ShardLoader.state_after`); None for a batch that is of no loader's order.
    """

    def __init__(
        self,
        tokens: torch.Tensor,
        rows: np.ndarray,
        lengths: Callable[[], list[np.ndarray]],
        sequences_consumed: int | None = None,
        learned: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self.tokens, self.rows, self.sequences_consumed = tokens, rows, sequences_consumed
        self._lengths, self._learned = lengths, learned

    def __reduce__(self) -> tuple[Any, ...]:
        counts = [len(lengths) for lengths in self.segment_lengths]
        lengths = np.concatenate([np.empty(0, np.int32), *self.segment_lengths])
        learned = self.learned.cpu().numpy() if self.masked else None
        return _unpickled, (self.tokens, self.rows, counts, lengths, self.sequences_consumed, learned)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """This batch with its tokens on a device, where all that follows from them will be, too."""
        return self._with(self.tokens.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """This batch with its tokens in page-locked memory: what `DataLoader(pin_memory=True)` asks for."""
        return self._with(self.tokens.pin_memory())

    def _with(self, tokens: torch.Tensor) -> "Batch":
        learned = (lambda: self.learned.cpu().numpy()) if self.masked else None
        return Batch(tokens, self.rows, lambda: self.segment_lengths, self.sequences_consumed, learned)

    @property
    def masked(self) -> bool:
        """Whether the shards say which tokens are learned."""
        return self._learned is not None

    def _placed(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.tokens.device)

    @lazy
    def segment_lengths(self) -> list[np.ndarray]:
        """For each sequence the lengths of its segments, int32."""
        return self._lengths()

    @lazy
    def _stretches(self) -> tuple[np.ndarray, np.ndarray]:
        """(number of the segment, its length) over the whole batch, int32 and int64; the padding of each sequence is
        a stretch of its own, perhaps empty, with the number -1."""
        counts = np.array([len(lengths) for lengths in self.segment_lengths], np.int64)
        ends = np.cumsum(counts)
        lengths = np.concatenate(self.segment_lengths).astype(np.int64)
        used = np.add.reduceat(np.append(lengths, 0), ends - counts) * (counts > 0)
        numbers = np.arange(len(lengths), dtype=np.int32) - np.repeat(ends - counts, counts).astype(np.int32)
        padding = self.tokens.shape[1] - used
        return np.insert(numbers, ends, -1), np.insert(lengths, ends, padding)

    @lazy
    def segments(self) -> torch.Tensor:
        """[B, T] int32: which segment of its sequence a token belongs to, from 0; padding is -1."""
        numbers, lengths = self._stretches
        return self._placed(np.repeat(numbers, lengths).reshape(self.tokens.shape))

    @lazy
    def position_ids(self) -> torch.Tensor:
        """[B, T] int64: a token's place in its segment, from 0 again in each; padding is counted as a segment is."""
        _, lengths = self._stretches
        begins = np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self._placed((np.arange(len(begins)) - begins).reshape(self.tokens.shape))

    @lazy
    def valid(self) -> torch.Tensor:
        """[B, T] bool: not padding."""
        used = np.array([lengths.sum() for lengths in self.segment_lengths], np.int64)
        return self._placed(np.arange(self.tokens.shape[1]) < used[:, None])

    @lazy
    def learned(self) -> torch.Tensor:
        """[B, T] bool: tokens that the loss counts as targets. What the shards say, or all that are not padding."""
        return self.valid if self._learned is None else self._placed(self._learned())

    @lazy
    def labels(self) -> torch.Tensor:
        """[B, T] int64: the tokens, and `NO_LABEL` for what is not learned (padding, and what a mask says) and for the
        first token of each segment, which nothing before it belongs with. Not shifted: transformers compares the
        prediction at t with the label at t + 1."""
        return self.tokens.masked_fill(~self.learned | (self.position_ids == 0), NO_LABEL)

    @lazy
    def cu_seqlens(self) -> torch.Tensor:
        """[S + 1] int32: where segments begin and end in the flattened batch [B T], from 0 to B T, as kernels for
        sequences of different lengths want them; the padding of a sequence, where it has any, counts as a segment."""
        _, lengths = self._stretches
        return self._placed(np.append(0, np.cumsum(lengths[lengths > 0])).astype(np.int32))

    def examples(self) -> list[dict[str, list[int]]]:
        """A dictionary for each sequence, as TRL's packed datasets hold them: `input_ids` without padding, and
        `seq_lengths` of the documents in them; with a mask also `assistant_masks`, 1 for what is learned. As it is
        Python, for what takes no tensors."""
        lengths = [of_sequence.tolist() for of_sequence in self.segment_lengths]
        columns = {"input_ids": self.tokens.tolist()}
        if self.masked:
            columns["assistant_masks"] = self.learned.int().tolist()
        return [
            {name: rows[number][: sum(of_sequence)] for name, rows in columns.items()} | {"seq_lengths": of_sequence}
            for number, of_sequence in enumerate(lengths)
        ]

    @property
    def document_mask(self) -> torch.Tensor:
        """[B, 1, T, T] bool: which earlier tokens of its own document a token sees; made anew at each use."""
        return document_mask(self.segments)


def join_batches(batches: Sequence[Batch]) -> Batch:
    """One batch of the sequences of several, in order; their T must be equal."""
    if len(batches) == 1:
        return batches[0]
    consumed = [batch.sequences_consumed for batch in batches if batch.sequences_consumed is not None]
    return Batch(
        torch.cat([batch.tokens for batch in batches]),
        np.concatenate([batch.rows for batch in batches]),
        lambda: [lengths for batch in batches for lengths in batch.segment_lengths],
        max(consumed, default=None),
        (lambda: torch.cat([batch.learned for batch in batches]).cpu().numpy())
        if any(batch.masked for batch in batches)
        else None,
    )


def _unpickled(
    tokens: torch.Tensor,
    rows: np.ndarray,
    counts: list[int],
    lengths: np.ndarray,
    consumed: int | None,
    learned: np.ndarray | None,
) -> Batch:
    of_rows = partial(np.split, lengths, np.cumsum(counts[:-1], dtype=np.int64))
    return Batch(tokens, rows, of_rows, consumed, None if learned is None else lambda: learned)


def empty_batch(length: int) -> Batch:
    """One sequence of padding, which is no row of any shard: for a rank that has no sequence left in a forward pass
    that all ranks have to make. Its losses and gradients are 0."""
    tokens = torch.zeros((1, length), dtype=torch.int64)
    return Batch(tokens, np.empty(0, np.int64), lambda: [np.empty(0, np.int32)])
