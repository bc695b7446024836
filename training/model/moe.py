"""DeepSeekMoE (section 2.1.2): sigmoid gates, a bias that only selects, no token dropped, no auxiliary-loss tug-of-war.

A router scores each token against every expert's centroid. Which experts a token goes to follows score plus bias; how
much each counts follows the score alone. The bias is not trained: after each step it goes up for experts that got too
few tokens of the whole batch and down for those that got too many. A very small loss (alpha 1e-4) additionally keeps
single sequences from leaning on few experts.

Tokens are sorted by expert and multiplied by grouped matmuls: one call for all experts, whatever their loads.
Where experts are, and how tokens get there, is a matter of the placement (`training/model/placement.py`).

What the report leaves open is settled here: f_i of the balance loss ranks the raw scores as eq 18 prints it (no bias,
no group limit); the loss is averaged over sequences and summed over layers, MTP's included; padding counts nowhere.

Legend: N tokens, D width, E experts, K chosen experts a token, I an expert's inner width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corpusmill.training.model.config import ModelConfig
from corpusmill.training.model.feedforward import FeedForward
from corpusmill.training.model.matrices import PLAIN, Matrices
from corpusmill.training.model.placement import HERE, Exchange, Placement
from corpusmill.training.model.recompute import remade


class Gate(nn.Module):
    """The router, in FP32 whatever the model's type: sigmoid scores, group-limited top-K by score plus bias.

    `bias` [E] is saved with the model. `load` [E] counts the tokens that each expert received since the last bias
    update, over all micro-batches of a step; it is not saved, because checkpoints lie between steps.
    """

    bias: Tensor
    load: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.dim))
        self.register_buffer("bias", torch.zeros(config.n_routed_experts, dtype=torch.float32))
        self.register_buffer("load", torch.zeros(config.n_routed_experts, dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Chooses experts for tokens x [N, D] (eq 13 to 16).

        Args:
            x: tokens.
            valid: [N], false for padding, which is routed like any token but not counted in `load`.

        Returns:
            scores [N, E] FP32 (sigmoid), chosen experts [N, K] int64, gates [N, K] FP32 that sum to `route_scale`.
        """
        inputs = x if x.dtype == torch.float32 else remade(Tensor.float, x)
        scores = F.linear(inputs, self.weight.float()).sigmoid()
        chosen = self.select(scores.detach())
        picked = scores.gather(1, chosen)
        gates = picked / picked.sum(-1, keepdim=True) * self.config.route_scale
        if self.training:
            self.load += count_choices(chosen, valid, self.config.n_routed_experts)
        return scores, chosen, gates

    def select(self, scores: Tensor) -> Tensor:
        """The experts [N, K] that score plus bias chooses, within the M best groups.

        A group is worth the sum of its K/M highest keys, bias included.
        """
        c = self.config
        keys = scores + self.bias
        if c.n_limited_groups < c.n_expert_groups:
            grouped = keys.unflatten(-1, (c.n_expert_groups, -1))
            worth = grouped.topk(c.n_activated_experts // c.n_limited_groups, -1).values.sum(-1)
            kept = torch.zeros_like(worth, dtype=torch.bool).scatter_(
                1, worth.topk(c.n_limited_groups, -1).indices, True
            )
            keys = grouped.masked_fill(~kept.unsqueeze(-1), float("-inf")).flatten(1)
        return keys.topk(c.n_activated_experts, -1).indices


def count_choices(chosen: Tensor, valid: Tensor, n_experts: int) -> Tensor:
    """How many valid tokens chose each expert: [E] int64, exact in any order."""
    marks = torch.zeros(len(chosen), n_experts, dtype=torch.bool, device=chosen.device).scatter_(1, chosen, True)
    return (marks & valid.unsqueeze(1)).sum(0)


def balance_loss(scores: Tensor, valid: Tensor, n_activated: int) -> Tensor:
    """The sequence-wise balance loss (eq 17 to 20) without its factor alpha, summed over sequences.

    For each sequence the sum over experts of f_i P_i, which is 1 where scores are uniform. The gradient reaches the
    router through P alone; f is a count.

    Args:
        scores: raw router scores [B, T, E].
        valid: [B, T], false for padding.
        n_activated: K.
    """
    n_experts = scores.shape[-1]
    lengths = valid.sum(1, keepdim=True).clamp(min=1)
    weights = (valid / lengths).unsqueeze(-1)
    highest = scores.detach().topk(n_activated, -1).indices
    share = torch.zeros_like(scores).scatter_(-1, highest, 1.0)
    frequency = (share * weights).sum(1) * (n_experts / n_activated)
    probability = (scores / scores.sum(-1, keepdim=True) * weights).sum(1)
    return (frequency * probability).sum()


class Experts(nn.Module):
    """The routed experts' SwiGLU networks, their matrices stacked: w1 and w3 [E, I, D], w2 [E, D, I].

    `here` says which of all experts these are; E is their number.
    """

    def __init__(self, config: ModelConfig, matrices: Matrices = PLAIN, placement: Placement = HERE) -> None:
        super().__init__()
        self.n_experts = config.n_routed_experts
        self.here = placement.experts(config.n_routed_experts)
        n, dim, inner = len(self.here), config.dim, config.moe_inter_dim
        self.w1 = nn.Parameter(torch.empty(n, inner, dim))
        self.w2 = nn.Parameter(torch.empty(n, dim, inner))
        self.w3 = nn.Parameter(torch.empty(n, inner, dim))
        self.network = matrices.swiglu()

    def forward(self, rows: Tensor, ends: Tensor) -> Tensor:
        """Rows [N K, D] sorted by expert, whose ends are `ends` [E] int32, to rows [N K, D]."""
        return self.network(rows, self.w1, self.w3, self.w2, ends)


@dataclass(frozen=True)
class Sent:
    """Rows at experts, and how they get back."""

    exchange: Exchange
    rows: Tensor


class MoE(nn.Module):
    """Shared expert plus the chosen routed experts (eq 12)."""

    def __init__(self, config: ModelConfig, matrices: Matrices = PLAIN, placement: Placement = HERE) -> None:
        super().__init__()
        self.config, self.placement = config, placement
        self.gate = Gate(config)
        self.experts = Experts(config, matrices, placement)
        inner = config.n_shared_experts * config.moe_inter_dim
        self.shared_experts = FeedForward(config.dim, inner, matrices) if inner else None

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, D] to ([B, T, D], balance loss without alpha, summed over sequences). `valid` [B, T]: not padding.

        Its three parts may be called apart, by a schedule that lets those of two micro-batches run beside each other.
        """
        sent, balance = self.dispatch(x, valid)
        return self.combine(x, self.compute(sent)), balance

    def dispatch(self, x: Tensor, valid: Tensor) -> tuple[Sent, Tensor]:
        """Tokens on their way to the experts that they choose, and the balance loss."""
        tokens = x.flatten(0, 1)
        scores, chosen, gates = self.gate(tokens, valid.flatten())
        exchange = self.placement.exchange(chosen, gates, self.config.n_routed_experts)
        balance = balance_loss(scores.unflatten(0, x.shape[:2]), valid, self.config.n_activated_experts)
        return Sent(exchange, exchange.send(tokens)), balance

    def compute(self, sent: Sent) -> Sent:
        """The experts' results for rows that were sent."""
        return Sent(sent.exchange, self.experts(sent.rows, sent.exchange.ends))

    def combine(self, x: Tensor, sent: Sent) -> Tensor:
        """The results at their tokens again, with the shared experts'."""
        routed = sent.exchange.combine(sent.rows).view_as(x)
        return routed if self.shared_experts is None else routed + self.shared_experts(x)


