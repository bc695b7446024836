"""Triton: products of E4M3 with scales of 1 x 128 and 128 x 128, dense and over experts' offsets.

Two kernels do all. `product_kernel` sums over features: rows in tiles with blocks of weights (forward and dgrad), and
for routed experts the matrix of the expert that a program's 128 rows belong to, which is one because ends are multiples
of 128. `weight_gradient_kernel` sums over tokens: both operands in tiles, for experts each over its own tokens.

Both add up 128 products in the tensor core, then scale and add in FP32 registers: the promotion of section 3.3.2 at the
interval where scales change anyway. Both operands lie with the summed axis last, which Hopper's FP8 instructions
demand."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from corpusmill.training.fp8.kernels.launch import bytes_of, ceil_div, interpreted
from corpusmill.training.fp8.kernels.quantize import decode_bits, rounded_to_bfloat16
from corpusmill.training.fp8.quantize import TILE, Blocks, Tiles


@triton.jit
def multiply(a, b, INTERPRETED: tl.constexpr):
    """a [M, 128] times b [128, N] of codes, summed in FP32."""
    if INTERPRETED:
        return tl.dot(decode_bits(a), decode_bits(b), input_precision="ieee")
    return tl.dot(a.to(tl.float8e4nv, bitcast=True), b.to(tl.float8e4nv, bitcast=True))


@triton.jit
def product_kernel(
    a,
    a_scales,
    b,
    b_scales,
    out,
    ends,
    M,
    N,
    K,
    EXPERTS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """A square BLOCK_M x 128 of out [M, N] BF16 = a [M, K] b^T, b [N, K] or [EXPERTS, N, K]."""
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(0) * 128 + tl.arange(0, 128)
    tiles, blocks = tl.cdiv(K, 128), tl.cdiv(N, 128)
    if EXPERTS > 0:
        numbers = tl.arange(0, triton.next_power_of_2(EXPERTS))
        own_ends = tl.load(ends + numbers, mask=numbers < EXPERTS, other=2147483647)
        expert = tl.sum((own_ends <= tl.program_id(1) * BLOCK_M).to(tl.int32))
        # Places behind the last expert's are nobody's: what they get is not read.
        expert = tl.minimum(expert, EXPERTS - 1).to(tl.int64)
        b += expert * N * K
        b_scales += expert * blocks * tiles
    total = tl.zeros((BLOCK_M, 128), tl.float32)
    for tile in range(0, tiles):
        inner = tile * 128 + tl.arange(0, 128)
        left = tl.load(
            a + rows[:, None].to(tl.int64) * K + inner[None, :],
            mask=(rows[:, None] < M) & (inner[None, :] < K),
            other=0,
        )
        right = tl.load(
            b + columns[None, :].to(tl.int64) * K + inner[:, None],
            mask=(columns[None, :] < N) & (inner[:, None] < K),
            other=0,
        )
        left_scale = tl.load(a_scales + rows.to(tl.int64) * tiles + tile, mask=rows < M, other=0.0)
        right_scale = tl.load(b_scales + tl.program_id(0) * tiles + tile)
        total += multiply(left, right, INTERPRETED) * (left_scale * right_scale)[:, None]
    places = rows[:, None].to(tl.int64) * N + columns[None, :]
    tl.store(
        out + places, rounded_to_bfloat16(total).to(tl.bfloat16), mask=(rows[:, None] < M) & (columns[None, :] < N)
    )


@triton.jit
def weight_gradient_kernel(
    a,
    a_scales,
    b,
    b_scales,
    out,
    ends,
    M,
    N,
    K,
    EXPERTS: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """A square 128 x 128 of out [N, K] FP32, or of one expert's of [EXPERTS, N, K] = a [N, M] b^T, b [K, M]."""
    rows = tl.program_id(1) * 128 + tl.arange(0, 128)
    columns = tl.program_id(0) * 128 + tl.arange(0, 128)
    tiles = tl.cdiv(M, 128)
    first, last = 0, tiles
    if EXPERTS > 0:
        expert = tl.program_id(2)
        last = tl.cdiv(tl.load(ends + expert), 128)
        if expert > 0:
            first = tl.cdiv(tl.load(ends + expert - 1), 128)
        out += expert.to(tl.int64) * N * K
    total = tl.zeros((128, 128), tl.float32)
    for tile in range(first, last):
        inner = tile * 128 + tl.arange(0, 128)
        left = tl.load(
            a + rows[:, None].to(tl.int64) * M + inner[None, :],
            mask=(rows[:, None] < N) & (inner[None, :] < M),
            other=0,
        )
        right = tl.load(
            b + columns[None, :].to(tl.int64) * M + inner[:, None],
            mask=(columns[None, :] < K) & (inner[:, None] < M),
            other=0,
        )
        left_scale = tl.load(a_scales + rows.to(tl.int64) * tiles + tile, mask=rows < N, other=0.0)
        right_scale = tl.load(b_scales + columns.to(tl.int64) * tiles + tile, mask=columns < K, other=0.0)
        total += multiply(left, right, INTERPRETED) * (left_scale[:, None] * right_scale[None, :])
    places = rows[:, None].to(tl.int64) * K + columns[None, :]
    tl.store(out + places, total, mask=(rows[:, None] < N) & (columns[None, :] < K))


def product(a: Tiles, b: Blocks, ends: Tensor | None = None) -> Tensor:
    """See `training/fp8/backend.py`."""
    (height, inner), width = a.codes.shape, b.codes.shape[-2]
    out = torch.empty(height, width, dtype=torch.bfloat16, device=a.codes.device)
    if out.numel():
        experts = 0 if ends is None else len(ends)
        block = 128 if experts or height > 64 else 64
        product_kernel[(ceil_div(width, TILE), ceil_div(height, block))](
            *_operand(a), *_operand(b), out, out if ends is None else ends, height, width, inner,
            experts, block, interpreted(), num_warps=8 if block == 128 else 4,
        )  # fmt: skip
    return out


def weight_gradient(a: Tiles, b: Tiles, ends: Tensor | None = None) -> Tensor:
    """See `training/fp8/backend.py`."""
    (height, inner), width = a.codes.shape, b.codes.shape[0]
    shape = (height, width) if ends is None else (len(ends), height, width)
    out = torch.empty(shape, dtype=torch.float32, device=a.codes.device)
    if out.numel():
        experts = 0 if ends is None else len(ends)
        weight_gradient_kernel[(ceil_div(width, TILE), ceil_div(height, TILE), max(1, experts))](
            *_operand(a), *_operand(b), out, out if ends is None else ends, inner, height, width,
            experts, interpreted(), num_warps=8,
        )  # fmt: skip
    return out


def _operand(quantized: Tiles | Blocks) -> tuple[Tensor, Tensor]:
    """Codes as bytes, and scales, both with the summed axis last."""
    return bytes_of(quantized.codes.contiguous()), quantized.scales.contiguous()
