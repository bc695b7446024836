"""E5M6, 12 bits a number: how the input of attention's output projection is kept for the backward pass (section 3.3.2).

That input matters twice in the backward pass, so V3 spends 12 bits on it: 5 of exponent and 6 of mantissa, FP16 without
its last 4, under power-of-two scales of 1 x 128. No library knows the format. Here two numbers lie in three bytes, and
FP16's rules hold for what the report leaves open: bias 15, subnormal numbers down to 2^-20, exponent 31 for NaN alone.
The largest number is 65,024; values are rounded to nearest, ties to even, clamped before. A tile that holds NaN or
infinity has scale NaN and codes NaN.

The product itself takes E4M3: no tensor core multiplies E5M6. A scale for E4M3 follows from the same values
(`quantize_rows(…, power_of_two=True)`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from corpusmill.training.fp8.quantize import group_amax, scale_groups, scales_of

LARGEST_E5M6 = 65024.0
_CODE_OF_NAN = 0x7FF
_SMALLEST_NORMAL = 2.0**-14
_MAGIC = 8.0
"""FP32's step from 8 to 16 is 2^-20, that of E5M6's subnormal numbers: adding it rounds to them."""


@dataclass(frozen=True)
class PackedTiles:
    """A matrix in tiles of 1 x 128 along its last axis, in E5M6."""

    pairs: Tensor
    """[..., R, ceil(C / 2), 3] uint8: two numbers in three bytes, the first in the low 12 bits."""
    scales: Tensor
    """[..., R, ceil(C / 128)] FP32, powers of two."""
    width: int
    """C."""


def encode_e5m6(scaled: Tensor) -> Tensor:
    """FP32 values to int32 codes of 12 bits, nearest, ties to even; beyond 65,024 to 65,024; NaN to 0x7ff."""
    bits = scaled.clamp(-LARGEST_E5M6, LARGEST_E5M6).view(torch.int32)
    magnitude = bits & 0x7FFFFFFF
    rounded = ((magnitude + 0xFFFF + ((magnitude >> 17) & 1)) >> 17) - ((127 - 15) << 6)
    absolute = magnitude.view(torch.float32)
    small = (absolute + _MAGIC).view(torch.int32) & 0x7F
    codes = torch.where(absolute < _SMALLEST_NORMAL, small, rounded)
    codes = torch.where(torch.isnan(scaled), _CODE_OF_NAN, codes)
    return codes | ((bits >> 20) & 0x800)


def decode_e5m6(codes: Tensor) -> Tensor:
    """12-bit codes (int32) to FP32, exactly: they are the upper bits of FP16."""
    return (codes << 4).to(torch.int16).view(torch.float16).float()


def pack_rows(x: Tensor) -> PackedTiles:
    """[..., R, C], BF16 or FP32, to E5M6 in tiles of 1 x 128 along C."""
    values = x.float()
    scales, factors = scales_of(group_amax(values, -1), True, LARGEST_E5M6)
    codes = encode_e5m6(scale_groups(values, factors, -1))
    width = x.shape[-1]
    if width % 2:
        codes = torch.nn.functional.pad(codes, (0, 1))
    first, second = codes[..., ::2], codes[..., 1::2]
    pairs = torch.stack([first & 0xFF, (first >> 8) | ((second & 0xF) << 4), second >> 4], -1)
    return PackedTiles(pairs.to(torch.uint8), scales, width)


def unpack_rows(packed: PackedTiles) -> Tensor:
    """The numbers that stand there, in FP32: [..., R, C]."""
    low, middle, high = packed.pairs.to(torch.int32).unbind(-1)
    codes = torch.stack([low | ((middle & 0xF) << 8), (middle >> 4) | (high << 4)], -1).flatten(-2)
    return scale_groups(decode_e5m6(codes[..., : packed.width].contiguous()), packed.scales, -1)
