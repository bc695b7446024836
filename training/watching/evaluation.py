"""How well a model predicts held-back documents, and the baseline it has to beat.

The loss is in nats per token; bits per byte, which don't depend on the tokenizer, follow where the bytes of each token
are known, for all and for each source of documents. A token counts for the source of the segment that it stands in.
The sequences measured are spread evenly over all there are, since neighbours may come from one source.

The yardstick is a unigram model of the training tokens with add-one smoothing, measured on the very same held-back
tokens: a model that only learned how frequent tokens are gets that far; a model with a lower loss has learned context.

Where one document follows another in a sequence, the first token of the next is predicted from the end of the last and
counts like any other, in training (as in V3's pre-training, section 4.1) and here; with `masked` nothing of the last
document is seen. Only a sequence's first token is predicted by nobody.

Cost: one forward pass, without MTP modules; logits are made a chunk of tokens at a time, in FP32, and never kept. On
several ranks each measures its share of the sequences, and sums are added in FP64.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import log

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from corpusmill.training.loader.batch import Batch, empty_batch
from corpusmill.training.loader.shard_loader import ShardLoader
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.attention import document_mask
from corpusmill.training.model.loss import IGNORED, targets_ahead
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.parallel.ranks import ALONE, Ranks

_CHUNK_TOKENS = {"cpu": 128, "cuda": 2048}
"""Tokens whose logits are in memory at a time: on a CPU they stay in its cache, as in `training/model/loss.py`."""


@dataclass(frozen=True)
class Evaluation:
    """Next-token prediction on held-back sequences."""

    loss: float
    """Nats a token."""
    tokens: int
    """Tokens predicted."""
    bits_per_byte: float | None
    """Bits for each byte of the predicted tokens; None where no byte lengths were given."""
    by_source: dict[str, float]
    """The same by source of the documents; sources without a predicted byte are left out."""
    tokens_by_source: dict[str, int]
    """Tokens predicted, by source."""


def measured_rows(shards: ShardSet, sequences: int) -> np.ndarray:
    """The rows to measure: at most so many, evenly spread from the first to the last. int64, ascending."""
    count = min(sequences, len(shards))
    return np.arange(count, dtype=np.int64) * (len(shards) - 1) // max(1, count - 1)


def token_nats(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(hidden head^T)[target] of every position, without gradients.

    Args:
        hidden: [B, T, D].
        head: [V, D].
        targets: [B, T], IGNORED where nothing is predicted.

    Returns:
        FP32 [B, T], 0 where nothing is predicted.
    """
    rows = _CHUNK_TOKENS.get(hidden.device.type, _CHUNK_TOKENS["cuda"])
    flat = targets.flatten()
    nats = torch.empty(flat.shape, dtype=torch.float32, device=hidden.device)
    pieces = zip(nats.split(rows), hidden.detach().flatten(0, 1).split(rows), flat.split(rows), strict=True)
    with torch.no_grad():
        for out, part, wanted in pieces:
            out.copy_(F.cross_entropy(F.linear(part, head).float(), wanted, ignore_index=IGNORED, reduction="none"))
    return nats.view(targets.shape)


