"""Products with a weight matrix by the faster of the two libraries that torch has on a CPU.

torch multiplies FP32 matrices with MKL, Intel's library, which on AMD's processors stays at less than half of what
they can do; oneDNN, the other library in torch's builds for x86, does not. On one
core of a Zen 5 (4,096 rows, widths of `laptop`) MKL ran at 110 to 120 GFLOP/s and oneDNN at 250 to 280; products for
a weight's gradient, whose operands are both transposed, at 110 and 170 to 235. oneDNN takes transposed operands as
they are; copies were no faster. Operands with gaps between their rows are still copied: on slices
of attention's heads (512 rows 384 apart) oneDNN took 240 to 630 ms for what takes 0.4 without gaps.

Which library serves depends on the machine alone, never on a measurement: a run gives the same bits each time. Sums
are FP32 in both; their order differs, so numbers of two machines agree up to rounding, as they do anyway.

BF16 products on CPUs that have instructions for them are oneDNN's in torch. On others (AVX2, or AVX-512 without BF16)
torch took 287 ms for 4,096 x 256 x 768, which is 10 times what FP32 takes; there operands are widened to FP32, which is
exact, and the result is rounded: the same numbers but for the order of FP32 sums.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from corpusmill.dataproc.operating_system import made_by_amd


@cache
def onednn_is_faster() -> bool:
    """Whether this is a machine on which MKL computes FP32 products more slowly than the processor could."""
    return (
        made_by_amd() and torch.backends.mkldnn.is_available() and "AVX512" in torch.backends.cpu.get_cpu_capability()
    )


def takes_onednn(*operands: Tensor) -> bool:
    """Whether a product of these is one for oneDNN here: plain FP32 tensors in the memory of such a machine."""
    return onednn_is_faster() and all(
        operand.device.type == "cpu"
        and operand.dtype == torch.float32
        and operand.layout == torch.strided
        and operand.numel()
        for operand in operands
    )


@cache
def widens_bfloat16() -> bool:
    """Whether this CPU has no instructions for BF16 products."""
    return not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def widened(*operands: Tensor) -> bool:
    """Whether a product of these is to be made in FP32: BF16 tensors in the memory of such a machine."""
    return widens_bfloat16() and all(
        operand.device.type == "cpu" and operand.dtype == torch.bfloat16 and operand.layout == torch.strided
        for operand in operands
    )


def product(a: Tensor, b: Tensor) -> Tensor:
    """a b^T of a [M, K] and b [N, K], whatever their strides: [M, N]. Without gradient where oneDNN serves."""
    if takes_onednn(a, b):
        return torch.ops.mkldnn._linear_pointwise(_without_gaps(a), _without_gaps(b), None, "none", [], "")
    if widened(a, b):
        return (a.float() @ b.float().t()).bfloat16()
    return a @ b.t()


def _without_gaps(matrix: Tensor) -> Tensor:
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """a^T b of a [K, M] and b [K, N]: contiguous [M, N]. The wider operand gives oneDNN's columns, which is up to a
    quarter faster (230 against 180 GFLOP/s for widths of 128 and 384)."""
    if a.shape[1] > b.shape[1]:
        return product(b.t(), a.t()).t().contiguous()
    return product(a.t(), b.t())


class _Linear(torch.autograd.Function):
    """x W^T and its two gradients, all by `product`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x.flatten(0, -2), weight).unflatten(0, x.shape[:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows = gradients[0].flatten(0, -2)
        for_x = product(rows, weight.t()).view_as(x) if ctx.needs_input_grad[0] else None
        for_weight = transposed_product(rows, x.flatten(0, -2)) if ctx.needs_input_grad[1] else None
        return for_x, for_weight


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T: [..., D] and a weight [O, D] to [..., O]. Differentiable once."""
    if (takes_onednn(x, weight) or widened(x, weight)) and x.dim() > 1 and x.numel():
        return _Linear.apply(x, weight)
    return F.linear(x, weight)


class _WidenedGrouped(torch.autograd.Function):
    """`grouped` and its two gradients in FP32, of BF16 operands that stay BF16 in between."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight, ends)
        return F.grouped_mm(rows.float(), weight.float().transpose(1, 2), offs=ends).bfloat16()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        rows, weight, ends = ctx.saved_tensors
        slopes = gradients[0].float()
        for_rows = F.grouped_mm(slopes, weight.float(), offs=ends).bfloat16() if ctx.needs_input_grad[0] else None
        for_weight = F.grouped_mm(slopes.t(), rows.float(), offs=ends).bfloat16() if ctx.needs_input_grad[1] else None
        return for_rows, for_weight, None


def grouped(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """Rows [N, D], each times its expert's matrix of a weight [E, O, D]: [N, O]. `ends` [E] int32 says where each
    expert's rows end."""
    if widened(rows, weight):
        return _WidenedGrouped.apply(rows, weight, ends)
    return F.grouped_mm(rows, weight.transpose(1, 2), offs=ends)


class Linear(nn.Linear):
    """A learnable matrix without bias, multiplied by `linear`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        return linear(input, self.weight)
