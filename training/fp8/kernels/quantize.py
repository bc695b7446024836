"""Triton: values to E4M3 with scales of 1 x 128, along rows, columns or both in one reading; SwiGLU before it.

The bits are those of `training/fp8/quantize.py`. Three things make them so. The largest magnitude is taken of bit
patterns as integers, in which infinity and NaN are the largest, so a group with one of them is seen. Divisions are
`div_rn`, rounded as IEEE has it; Triton's `/` is not. And the cast is bit arithmetic: a float8 cast in Triton 3.9's
interpreter is wrong wherever rounding carries into the exponent (-127.98 became -64), and one definition for both is
better than two.

A program reads a square of 128 x 128 values once, so tiles of both directions cost one reading of BF16 and two writings
of a byte: 4 bytes a value, of which the time is.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from corpusmill.training.fp8.kernels.launch import bytes_of, ceil_div
from corpusmill.training.fp8.quantize import SMALLEST_AMAX, TILE, Tiles

_SMALLEST = tl.constexpr(SMALLEST_AMAX)


@triton.jit
def encode_bits(scaled):
    """FP32 to E4M3 codes (uint8): clamped, to nearest, ties to even. NaN is the caller's."""
    bits = scaled.to(tl.uint32, bitcast=True)
    sign = (bits >> 24) & 0x80
    magnitude = bits & 0x7FFFFFFF
    # Normal numbers: round away 20 bits of the mantissa, then the exponent's bias from 127 to 7.
    normal = ((magnitude + 0x7FFFF + ((magnitude >> 20) & 1)) >> 20) - 960
    # Below 2^-6: adding 2^14, whose step is 2^-9, rounds to subnormal numbers.
    small = (magnitude.to(tl.float32, bitcast=True) + 16384.0).to(tl.uint32, bitcast=True) & 0xFF
    code = tl.where(magnitude < 0x3C800000, small, normal)
    code = tl.where(magnitude > 0x43E00000, 0x7E, code)
    return (code | sign).to(tl.uint8)


@triton.jit
def decode_bits(codes):
    """E4M3 codes (uint8) to FP32, exactly but for NaN, whose scale is NaN."""
    bits = codes.to(tl.uint32)
    shifted = ((bits & 0x80) << 24) | ((bits & 0x7F) << 20)
    return shifted.to(tl.float32, bitcast=True) * 1329227995784915872903807060280344576.0  # 2^120: the biases' distance


@triton.jit
def rounded_to_bfloat16(values):
    """FP32 to the nearest BF16 number, as FP32: by bits, since the interpreter's cast cuts off."""
    bits = values.to(tl.uint32, bitcast=True)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).to(tl.float32, bitcast=True)
    return tl.where(values == values, rounded, values)


@triton.jit
def group_scale(largest_bits, POWER_OF_TWO: tl.constexpr):
    """(scales, factors) of groups by the bits of their largest magnitudes; NaN where those are not finite."""
    bad = largest_bits >= 0x7F800000
    amax = tl.maximum(tl.where(bad, 0, largest_bits).to(tl.float32, bitcast=True), _SMALLEST)
    scale = tl.div_rn(amax, tl.full(amax.shape, 448.0, tl.float32))
    if POWER_OF_TWO:
        exponent = (scale.to(tl.int32, bitcast=True) + 0x7FFFFF) >> 23
        scale = (exponent << 23).to(tl.float32, bitcast=True)
        factor = ((254 - exponent) << 23).to(tl.float32, bitcast=True)
    else:
        factor = tl.div_rn(tl.full(amax.shape, 448.0, tl.float32), amax)
    return tl.where(bad, float("nan"), scale), factor, bad


@triton.jit
def store_tiles(
    values, codes, scales, rows, columns, M, N, AXIS: tl.constexpr, POWER_OF_TWO: tl.constexpr, TILES, tile
):
    """Quantises a square [128, 128] with groups along AXIS (1: along N, rows as they are; 0: along M, transposed)."""
    bits = values.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    scale, factor, bad = group_scale(tl.max(bits, axis=AXIS), POWER_OF_TWO)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    if AXIS == 1:
        code = tl.where(bad[:, None], 0x7F, encode_bits(values * factor[:, None]).to(tl.int32)).to(tl.uint8)
        tl.store(codes + rows[:, None].to(tl.int64) * N + columns[None, :], code, mask=inside)
        tl.store(scales + rows.to(tl.int64) * TILES + tile, scale, mask=rows < M)
    else:
        code = tl.where(bad[None, :], 0x7F, encode_bits(values * factor[None, :]).to(tl.int32)).to(tl.uint8)
        tl.store(codes + columns[None, :].to(tl.int64) * M + rows[:, None], code, mask=inside)
        tl.store(scales + columns.to(tl.int64) * TILES + tile, scale, mask=columns < N)


