"""Nats of whole documents under a model, one by one, and of the documents of packed sequences.

A document alone is measured as language models are compared (and as lm-evaluation-harness does it, whose windows these
are): a token that stands before it, then all of its tokens, each predicted once, in windows of the model's length; a
later window begins with the last token of the one before, and the last window is filled up with earlier tokens, which
are context and not counted again. A text that fits into one window is predicted with all of its past.

In packed sequences a document's tokens are predicted as in training: the first from the end of the document before it.

Cost: a forward pass over each token, without MTP modules, `tokens_a_pass` tokens of padded windows at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.attention import document_mask
from corpusmill.training.model.loss import IGNORED, targets_ahead
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.watching.evaluation import measuring, token_nats

_LOGIT_ROWS = 128
"""Rows of logits in memory at a time."""


def windows(ids: np.ndarray, prefix: int, length: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(inputs, targets) of a document's windows, int64, at most `length` each; targets are IGNORED where only context.

    Args:
        ids: of the document.
        prefix: what its first token is predicted from.
        length: longest input.
    """
    joined = np.concatenate([[prefix], ids]).astype(np.int64)
    for start in range(0, len(ids), length):
        end = min(start + length, len(ids))
        first = max(0, end - length)
        targets = joined[first + 1 : end + 1].copy()
        targets[: start - first] = IGNORED
        yield joined[first:end], targets


def document_nats(
    model: Transformer, documents: Sequence[np.ndarray], prefix: int, length: int, tokens_a_pass: int = 8192
) -> np.ndarray:
    """Nats of all tokens of each document of ids: float64 [N]."""
    cut = [
        (number, inputs, targets)
        for number, ids in enumerate(documents)
        for inputs, targets in windows(ids, prefix, length)
    ]
    cut.sort(key=lambda window: len(window[1]))  # windows of about one length share a pass; padding is least
    nats = np.zeros(len(documents))
    device = model.embed.weight.device
    with measuring(model):
        for group in _passes(cut, tokens_a_pass):
            tokens, targets = _padded(group)
            hidden = model(torch.from_numpy(tokens).to(device), mtp=False).main
            made = token_nats(hidden, model.head.weight, torch.from_numpy(targets).to(device)).double().sum(1)
            np.add.at(nats, [number for number, _, _ in group], made.cpu().numpy())
    return nats


def continuation_nats(
    model: Transformer, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], length: int, tokens_a_pass: int = 8192
) -> tuple[np.ndarray, np.ndarray]:
    """Nats of what follows a context, and whether it is what greedy decoding would say.

    Args:
        model: left in the mode that it was in.
        pairs: ids of a context, at least one, and of what follows; the context's beginning is cut to fit `length`.
        length: longest input.
        tokens_a_pass: padded tokens of a forward pass.

    Returns:
        float64 [N] and bool [N].
    """
    nats, greedy = np.zeros(len(pairs)), np.ones(len(pairs), bool)
    cut = []
    for number, (context, following) in enumerate(pairs):
        joined = np.array([*context, *following], np.int64)[-(length + 1) :]
        targets = joined[1:].copy()
        targets[: max(0, len(targets) - len(following))] = IGNORED
        cut.append((number, joined[:-1], targets))
    cut.sort(key=lambda window: len(window[1]))
    device = model.embed.weight.device
    with measuring(model):
        for group in _passes(cut, tokens_a_pass):
            tokens, targets = _padded(group)
            hidden = model(torch.from_numpy(tokens).to(device), mtp=False).main
            rows, places = np.nonzero(targets != IGNORED)
            numbers = np.array([number for number, _, _ in group])[rows]
            picked = hidden[torch.from_numpy(rows).to(device), torch.from_numpy(places).to(device)]
            wanted = torch.from_numpy(targets[rows, places]).to(device)
            for start in range(0, len(picked), _LOGIT_ROWS):
                here = slice(start, start + _LOGIT_ROWS)
                logits = F.linear(picked[here], model.head.weight).float()
                made = F.cross_entropy(logits, wanted[here], reduction="none").double().cpu().numpy()
                np.add.at(nats, numbers[here], made)
                likeliest = (logits.argmax(-1) == wanted[here]).cpu().numpy()
                np.logical_and.at(greedy, numbers[here], likeliest)
    return nats, greedy


def _padded(group: list[tuple[int, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, targets) of windows by rising length, each [B, T] int64."""
    width = len(group[-1][1])
    tokens = np.zeros((len(group), width), np.int64)
    targets = np.full((len(group), width), IGNORED, np.int64)
    for row, (_, inputs, wanted) in enumerate(group):
        tokens[row, : len(inputs)] = inputs
        targets[row, : len(wanted)] = wanted
    return tokens, targets


def _passes(
    cut: list[tuple[int, np.ndarray, np.ndarray]], tokens_a_pass: int
) -> Iterator[list[tuple[int, np.ndarray, np.ndarray]]]:
    """Windows by rising length, as many a pass as its tokens allow, at least one."""
    group: list[tuple[int, np.ndarray, np.ndarray]] = []
    for window in cut:
        if group and (len(group) + 1) * len(window[1]) > tokens_a_pass:
            yield group
            group = []
        group.append(window)
    if group:
        yield group


@dataclass(frozen=True)
class SegmentSums:
    """What was predicted in the segments of some sequences, an entry a segment."""

    documents: list[str]
    sources: list[str]
    nats: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray


def segment_sums(
    model: Transformer, shards: ShardSet, rows: np.ndarray, micro_batch: int, token_bytes: np.ndarray, masked: bool
) -> Iterator[SegmentSums]:
    """Nats, tokens and bytes by segment, `micro_batch` sequences at a time.

    Args:
        model: left in the mode that it was in.
        shards: what `rows` are of.
        rows: numbers of sequences.
        micro_batch: sequences a forward pass.
        token_bytes: bytes of each id's text; special ones have 0.
        masked: whether documents of a sequence are hidden from each other.
    """
    device = model.embed.weight.device
    with measuring(model):
        for start in range(0, len(rows), micro_batch):
            part = rows[start : start + micro_batch]
            batch = shards.read(part)
            tokens, valid = batch.tokens.to(device), batch.valid.to(device)
            mask = document_mask(batch.segments).to(device) if masked else None
            targets = targets_ahead(tokens, batch.learned.to(device), 1)
            hidden = model(tokens, valid, mask, mtp=False).main[:, :-1]
            nats = token_nats(hidden, model.head.weight, targets).cpu().numpy()
            wanted = targets.cpu().numpy()
            counts = [len(lengths) for lengths in batch.segment_lengths]
            first = np.cumsum([0, *counts[:-1]])[:, None]
            predicted = wanted != IGNORED
            segment = (first + batch.segments.cpu().numpy()[:, 1:])[predicted]
            columns = (nats[predicted], np.ones(len(segment)), token_bytes[wanted[predicted]])
            sums = [np.bincount(segment, column, sum(counts)) for column in columns]
            documents = [name for named in shards.segment_documents(part) for name in named]
            sources = [name for named in shards.segment_sources(part) for name in named]
            yield SegmentSums(documents, sources, *sums)
