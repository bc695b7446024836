"""GRPO's loss (DeepSeek-V3 report, eq 26 to 28; DeepSeekMath, arXiv 2402.03300, eq 3), as functions of tensors.

For a prompt q, G outputs o_i are drawn from the old policy and rewarded; no critic is trained. With A_i the reward
normalised within its group (eq 28) and r the ratio of new to old probability, an output's loss is

    - [ min(r A_i, clip(r, 1 - e, 1 + e) A_i) - beta (p_ref / p - log(p_ref / p) - 1) ]        (eq 26 and 27)

The last term estimates the KL divergence from the reference without bias, and is never negative. The report prints
ratio and divergence for whole outputs; DeepSeekMath, which it cites, takes both for each token and averages over the
output's tokens. Both are here: "token", the usual choice, and "output", as printed, whose ratio is a product over all
tokens and so leaves the clipping range sooner the longer an output is.

A group whose rewards are all equal says nothing about which of its outputs was better: its advantages are 0 (0 / 0 is
defined, not nudged by a small number), and only the divergence moves the model.

Cost: a few passes over N x T numbers, where the model's own pass makes N x T x V logits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def normalised(rewards: Tensor, scale: bool = True) -> Tensor:
    """Advantages [P, G] of rewards [P, G]: each less its group's mean, over the group's standard deviation (eq 28).

    Args:
        rewards: of G outputs for each of P prompts; finite.
        scale: whether to divide by the standard deviation (of the group itself: over G, not G - 1).

    Returns:
        FP64; exactly 0 for a group whose rewards are all equal.
    """
    values = rewards.double()
    equal = values.amax(1, keepdim=True) == values.amin(1, keepdim=True)
    apart = values - values.mean(1, keepdim=True)
    if scale:
        apart = apart / apart.square().mean(1, keepdim=True).sqrt().masked_fill(equal, 1.0)
    return apart.masked_fill(equal, 0.0)


@dataclass(frozen=True)
class Terms:
    """Sums over the outputs of a micro-batch, each still to be divided by the outputs of the whole batch."""

    policy: Tensor
    """The clipped objective, negated, with gradient."""
    divergence: Tensor
    """The estimate of the KL divergence from the reference, without beta, with gradient."""
    clipped: Tensor
    """Share of an output's tokens (or 1 for an output) where clipping cut the gradient off, without gradient."""

    def total(self, outputs: int, beta: float) -> Tensor:
        """This micro-batch's part of the batch's loss."""
        return (self.policy + beta * self.divergence) / outputs


def grpo_terms(
    new: Tensor,
    old: Tensor,
    reference: Tensor | None,
    advantages: Tensor,
    sampled: Tensor,
    *,
    clip_below: float = 0.2,
    clip_above: float = 0.2,
    ratio: str = "token",
) -> Terms:
    """The terms of N outputs of at most T tokens.

    Args:
        new: log-probabilities [N, T] of the tokens under the model in training, with gradient.
        old: the same under the model that drew them.
        reference: the same under the reference; None where beta is 0.
        advantages: [N].
        sampled: [N, T] bool: which places are tokens of the output; the others count nothing.
        clip_below: epsilon below 1.
        clip_above: epsilon above 1.
        ratio: "token" or "output".
    """
    weights = sampled.to(new.dtype)
    ahead = ((new - old.detach()) * weights).to(new.dtype)
    behind = ((reference.detach() - new) * weights).to(new.dtype) if reference is not None else None
    if ratio == "token":
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
    elif ratio == "output":
        ahead = ahead.sum(1, keepdim=True)
        behind = behind.sum(1, keepdim=True) if behind is not None else None
        weights = torch.ones_like(ahead)
    else:
        raise ValueError(f"ratio is {ratio!r}")
    gain = advantages.to(new.dtype)[:, None]
    ratios = ahead.exp()
    kept = ratios.clamp(1 - clip_below, 1 + clip_above)
    objective = torch.minimum(ratios * gain, kept * gain)
    outside = ((ratios < 1 - clip_below) & (gain < 0)) | ((ratios > 1 + clip_above) & (gain > 0))
    divergence = behind.exp() - behind - 1 if behind is not None else torch.zeros_like(objective)
    return Terms(
        -(objective * weights).sum(), (divergence * weights).sum(), (outside.to(new.dtype) * weights).sum().detach()
    )