@triton.jit
def quantize_kernel(
    x,
    x2,
    row_codes,
    row_scales,
    column_codes,
    column_scales,
    M,
    N,
    stride_m,
    stride_n,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SWIGLU: tl.constexpr,
    POWER_OF_TWO: tl.constexpr,
):
    """A square of 128 x 128 of x [M, N]; with SWIGLU of silu(x) * x2, each operation rounded to BF16."""
    rows = tl.program_id(0) * 128 + tl.arange(0, 128)
    columns = tl.program_id(1) * 128 + tl.arange(0, 128)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    places = rows[:, None].to(tl.int64) * stride_m + columns[None, :].to(tl.int64) * stride_n
    values = tl.load(x + places, mask=inside, other=0.0).to(tl.float32)
    if SWIGLU:
        other = tl.load(x2 + places, mask=inside, other=0.0).to(tl.float32)
        silu = rounded_to_bfloat16(tl.div_rn(values, 1.0 + tl.exp(-values)))
        values = rounded_to_bfloat16(silu * other)
    if ROWS:
        tiles = tl.cdiv(N, 128)
        store_tiles(values, row_codes, row_scales, rows, columns, M, N, 1, POWER_OF_TWO, tiles, tl.program_id(1))
    if COLUMNS:
        tiles = tl.cdiv(M, 128)
        store_tiles(values, column_codes, column_scales, rows, columns, M, N, 0, POWER_OF_TWO, tiles, tl.program_id(0))


def quantize(
    x: Tensor, rows: bool, columns: bool, power_of_two: bool, up: Tensor | None = None
) -> tuple[Tiles | None, Tiles | None]:
    """Tiles of 1 x 128, or of 128 x 1 as tiles of the transpose, or both, of one reading of x [M, N].

    Args:
        x: BF16 or FP32.
        rows: whether the first are wanted.
        columns: whether the second are.
        power_of_two: kind of the scales.
        up: if given, what is quantised is silu(x) * up.
    """
    if up is not None:
        x, up = x.contiguous(), up.contiguous()
    height, width = x.shape
    first = _empty(height, width, x.device) if rows else None
    second = _empty(width, height, x.device) if columns else None
    if x.numel():
        # Outputs that are not wanted are not written; a pointer has to be given all the same.
        targets = [tensor for tiles in (first or second, second or first) if tiles for tensor in _tensors(tiles)]
        quantize_kernel[(ceil_div(height, TILE), ceil_div(width, TILE))](
            x,
            x if up is None else up,
            *targets,
            height,
            width,
            *x.stride(),
            rows,
            columns,
            up is not None,
            power_of_two,
        )
    return first, second


def _empty(rows: int, columns: int, device: torch.device) -> Tiles:
    codes = torch.empty(rows, columns, dtype=torch.float8_e4m3fn, device=device)
    return Tiles(codes, torch.empty(rows, ceil_div(columns, TILE), dtype=torch.float32, device=device))


def _tensors(tiles: Tiles) -> tuple[Tensor, Tensor]:
    return bytes_of(tiles.codes), tiles.scales


@triton.jit
def cast_kernel(x, codes, N, SIZE: tl.constexpr):
    """E4M3 codes of N FP32 values: the cast alone, for tests."""
    places = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    tl.store(codes + places, encode_bits(tl.load(x + places, mask=places < N, other=0.0)), mask=places < N)


def cast(x: Tensor) -> Tensor:
    """FP32 values [N] to codes [N] uint8."""
    codes = torch.empty(len(x), dtype=torch.uint8, device=x.device)
    cast_kernel[(ceil_div(len(x), 1024),)](x, codes, len(x), 1024)
    return codes
