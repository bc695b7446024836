"""Cross-entropy of hidden states a few rows at a time: logits' softmax and every sum in FP32, whatever the states are.

torch's `linear_cross_entropy` returns a sum in the type of its input. A BF16 number of 19,529 nats is 19,456 or 19,584,
and 2,048 tokens came back as 19,712: 0.9 % too much. Here the sum is FP32, and so is the sum of the head's gradient
over chunks. Like torch's, the operator makes both gradients in the forward pass, while a chunk's logits are at hand, so
the logits of a batch never exist whole.

On one CPU core (2,048 x 384 x 8,192) it took 0.29 s where torch's took 0.93 s in BF16 and 0.82 s in FP32; the loss was
within 1e-6 of FP32's, gradients within 0.2 %, as near as BF16 inputs allow. Extra memory: the head's gradient in FP32.

FP32 comes here on CPUs, for the products of `training.model.matmul`: 4,088 x 256 x 8,192 on two busy cores of a Zen 5
took 0.35 s where torch's took 0.71. The head's gradient is summed as [D, V], the orientation that oneDNN multiplies
faster.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from corpusmill.training.model.matmul import product


class _ChunkedCrossEntropy(torch.autograd.Function):
    """See `chunked_cross_entropy`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, head: Tensor, targets: Tensor, chunk: int, ignored: int) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=rows.device)
        by_rows, by_head = torch.empty_like(rows), torch.zeros(head.T.shape, dtype=torch.float32, device=head.device)
        for part, wanted, gradient in zip(rows.split(chunk), targets.split(chunk), by_rows.split(chunk), strict=True):
            logarithms = F.log_softmax(product(part, head), -1, dtype=torch.float32)
            total += F.nll_loss(logarithms, wanted, ignore_index=ignored, reduction="sum")
            # The gradient by logits: softmax, less 1 at the target.
            places = wanted.clamp(min=0).unsqueeze(1)
            slopes = logarithms.exp_()
            slopes.scatter_(1, places, slopes.gather(1, places) - 1)
            slopes = slopes.mul_((wanted != ignored).unsqueeze(1)).to(rows.dtype)
            gradient.copy_(product(slopes, head.T))
            by_head += product(part.T, slopes.T)
        ctx.save_for_backward(by_rows, by_head.T)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        by_rows, by_head = ctx.saved_tensors
        return by_rows * gradients[0], (by_head * gradients[0]).contiguous(), None, None, None


def chunked_cross_entropy(rows: Tensor, head: Tensor, targets: Tensor, chunk: int, ignored: int = -100) -> Tensor:
    """Sum of -log softmax(rows head^T)[target] in nats: an FP32 number, differentiable once.

    Args:
        rows: [N, D], BF16 or FP32.
        head: [V, D], of the same type. Its gradient is FP32 where it collects one (`Tensor.grad_dtype`), else rounded
            at the end.
        targets: [N] int64, `ignored` where nothing is predicted.
        chunk: rows whose logits exist at the same time, in FP32.
        ignored: the mark of such targets, below 0.
    """
    return _ChunkedCrossEntropy.apply(rows, head, targets, chunk, ignored)
