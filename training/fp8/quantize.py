"""Numbers in 8 bits with a scale for every 128 of them (section 3.3.2): to E4M3 and back, the same bits on any device.

E4M3 has a sign, 4 bits of exponent and 3 of mantissa: 448 at most, 2^-9 at least, no infinities, NaN as 0x7f. Its range
is too narrow for a tensor with outliers under one scale, so V3 gives a scale to each *tile* of 1 x 128 activations and
to each *block* of 128 x 128 weights, taken from the values at hand ("online"). What is defined here, for a group with
largest magnitude `amax`, in FP32 throughout:

    scale    max(amax, 448 * 2^-126) / 448, so that it is a normal number even where all values are 0
    factor   448 / max(amax, 448 * 2^-126)
    code     E4M3 nearest to value * factor, ties to even, clamped to 448 before the cast

Two divisions a group and one product a value: each is rounded once by IEEE's rules everywhere, which a division a value
on a GPU need not be. DeepSeek's released kernels raise amax to 1e-4 at least. That suits inference; here a loss divided
by the tokens of a whole batch has gradients far below 1e-4 / 448, all of which would become 0.

*Powers of two*: the scale is rounded up to one, and then value * factor is exact, so decoded values can be encoded
again without another rounding (`training/fp8/payload.py`). A group that holds NaN or infinity has scale NaN and codes
0x7f: whatever reads it becomes NaN, and the loss with it, which the watch for spikes sees. Groups at an edge that 128
does not divide are smaller; nothing is padded.

torch decodes E4M3 on CPUs at 6.5 ns a number. The same bits shifted into FP16, whose exponent has the bias 15 for 7,
are the number times 2^-8: 1.2 ns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TILE = 128
"""Values that share a scale, along the axis that a product sums over."""
LARGEST = 448.0
SMALLEST_AMAX = LARGEST * 2.0**-126
CODE_OF_LARGEST, CODE_OF_NAN = 0x7E, 0x7F


@dataclass(frozen=True)
class Tiles:
    """A matrix in tiles of 1 x 128 along its last axis."""

    codes: Tensor
    """[..., R, C] float8_e4m3fn."""
    scales: Tensor
    """[..., R, ceil(C / 128)] FP32."""


@dataclass(frozen=True)
class Blocks:
    """A matrix, or a stack of them, in blocks of 128 x 128."""

    codes: Tensor
    """[..., R, C] float8_e4m3fn."""
    scales: Tensor
    """[..., ceil(R / 128), ceil(C / 128)] FP32."""

    def transposed(self) -> "Blocks":
        """The same numbers with rows and columns exchanged; nothing is copied."""
        return Blocks(self.codes.transpose(-1, -2), self.scales.transpose(-1, -2))


def scales_of(amax: Tensor, power_of_two: bool, largest: float = LARGEST) -> tuple[Tensor, Tensor]:
    """(scales, factors) of groups by their largest magnitudes, FP32 as `amax`; NaN for groups that are not finite."""
    # As a tensor: torch divides a number by a tensor in two roundings, and on CUDA a tensor by a number as well.
    top = torch.full((), largest, dtype=torch.float32, device=amax.device)
    raised = amax.clamp(min=largest * 2.0**-126)
    scales = raised / top
    if power_of_two:
        # Up to the next power of two: any bit of the mantissa carries into the exponent.
        exponents = (scales.view(torch.int32) + 0x7FFFFF) >> 23
        scales = (exponents << 23).view(torch.float32)
        factors = ((254 - exponents) << 23).view(torch.float32)
    else:
        factors = top / raised
    bad = ~torch.isfinite(amax)
    return scales.masked_fill(bad, torch.nan), factors.masked_fill(bad, torch.nan)


def encode(scaled: Tensor) -> Tensor:
    """FP32 values to their nearest E4M3, ties to even; beyond 448 to 448. Changes `scaled`. NaN becomes some NaN."""
    return scaled.clamp_(-LARGEST, LARGEST).to(torch.float8_e4m3fn)


def decode(codes: Tensor) -> Tensor:
    """E4M3 to FP32, exactly; NaN becomes 480 on CPUs, since a group that holds it has a scale that is NaN."""
    if codes.device.type != "cpu":
        return codes.float()
    # Sign-extended, the sign stands in bit 14 as well once the code is shifted to FP16's place.
    halves = codes.view(torch.int8).to(torch.int16).bitwise_left_shift_(7).bitwise_and_(~0x4000)
    return halves.view(torch.float16).float().mul_(256.0)


def quantize_rows(x: Tensor, power_of_two: bool = False) -> Tiles:
    """[..., R, C], BF16 or FP32, to tiles of 1 x 128 along C."""
    values = x.float()
    scales, factors = scales_of(group_amax(values, -1), power_of_two)
    return Tiles(_encoded(scale_groups(values, factors, -1), factors, (-1,)), scales)


def quantize_columns(x: Tensor, power_of_two: bool = False) -> Tiles:
    """[R, C], BF16 or FP32, to tiles of 128 x 1 along R: as tiles of its transpose, [C, R] and [C, ceil(R / 128)].

    What a product that sums over rows takes, such as a weight's gradient over tokens.
    """
    values = x.float()
    scales, factors = scales_of(group_amax(values, -2), power_of_two)
    codes = _encoded(scale_groups(values, factors, -2), factors, (-2,))
    return Tiles(codes.transpose(-1, -2), scales.transpose(-1, -2))


def quantize_blocks(x: Tensor, power_of_two: bool = False) -> Blocks:
    """[..., R, C], BF16 or FP32, to blocks of 128 x 128."""
    values = x.float()
    scales, factors = scales_of(group_amax(group_amax(values, -1), -2), power_of_two)
    return Blocks(_encoded(scale_groups(values, _along(factors, -2, x.shape[-2]), -1), factors, (-2, -1)), scales)


def as_tiles(blocks: Blocks) -> Tiles:
    """Blocks as tiles whose scales are equal in 128 rows."""
    return Tiles(blocks.codes, _along(blocks.scales, -2, blocks.codes.shape[-2]).contiguous())


def dequantize(quantized: Tiles | Blocks) -> Tensor:
    """The numbers that stand there, in FP32: [..., R, C]. Code times scale, rounded once."""
    codes, scales = quantized.codes, quantized.scales
    if isinstance(quantized, Blocks):
        scales = _along(scales, -2, codes.shape[-2])
    if codes.dim() == 2 and not codes.is_contiguous() and codes.t().is_contiguous():
        return scale_groups(decode(codes.t()), scales.t(), -2).t()
    return scale_groups(decode(codes), scales, -1)


def share_at_ends(codes: Tensor, values: Tensor) -> Tensor:
    """int64 [3]: how many values there were, how many of them got the largest code, and how many that were not 0 got 0.

    Every group's largest value gets the largest code, so about 1 in 128 is the least.
    """
    magnitudes = codes.view(torch.uint8) & 0x7F
    counts = [
        torch.tensor(codes.numel(), device=codes.device),
        torch.count_nonzero(magnitudes == CODE_OF_LARGEST),
        torch.count_nonzero(values) - torch.count_nonzero(magnitudes),
    ]
    return torch.stack(counts)


def group_amax(values: Tensor, axis: int) -> Tensor:
    """Largest magnitudes of groups of 128 along an axis, the last perhaps of fewer; NaN where one is NaN."""
    size = values.shape[axis]
    whole = size - size % TILE
    if not values.numel():
        shape = list(values.shape)
        shape[axis] = -(-size // TILE)
        return values.new_zeros(shape)
    parts = []
    if whole:
        grouped = values.narrow(axis, 0, whole).unflatten(axis, (-1, TILE))
        parts.append(_largest(grouped, axis if axis < -1 else -1))
    if whole < size:
        parts.append(_largest(values.narrow(axis, whole, size - whole), axis).unsqueeze(axis))
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def _largest(values: Tensor, axis: int) -> Tensor:
    return torch.maximum(values.amax(axis), values.amin(axis).neg_())


def _along(groups: Tensor, axis: int, size: int) -> Tensor:
    """Each group's number for each of its values: `groups` with 128 (at the end fewer) in place of one."""
    if groups.shape[axis] == 1:
        shape = list(groups.shape)
        shape[axis] = size
        return groups.expand(shape)
    return groups.repeat_interleave(TILE, axis).narrow(axis, 0, size)


def scale_groups(values: Tensor, groups: Tensor, axis: int) -> Tensor:
    """Values times their group's number. A view in groups of 128 is ten times as fast as spreading the numbers out."""
    size = values.shape[axis]
    whole = size - size % TILE
    if not whole:
        return values * groups
    out = torch.empty_like(values)
    inner = axis if axis < -1 else -1
    torch.mul(
        values.narrow(axis, 0, whole).unflatten(axis, (-1, TILE)),
        groups.narrow(axis, 0, whole // TILE).unsqueeze(inner),
        out=out.narrow(axis, 0, whole).unflatten(axis, (-1, TILE)),
    )
    if whole < size:
        rest = size - whole
        torch.mul(
            values.narrow(axis, whole, rest), groups.narrow(axis, whole // TILE, 1), out=out.narrow(axis, whole, rest)
        )
    return out


def _encoded(scaled: Tensor, factors: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Codes of scaled values, with one code for NaN in all of a group that is not finite."""
    codes = encode(scaled)
    if not bool(torch.isfinite(factors).all()):
        bad = torch.isnan(factors)
        for axis in axes:
            bad = _along(bad, axis, codes.shape[axis])
        codes.view(torch.uint8).masked_fill_(bad, CODE_OF_NAN)
    return codes
