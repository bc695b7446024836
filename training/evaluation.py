"""How well a model predicts held-back documents, and what it has to beat.

The loss is in nats a token; bits per byte, which don't depend on the tokenizer, follow where the bytes of each token
are known. The yardstick is a unigram model of the training tokens with add-one smoothing, measured on the very same
held-back tokens: a model that only learned how frequent tokens are gets there, a model below it has learned context.
"""

from dataclasses import dataclass
from math import log

import numpy as np
import torch

from training.attention import document_mask
from training.data import ShardLoader
from training.loss import cross_entropy, targets_ahead
from training.model import Transformer
from training.shard_set import ShardSet


@dataclass(frozen=True)
class Evaluation:
    """Next-token prediction on held-back sequences."""

    loss: float
    """Nats a token."""
    tokens: int
    """Tokens predicted."""
    bits_per_byte: float | None
    """Bits for each byte of the predicted tokens; None where no byte lengths were given."""


def _row_groups(shards: ShardSet, sequences: int, size: int) -> list[np.ndarray]:
    rows = np.arange(min(sequences, len(shards)), dtype=np.int64)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@torch.no_grad()
def evaluate(
    model: Transformer,
    shards: ShardSet,
    sequences: int,
    micro_batch: int,
    masked: bool = False,
    token_bytes: np.ndarray | None = None,
) -> Evaluation:
    """Measures the first `sequences` sequences (or all there are).

    Args:
        model: left in the mode, training or not, in which it came.
        shards: held-back sequences.
        sequences: how many at most.
        micro_batch: sequences a forward pass.
        masked: whether documents of one sequence are hidden from each other.
        token_bytes: bytes of each token id's text, int [V]; special tokens have 0.
    """
    was_training = model.training
    model.eval()
    nats, tokens, spelled = 0.0, 0, 0
    for rows in _row_groups(shards, sequences, micro_batch):
        batch = shards.read(rows)
        targets = targets_ahead(batch.tokens, batch.valid, 1)
        mask = document_mask(batch.segments) if masked else None
        hidden = model(batch.tokens, batch.valid, mask, mtp=False).main[:, :-1]
        nats += cross_entropy(hidden, model.head.weight, targets).item()
        predicted = targets[targets >= 0].numpy()
        tokens += len(predicted)
        spelled += int(token_bytes[predicted].sum()) if token_bytes is not None else 0
    model.train(was_training)
    return Evaluation(nats / max(tokens, 1), tokens, nats / log(2) / spelled if spelled else None)


def unigram_counts(loader: ShardLoader, sequences: int, vocab_size: int) -> np.ndarray:
    """How often each id occurs in the first `sequences` of a loader's order (at most one epoch): int64 [V]."""
    counts = np.zeros(vocab_size, np.int64)
    planned = loader.sequence_order.sequences
    count = min(sequences, len(loader.shards), len(loader.shards) if planned is None else planned)
    for ids, lengths in loader.shards.token_rows(loader.order(0, count)):
        np.add.at(counts, ids[: lengths.sum()], 1)
    return counts


def unigram_loss(counts: np.ndarray, shards: ShardSet, sequences: int) -> float:
    """Nats a token of the unigram model of `counts` plus one, over the tokens that `evaluate` predicts."""
    costs = -np.log((counts + 1) / (counts.sum() + len(counts)))
    nats, tokens = 0.0, 0
    for ids, lengths in shards.token_rows(np.arange(min(sequences, len(shards)), dtype=np.int64)):
        predicted = ids[1 : lengths.sum()]
        nats += float(costs[predicted].sum())
        tokens += len(predicted)
    return nats / max(tokens, 1)
