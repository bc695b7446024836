"""Quantisation against slow loops over the definition, bit for bit."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from corpusmill.training.fp8.quantize import (
    TILE,
    Blocks,
    Tiles,
    as_tiles,
    decode,
    dequantize,
    encode,
    quantize_blocks,
    quantize_columns,
    quantize_rows,
    share_at_ends,
)

E4M3 = [((8 + code % 8) * 2.0 ** (code // 8 - 10) if code >= 8 else code * 2.0**-9) for code in range(0x7F)]
"""What the codes from 0x00 to 0x7e stand for."""


def nearest(values: np.ndarray) -> np.ndarray:
    """The codes of E4M3 nearest to finite FP32 values, ties to the even code, found by looking at all codes."""
    magnitudes = np.minimum(np.abs(values.astype(np.float64)), 448.0)
    distances = np.abs(np.array(E4M3) - magnitudes[..., None])
    least = distances == distances.min(-1, keepdims=True)
    order = np.arange(0x7F) + 1000 * (np.arange(0x7F) % 2)  # of two that are as near, the even one
    codes = np.where(least, order, 10_000).argmin(-1)
    return (codes | np.where(np.signbit(values), 0x80, 0)).astype(np.uint8)


def slow_scale(group: list[float], power_of_two: bool) -> tuple[float, float]:
    """(scale, factor) of a group by the definition, in FP32 by way of NumPy."""
    if not all(map(math.isfinite, group)):
        return math.nan, math.nan
    amax = np.float32(max([abs(value) for value in group] + [448 * 2.0**-126]))
    scale = amax / np.float32(448)
    if not power_of_two:
        return float(scale), float(np.float32(448) / amax)
    mantissa, exponent = math.frexp(float(scale))
    scale = 2.0 ** (exponent - 1 if mantissa == 0.5 else exponent)
    return scale, 1 / scale


def slow(x: Tensor, height: int, width: int, power_of_two: bool) -> tuple[Tensor, Tensor]:
    """(codes, scales) of x [R, C] in groups of height x width."""
    rows, columns = x.shape
    codes = torch.zeros(rows, columns, dtype=torch.uint8)
    scales = torch.zeros(-(-rows // height), -(-columns // width))
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            group = x[top : top + height, left : left + width].float()
            scale, factor = slow_scale(group.flatten().tolist(), power_of_two)
            scales[top // height, left // width] = scale
            scaled = group.numpy() * np.float32(factor)
            within = codes[top : top + height, left : left + width]
            within.copy_(torch.full_like(within, 0x7F) if math.isnan(factor) else torch.from_numpy(nearest(scaled)))
    return codes, scales


def same(tiles: Tiles | Blocks, codes: Tensor, scales: Tensor) -> None:
    assert torch.equal(tiles.codes.view(torch.uint8), codes)
    assert torch.equal(tiles.scales.view(torch.int32)[~scales.isnan()], scales.view(torch.int32)[~scales.isnan()])
    assert torch.equal(tiles.scales.isnan(), scales.isnan())


def awkward(rows: int, columns: int, seed: int = 0) -> Tensor:
    """Values of all magnitudes, with zeros, a row of zeros and a row of subnormal numbers."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=generator) * torch.exp(4 * torch.randn(rows, columns, generator=generator))
    x[torch.rand(rows, columns, generator=generator) < 0.1] = 0
    x[0] = 0
    x[-1] *= 1e-38
    return x


def test_all_256_codes_decode_to_what_they_stand_for_and_encode_back():
    codes = torch.arange(256, dtype=torch.uint8)
    finite = (codes & 0x7F) != 0x7F
    values = decode(codes.view(torch.float8_e4m3fn))
    expected = torch.tensor([E4M3[code & 0x7F] * (-1 if code & 0x80 else 1) for code in codes[finite].tolist()])
    expected[codes[finite] == 0x80] = -0.0
    assert torch.equal(values[finite].view(torch.int32), expected.view(torch.int32))
    assert torch.equal(encode(values[finite].clone()).view(torch.uint8), codes[finite])


def test_ties_go_to_even_in_normal_and_subnormal_numbers():
    middles = [(E4M3[code] + E4M3[code + 1]) / 2 for code in range(0x7E)]
    near = [np.nextafter(np.float32(middle), np.float32(way)) for middle in middles for way in (0, 1e9)]
    values = [*middles, *map(float, near)]
    got = encode(torch.tensor(values)).view(torch.uint8).tolist()
    assert got == nearest(np.array(values)).tolist()
    assert [code % 2 for code in got[: len(middles)]] == [0] * len(middles)


