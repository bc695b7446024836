"""The dense SwiGLU network of the first layers and of the shared expert, and the one place where matrices are made."""

import torch.nn.functional as F
from torch import Tensor, nn

from corpusmill.training.model.matmul import Linear
from corpusmill.training.model.recompute import remade


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A learnable matrix without bias. Every matrix but embedding, head, router and routed experts comes from here:
    the seam for another number format."""
    return Linear(inputs, outputs)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, element by element."""
    return F.silu(gate) * up


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, dim: int, inter_dim: int) -> None:
        super().__init__()
        self.w1 = linear(dim, inter_dim)
        self.w2 = linear(inter_dim, dim)
        self.w3 = linear(dim, inter_dim)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., D]."""
        return self.w2(remade(swiglu, self.w1(x), self.w3(x)))
