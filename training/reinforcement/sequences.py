"""Prompts with what was written after them, as one padded batch, and the model's pass over it.

The pass is the trainer's own (`Transformer.run_layers`), with three heads on it:

    log-probabilities of the completions' tokens   for GRPO's ratio and divergence; with gradient where it is asked for
    the last token's normalised state              what a reward model scores
    MTP modules on detached states                 so that they keep up with a model that changes

MTP's modules learn to predict the completions' tokens without pulling at anything else: hidden states, embeddings and
head are detached, so the policy's gradient is the same with and without MTP, and the modules remain good drafts.

Memory: activations of B sequences, and logits of `_ROWS` tokens at a time, which are made again in the backward pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from corpusmill.training.model.loss import IGNORED, cross_entropy
from corpusmill.training.model.matmul import linear
from corpusmill.training.model.transformer import Transformer

_ROWS = 1024


@dataclass(frozen=True)
class Sequences:
    """N sequences of at most T tokens, padded at the end."""

    tokens: Tensor
    """int64 [N, T]."""
    valid: Tensor
    """bool [N, T]: not padding."""
    completion: Tensor
    """bool [N, T]: tokens that follow the prompt."""

    @property
    def targets(self) -> Tensor:
        """Where a token of a completion is predicted: bool [N, T - 1]."""
        return self.completion[:, 1:]

    @property
    def lengths(self) -> Tensor:
        """Tokens of each sequence: int64 [N]."""
        return self.valid.sum(1)


def join(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], device: torch.device) -> Sequences:
    """The sequences of N prompts of at least one token with their completions."""
    lengths = [(len(prompt), len(ids)) for prompt, ids in zip(prompts, completions, strict=True)]
    width = max(sum(pair) for pair in lengths)
    rows = [
        [*prompt, *ids, *[0] * (width - len(prompt) - len(ids))]
        for prompt, ids in zip(prompts, completions, strict=True)
    ]
    begins, ends = torch.tensor([(pair[0], sum(pair)) for pair in lengths], device=device).unbind(1)
    places = torch.arange(width, device=device)
    valid = places < ends[:, None]
    tokens = torch.tensor(rows, dtype=torch.int64, device=device)
    return Sequences(tokens, valid, valid & (places >= begins[:, None]))


@dataclass(frozen=True)
class Passed:
    """What the model's pass over sequences gives."""

    normed: Tensor
    """States ready for the head, [N, T, D]."""
    balance: Tensor
    """Balance loss of the routers, summed over sequences and layers."""
    mtp: Tensor
    """Nats of MTP's predictions of the completions' tokens, summed over tokens and averaged over depths."""


def pass_over(model: Transformer, sequences: Sequences, mtp: bool = False) -> Passed:
    """Runs the model; with `mtp` its MTP modules as well, cut off from all else."""
    tokens, valid = sequences.tokens, sequences.valid
    embedded = model.embed(tokens)
    rope = model.rope_for(embedded)
    x, balance = model.run_layers(embedded, range(model.config.n_layers), rope, valid, None)
    loss = balance.new_zeros(())
    if mtp and len(model.mtp):
        apart = model.finish(x.detach(), embedded.detach(), balance.new_zeros(()), rope, valid, None, mtp=True)
        head = model.head.weight.detach()
        for depth, hidden in enumerate(apart.mtp, 1):
            wanted = tokens[:, depth + 1 :].masked_fill(~sequences.completion[:, depth + 1 :], IGNORED)
            loss = loss + cross_entropy(hidden[:, :-1], head, wanted)
        loss = loss / len(model.mtp)
    return Passed(model.norm(x), balance, loss)


def log_probabilities(
    model: Transformer, passed: Passed, sequences: Sequences, temperature: float = 1.0, allowed: int | None = None
) -> Tensor:
    """Log-probabilities FP32 [N, T - 1] of the completions' tokens, 0 elsewhere.

    Args:
        model: whose head it is.
        passed: its pass over the sequences.
        sequences: the same.
        temperature: that the tokens were drawn at: logits are divided by it.
        allowed: ids from this one on could not be drawn.
    """
    places = sequences.targets
    hidden, ids = passed.normed[:, :-1][places], sequences.tokens[:, 1:][places]
    parts = []
    for rows, wanted in zip(hidden.split(_ROWS), ids.split(_ROWS), strict=True):
        arguments = (rows, model.head.weight, wanted, temperature, allowed)
        if torch.is_grad_enabled():
            parts.append(checkpoint(_chosen, *arguments, use_reentrant=False))
        else:
            parts.append(_chosen(*arguments))
    out = torch.zeros(places.shape, dtype=torch.float32, device=places.device)
    return out.masked_scatter(places, torch.cat(parts)) if parts else out


def _chosen(rows: Tensor, head: Tensor, wanted: Tensor, temperature: float, allowed: int | None) -> Tensor:
    """Log-probabilities of one token for each row [M, D]."""
    logits = linear(rows, head[:allowed]).float() / temperature
    return logits.log_softmax(-1).gather(1, wanted[:, None]).squeeze(1)