def test_what_is_beyond_448_is_clamped():
    assert decode(encode(torch.tensor([449.0, 1e30, -1e30, 464.0]))).tolist() == [448, 448, -448, 448]


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 128), (5, 80), (2, 300), (130, 7), (257, 129)])
def test_tiles_and_blocks_equal_the_slow_reference_bit_for_bit(shape, dtype, power_of_two):
    x = awkward(*shape).to(dtype)
    same(quantize_rows(x, power_of_two), *slow(x, 1, TILE, power_of_two))
    same(quantize_blocks(x, power_of_two), *slow(x, TILE, TILE, power_of_two))
    codes, scales = slow(x, TILE, 1, power_of_two)
    same(quantize_columns(x, power_of_two), codes.t(), scales.t())


@pytest.mark.parametrize("bad", [math.nan, -math.nan, math.inf, -math.inf])
def test_a_group_that_is_not_finite_is_nan_and_no_other_group_is(bad):
    x = torch.ones(130, 260)
    x[1, 130] = bad
    x[1, 131] = -math.inf
    for tiles, height, width in ((quantize_rows(x), 1, TILE), (quantize_blocks(x), TILE, TILE)):
        same(tiles, *slow(x, height, width, False))
        assert int(dequantize(tiles).isnan().sum()) == min(height, 130) * TILE
    columns = quantize_columns(x)
    same(columns, *(tensor.t() for tensor in slow(x, TILE, 1, False)))


def test_stacks_of_matrices_have_blocks_of_their_own():
    x = torch.stack([awkward(140, 130), awkward(140, 130, 1)])
    blocks = quantize_blocks(x)
    for place in range(2):
        same(Blocks(blocks.codes[place], blocks.scales[place]), *slow(x[place], TILE, TILE, False))


def test_no_values_at_all():
    for shape in ((0, 5), (0, 256)):
        assert quantize_rows(torch.zeros(shape)).scales.shape == (0, -(-shape[1] // TILE))
        assert quantize_columns(torch.zeros(shape)).scales.shape == (shape[1], 0)


def test_numbers_stand_where_codes_and_scales_say():
    x = awkward(140, 300)
    expected = {}
    for name, quantized, height, width in (
        ("rows", quantize_rows(x), 1, TILE),
        ("blocks", quantize_blocks(x), TILE, TILE),
    ):
        values, scales = quantized.codes.float(), quantized.scales
        whole = scales.repeat_interleave(height, 0)[:140].repeat_interleave(width, 1)[:, :300]
        expected[name] = values * whole
        assert torch.equal(dequantize(quantized), expected[name])
    blocks = quantize_blocks(x)
    assert torch.equal(dequantize(blocks.transposed()), expected["blocks"].t())
    assert torch.equal(dequantize(as_tiles(blocks)), expected["blocks"])
    assert torch.equal(dequantize(quantize_columns(x)), dequantize(quantize_rows(x.t().contiguous())))


finite_singles = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(finite_singles, min_size=1, max_size=6), st.booleans())
def test_a_group_is_what_its_definition_says_for_any_values(values, power_of_two):
    x = torch.tensor([values])
    same(quantize_rows(x, power_of_two), *slow(x, 1, TILE, power_of_two))


def test_shares_count_the_largest_code_and_what_became_zero():
    x = torch.tensor([[448.0, -448.0, 1e-6, 0.0, 1.0]])
    assert share_at_ends(quantize_rows(x).codes, x).tolist() == [5, 2, 1]


def relative_error(approximate: Tensor, exact: Tensor) -> float:
    return ((approximate - exact).norm() / exact.norm()).item()


def tensorwise(x: Tensor) -> Tensor:
    scale = x.abs().max() / 448
    return encode(x / scale).float() * scale


def test_outliers_spoil_one_scale_for_all_and_leave_tiles_alone():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 4096, generator=generator)
    few = torch.rand(x.shape, generator=generator) < 1e-4
    spoiled = torch.where(few, x * 1e5, x)
    rest = ~few
    by_tile, by_tensor = dequantize(quantize_rows(spoiled)), tensorwise(spoiled)
    assert relative_error(by_tile[rest], spoiled[rest]) < 0.2 * relative_error(by_tensor[rest], spoiled[rest])
    assert relative_error(dequantize(quantize_rows(x)), x) == pytest.approx(0.0265, abs=0.002)
