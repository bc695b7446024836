"""Where a model's parts are: the seam for expert and pipeline parallelism.

A model is built of what is `HERE`, all on one device, unless it is given another placement: which routed experts of a
layer this rank has, and what brings tokens to them and back (`training/parallel/expert.py`). Which layers a rank has is
decided by taking the others away from a model without memory (`training/parallel/stages.py`).

Legend: N tokens, D width, E experts, K chosen experts a token.
"""

from typing import Any, Protocol

import torch
from torch import Tensor


class Exchange(Protocol):
    """One layer's tokens on their way to experts and back."""

    ends: Tensor
    """[local experts] int32: where each expert's rows end, once they were sent."""

    def send(self, x: Tensor) -> Tensor:
        """Tokens [N, D] to rows of the experts that are here, sorted by expert."""

    def combine(self, rows: Tensor) -> Tensor:
        """The experts' outputs to tokens [N, D], each the sum of its experts' rows weighed by its gates."""


class _Gather(torch.autograd.Function):
    """Row i of the result is token order[i] // K. The gradient is gathered by the inverse and summed over a token's K
    copies: no order of additions is left to chance, as it would be with the scatter that autograd derives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor, copies: int) -> Tensor:
        ctx.save_for_backward(inverse)
        ctx.copies = copies
        return x.index_select(0, order // copies)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inverse,) = ctx.saved_tensors
        return gradients[0].index_select(0, inverse).unflatten(0, (-1, ctx.copies)).sum(1), None, None, None


class _Permute(torch.autograd.Function):
    """Rows by a permutation, whose gradient is rows by its inverse: a gather both ways."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return gradients[0].index_select(0, inverse), None, None


class Dispatch:
    """An `Exchange` on one device: tokens are sorted by expert, and back.

    Args:
        chosen: [N, K], each token's experts.
        gates: [N, K], what each of them counts.
        n_experts: E.
    """

    def __init__(self, chosen: Tensor, gates: Tensor, n_experts: int) -> None:
        self.n_chosen, self.gates = chosen.shape[1], gates
        flat = chosen.flatten()
        self.order = flat.argsort(stable=True)
        self.inverse = torch.empty_like(self.order)
        self.inverse[self.order] = torch.arange(len(flat), device=flat.device)
        self.ends = torch.bincount(flat, minlength=n_experts).cumsum(0).to(torch.int32)

    def send(self, x: Tensor) -> Tensor:
        """Tokens [N, D] to rows [N K, D]."""
        return _Gather.apply(x, self.order, self.inverse, self.n_chosen)

    def combine(self, rows: Tensor) -> Tensor:
        """Expert outputs [N K, D] to tokens [N, D]."""
        copies = _Permute.apply(rows, self.inverse, self.order).unflatten(0, (-1, self.n_chosen))
        return (copies * self.gates.unsqueeze(-1).to(copies.dtype)).sum(1)


class Placement:
    """All experts are on this device."""

    def experts(self, n_experts: int) -> range:
        """Which of a layer's routed experts are here."""
        return range(n_experts)

    def record(self) -> dict[str, Any]:
        """What was measured of exchanges, and what they have sent so far; differs from run to run."""
        return {}

    def exchange(self, chosen: Tensor, gates: Tensor, n_experts: int) -> Exchange:
        """What brings the tokens of one layer to the experts that they chose."""
        return Dispatch(chosen, gates, n_experts)


HERE = Placement()
