"""The dense SwiGLU network of the first layers and of the shared expert."""

from torch import Tensor, nn

from corpusmill.training.model.matrices import PLAIN, Matrices


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, dim: int, inter_dim: int, matrices: Matrices = PLAIN) -> None:
        super().__init__()
        self.w1 = matrices.linear(dim, inter_dim)
        self.w2 = matrices.linear(inter_dim, dim)
        self.w3 = matrices.linear(dim, inter_dim)
        self.network = matrices.swiglu()

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., D]."""
        return self.network(x, self.w1.weight, self.w3.weight, self.w2.weight)
