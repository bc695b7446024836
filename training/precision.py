"""BF16 mixed precision: which numbers a model may keep in 16 bits, and where the other 16 are needed.

BF16 has FP32's range and 8 bits of mantissa: two numbers less than 0.4 % apart are often one. Matrix products bear
that, because their sums are kept in FP32 inside the kernel and errors of single factors average out. What adds up many
small things does not, and stays in FP32 (compare section 3.3.1, where FP8 takes the place of BF16):

- master weights: an update of 1e-4 of a weight is far below BF16's step and would vanish each time;
- gradients over micro-batches and ranks;
- the router: scores that BF16 makes equal would be decided by the order of experts;
- softmax of attention, sums of norms, RoPE's rotation and the losses, inside their operators.

A matrix's gradient leaves its product in BF16, is widened and added at once (`Tensor.grad_dtype`), so at any time only
one gradient exists in both types. Activations are BF16 because embeddings are.
"""

import torch
from torch import Tensor, nn

from corpusmill.training.model.moe import Gate

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "fp8": torch.bfloat16}
"""Types of weights and activations by the words of the settings; FP8 is a matter of products (`training/fp8/`)."""


def compute_types(model: nn.Module, precision: str) -> dict[str, torch.dtype]:
    """The type that each parameter is computed in, by name, in the model's order."""
    routers = {
        f"{prefix}.weight" if prefix else "weight"
        for prefix, module in model.named_modules()
        if isinstance(module, Gate)
    }
    return {name: torch.float32 if name in routers else TYPES[precision] for name, _ in model.named_parameters()}


def set_compute_weight(parameter: nn.Parameter, values: Tensor) -> None:
    """Lets a parameter compute with `values`, of whatever type, and collect its gradient in FP32.

    The parameter takes the tensor over, so writing to one later writes to the other.
    """
    parameter.data = values
    parameter.grad_dtype = torch.float32  # type: ignore[attr-defined]
