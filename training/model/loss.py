"""What is minimised: cross-entropy of the next token, MTP's (eq 24 and 25), and the balance loss.

Everything is returned as sums, so that a batch cut into micro-batches of unequal token counts is divided once, by the
whole batch's count, and equals the uncut batch. Logits of a batch are the largest tensor of training (8,192 tokens x
8,192 ids in FP32: 268 MB), so loss and gradients are made a few rows at a time, in one pass: by torch's
`linear_cross_entropy` in FP32 on GPUs, by `training.model.cross_entropy` on CPUs and in BF16.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from corpusmill.training.model.cross_entropy import chunked_cross_entropy
from corpusmill.training.model.matmul import product
from corpusmill.training.model.transformer import Representations, Transformer

IGNORED = -100
_CPU_ROWS = 128  # 4 MB of logits at 8,192 ids: the chunk stays in the cache between its three matmuls
_GPU_ROWS = 2048
GPU_CHUNKING = "aspect_ratio:2"
"""How torch sizes its chunks, said by name: "auto" means this in torch 2.13, and twice as many rows in 2.14."""


def targets_ahead(tokens: Tensor, learned: Tensor, distance: int) -> Tensor:
    """The token `distance` further on for each position that has one: [B, T - distance], IGNORED where `learned` says
    that the loss does not count it."""
    return tokens[:, distance:].masked_fill(~learned[:, distance:], IGNORED)


def cross_entropy(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Sum over positions of -log softmax(hidden head^T)[target], in nats.

    Args:
        hidden: [B, T, D].
        head: [V, D].
        targets: [B, T], IGNORED where nothing is predicted.

    Returns:
        FP32, whatever the type of the arguments.
    """
    rows, flat = hidden.flatten(0, 1), targets.flatten()
    on_cpu = rows.device.type == "cpu"
    chunk = _CPU_ROWS if on_cpu else _GPU_ROWS
    if not torch.is_grad_enabled():
        # The chunked operators make gradients as they go; without them, plain chunks are the cheaper way.
        total = rows.new_zeros((), dtype=torch.float32)
        for part, wanted in zip(rows.split(chunk), flat.split(chunk), strict=True):
            total += F.cross_entropy(product(part, head).float(), wanted, ignore_index=IGNORED, reduction="sum")
        return total
    if on_cpu or rows.dtype != torch.float32:
        return chunked_cross_entropy(rows, head, flat, chunk, IGNORED)
    options = torch.nn.LinearCrossEntropyOptions(chunking_method=GPU_CHUNKING)
    return F.linear_cross_entropy(rows, head, flat, reduction="sum", ignore_index=IGNORED, options=options)


@dataclass(frozen=True)
class Losses:
    """Sums over a micro-batch, each still to be divided."""

    main: Tensor
    """Nats of all next tokens."""
    mtp: Tensor
    """Nats of the MTP modules' predictions, averaged over depths."""
    balance: Tensor
    """Balance loss without alpha, summed over sequences and layers."""

    def total(self, targets: int, sequences: int, mtp_weight: float, balance_alpha: float) -> Tensor:
        """The batch's loss, to which these sums contribute; see `Divisors` for the arguments."""
        return (self.main + mtp_weight * self.mtp) / targets + balance_alpha / sequences * self.balance

    def sums(self) -> Tensor:
        """Main, MTP and balance loss without gradients: FP64 [3]."""
        return torch.stack([self.main.detach(), self.mtp.detach(), self.balance.detach()]).double()


@dataclass(frozen=True)
class Divisors:
    """What the losses of a step are divided and weighed by."""

    targets: int
    """Next tokens in the whole batch; MTP's sums are also divided by it, although they have fewer terms (eq 24)."""
    sequences: int
    """Sequences in the whole batch."""
    mtp_weight: float
    """lambda of eq 25."""
    balance_alpha: float
    """alpha of eq 17."""

    def total(self, sums: Losses) -> Tensor:
        """The batch's loss, to which a micro-batch's sums contribute."""
        return sums.total(self.targets, self.sequences, self.mtp_weight, self.balance_alpha)


def losses(
    model: Transformer, tokens: Tensor, valid: Tensor, mask: Tensor | None = None, learned: Tensor | None = None
) -> Losses:
    """All three sums for tokens [B, T]; see `Transformer.forward` for the arguments.

    `learned` [B, T]: the tokens that main and MTP loss count as targets; none: all that are valid.
    """
    return losses_of(model(tokens, valid, mask), model.head.weight, tokens, valid if learned is None else learned)


def losses_of(out: Representations, head: Tensor, tokens: Tensor, learned: Tensor) -> Losses:
    """The same of a forward pass that was made."""
    main = cross_entropy(out.main[:, :-1], head, targets_ahead(tokens, learned, 1))
    mtp = main.new_zeros(())
    for depth, hidden in enumerate(out.mtp, 1):
        mtp = mtp + cross_entropy(hidden[:, :-1], head, targets_ahead(tokens, learned, depth + 1))
    return Losses(main, mtp / max(1, len(out.mtp)), out.balance)
