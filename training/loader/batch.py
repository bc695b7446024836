"""Sequences for one forward pass, and what follows from where their documents begin and end.

Only the tokens are there from the start. Lengths, segment numbers, position ids and the mask are made when first asked
for, because pre-training asks for none of them and reading segments touches other pages of the shard.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch

from corpusmill.training.model.attention import document_mask


class Batch:
    """B sequences of T tokens each.

    Args:
        tokens: [B, T] int64 ids.
        rows: [B] int64, the sequences' numbers in the shard set, for tracing a step to its documents.
        lengths: gives for each sequence the lengths of its segments (int32); called once at most.
    """

    def __init__(self, tokens: torch.Tensor, rows: np.ndarray, lengths: Callable[[], list[np.ndarray]]) -> None:
        self.tokens, self.rows = tokens, rows
        self._lengths = lengths

    @cached_property
    def segment_lengths(self) -> list[np.ndarray]:
        """For each sequence the lengths of its segments, int32."""
        return self._lengths()

    @cached_property
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

    @cached_property
    def segments(self) -> torch.Tensor:
        """[B, T] int32: which segment of its sequence a token belongs to, from 0; padding is -1."""
        numbers, lengths = self._stretches
        return torch.from_numpy(np.repeat(numbers, lengths).reshape(self.tokens.shape))

    @cached_property
    def position_ids(self) -> torch.Tensor:
        """[B, T] int64: a token's place in its segment, from 0 again in each; padding is counted as a segment is."""
        _, lengths = self._stretches
        begins = np.repeat(np.cumsum(lengths) - lengths, lengths)
        return torch.from_numpy((np.arange(len(begins)) - begins).reshape(self.tokens.shape))

    @cached_property
    def valid(self) -> torch.Tensor:
        """[B, T] bool: not padding."""
        used = np.array([lengths.sum() for lengths in self.segment_lengths], np.int64)
        return torch.from_numpy(np.arange(self.tokens.shape[1]) < used[:, None])

    @property
    def document_mask(self) -> torch.Tensor:
        """[B, 1, T, T] bool: which earlier tokens of its own document a token sees; made anew at each use."""
        return document_mask(self.segments)


def empty_batch(length: int) -> Batch:
    """One sequence of padding, which is no row of any shard: for a rank that has no sequence left in a forward pass
    that all ranks have to make. Its losses and gradients are 0."""
    tokens = torch.zeros((1, length), dtype=torch.int64)
    return Batch(tokens, np.empty(0, np.int64), lambda: [np.empty(0, np.int32)])