@dataclass(frozen=True)
class Slice:
    """Which part of a tensor a parameter is: some of the rows along its first axis."""

    shape: tuple[int, ...]
    """Of the whole."""
    start: int
    """The first row that is here."""


def slices(model: nn.Module) -> dict[str, Slice]:
    """The parameters of a model that are parts of larger tensors, by name: those of experts that are spread."""
    parts = {}
    for prefix, module in model.named_modules():
        if isinstance(module, Experts) and len(module.here) != module.n_experts:
            for name, parameter in module.named_parameters(recurse=False):
                parts[f"{prefix}.{name}"] = Slice((module.n_experts, *parameter.shape[1:]), module.here.start)
    return parts


def routers(model: nn.Module) -> list[Gate]:
    """All routers of a model, main layers first and MTP's last."""
    return [module for module in model.modules() if isinstance(module, Gate)]


def take_loads(model: nn.Module) -> Tensor:
    """What each router's experts received since this was last asked, on this rank; the routers count from 0 again.

    With data parallelism loads are to be summed over ranks before biases follow from them.

    Returns:
        int64 [R, E], in the order of `routers`.
    """
    gates = routers(model)
    if not gates:
        return torch.zeros(0, 0, dtype=torch.int64)
    loads = torch.stack([router.load for router in gates])
    for router in gates:
        router.load.zero_()
    return loads


@torch.no_grad()
def update_biases(model: nn.Module, loads: Tensor, speed: float) -> None:
    """Ends a step for every router of a model: bias += speed * sign(mean load - load), by the loads [R, E] of all."""
    for router, load in zip(routers(model), loads.double(), strict=True):
        router.bias += speed * torch.sign(load.mean() - load).to(torch.float32)


def violations(loads: Tensor) -> list[float]:
    """For each router the highest load over the mean load, less 1: 0 is even; also 0 where nothing was routed."""
    counts = loads.double()
    mean = counts.mean(1).clamp(min=1e-9)
    return torch.where(counts.sum(1) > 0, counts.amax(1) / mean - 1, 0.0).tolist() if counts.numel() else []