@contextmanager
def measuring(model: Transformer) -> Iterator[None]:
    """The model as it is measured: routers count nothing. Its mode is restored afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def batch_nats(
    model: Transformer, batch: Batch, masked: bool, device: torch.device
) -> tuple[np.ndarray, np.ndarray] | None:
    """(nats, targets) of a batch's next tokens, FP32 and int64 [B, T-1]; where nothing is predicted 0 and IGNORED.

    None on the ranks of a pipeline that only pass the batch on.
    """
    tokens, valid = batch.tokens.to(device), batch.valid.to(device)
    mask = document_mask(batch.segments).to(device) if masked else None
    hidden = model(tokens, valid, mask, mtp=False).main[:, :-1]
    if not len(hidden):
        return None
    targets = targets_ahead(tokens, batch.learned.to(device), 1)
    return token_nats(hidden, model.head.weight, targets).cpu().numpy(), targets.cpu().numpy()


def evaluate(
    model: Transformer,
    shards: ShardSet,
    sequences: int,
    micro_batch: int,
    masked: bool = False,
    token_bytes: np.ndarray | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Measures `measured_rows`. All ranks call it and get the same.

    Args:
        model: left in the mode, training or not, that it was in.
        shards: held-back sequences.
        sequences: how many at most.
        micro_batch: sequences a forward pass.
        masked: whether documents of one sequence are hidden from each other.
        token_bytes: bytes of each token id's text, int [V]; special tokens have 0.
        ranks: this process among those of the run.
    """
    rows = measured_rows(shards, sequences)
    sources = sorted({source for named in shards.segment_sources(rows) for source in named})
    numbers = {source: number for number, source in enumerate(sources)}
    sums = np.zeros((len(sources), 3))
    with measuring(model):
        for part in _passes(rows, micro_batch, ranks):
            # Where a forward pass involves all ranks, all have to make equally many.
            batch = shards.read(part) if len(part) else empty_batch(shards.sequence_length)
            if measured := batch_nats(model, batch, masked, ranks.device):
                sums += _sums_by_source(shards, batch, numbers, *measured, token_bytes)
    ranks.sum_(torch.from_numpy(sums))
    nats_of, tokens_of, bytes_of = sums.T
    total, tokens, spelled = nats_of.sum(), tokens_of.sum(), bytes_of.sum()
    bits = nats_of / log(2)
    return Evaluation(
        float(total / max(tokens, 1)),
        int(tokens),
        float(total / log(2) / spelled) if spelled else None,
        {name: float(bits[at] / bytes_of[at]) for at, name in enumerate(sources) if bytes_of[at]},
        {name: int(tokens_of[at]) for at, name in enumerate(sources)},
    )


def _passes(rows: np.ndarray, micro_batch: int, ranks: Ranks) -> Iterator[np.ndarray]:
    """The rows of each of this rank's forward passes. All ranks have equally many; the last may be empty."""
    shares = np.array_split(rows, ranks.size("batch"))
    for start in range(0, len(shares[0]), micro_batch):
        yield shares[ranks.batch_rank][start : start + micro_batch]


def _sums_by_source(
    shards: ShardSet,
    batch: Batch,
    numbers: dict[str, int],
    nats: np.ndarray,
    targets: np.ndarray,
    token_bytes: np.ndarray | None,
) -> np.ndarray:
    """FP64 [S, 3]: nats, tokens and bytes of what a batch predicts of each of the S numbered sources."""
    named = [numbers[source] for row in shards.segment_sources(batch.rows) for source in row]
    counts = [len(lengths) for lengths in batch.segment_lengths]
    first = np.cumsum([0, *counts[:-1]])[:, None]
    predicted = targets != IGNORED
    source = np.array([*named, 0])[(first + batch.segments.numpy()[:, 1:])[predicted]]
    ids = targets[predicted]
    spelled = np.zeros(len(ids)) if token_bytes is None else token_bytes[ids]
    columns = (nats[predicted], np.ones(len(ids)), spelled)
    return np.stack([np.bincount(source, column, len(numbers)) for column in columns], axis=1)


def unigram_counts(loader: ShardLoader, sequences: int, vocab_size: int) -> np.ndarray:
    """How often each id is learned in the first `sequences` of a loader's order (at most one epoch): int64 [V]."""
    counts = np.zeros(vocab_size, np.int64)
    planned = loader.sequence_order.sequences
    count = min(sequences, len(loader.shards), len(loader.shards) if planned is None else planned)
    for ids, learned in _with_mask(loader.shards, loader.order(0, count)):
        np.add.at(counts, ids[learned], 1)
    return counts


def unigram_loss(counts: np.ndarray, shards: ShardSet, sequences: int) -> float:
    """Nats a token of the unigram model of `counts` plus one, over the tokens that `evaluate` predicts."""
    costs = -np.log((counts + 1) / (counts.sum() + len(counts)))
    nats, tokens = 0.0, 0
    for ids, learned in _with_mask(shards, measured_rows(shards, sequences)):
        predicted = ids[1:][learned[1:]]
        nats += float(costs[predicted].sum())
        tokens += len(predicted)
    return nats / max(tokens, 1)


def _with_mask(shards: ShardSet, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each row its tokens and which of them are learned."""
    for row, (ids, _) in zip(rows, shards.token_rows(rows), strict=True):
        yield ids, shards.learned(np.array([row]))[0]
