"""Where a model's matrices come from, and how they are multiplied: the seam for another number format.

Every matrix but embedding, head and router is made and multiplied by what a `Matrices` gives: linear layers by
`linear`, and SwiGLU networks, dense ones and those of routed experts alike, by `swiglu`. `PLAIN` computes in the type
of the weights; `training/fp8/policy.py` has the other one.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from corpusmill.training.model.matmul import Linear, grouped, linear
from corpusmill.training.model.recompute import remade

SwigluNetwork = Callable[..., Tensor]
"""(x, w1, w3, w2, ends) to w2(silu(w1 x) * w3 x).

Without `ends`, x is [..., D] and the weights are [I, D], [I, D] and [D, I]. With it, x is rows [N, D] sorted by expert,
`ends` [E] int32 is where each expert's rows end, and the weights have a first axis of E.
"""


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, element by element."""
    return F.silu(gate) * up


def plain_swiglu_network(x: Tensor, w1: Tensor, w3: Tensor, w2: Tensor, ends: Tensor | None = None) -> Tensor:
    """A `SwigluNetwork` in the type of its operands; experts by torch's grouped matmul."""

    def product(rows: Tensor, weight: Tensor) -> Tensor:
        return linear(rows, weight) if ends is None else grouped(rows, weight, ends)

    return product(remade(swiglu, product(x, w1), product(x, w3)), w2)


class Matrices:
    """Makes a model's matrices, in the type of the weights."""

    def linear(self, inputs: int, outputs: int, after_attention: bool = False) -> nn.Linear:
        """A learnable matrix [outputs, inputs] without bias, as a layer.

        Args:
            inputs: width of what it takes.
            outputs: width of what it gives.
            after_attention: whether it takes attention's output, which some formats keep in another way.
        """
        return Linear(inputs, outputs)

    def swiglu(self) -> SwigluNetwork:
        """What computes one SwiGLU network, or one layer's experts."""
        return plain_swiglu_network


PLAIN = Matrices()
