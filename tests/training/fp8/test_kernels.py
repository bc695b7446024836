"""Triton's kernels in its interpreter, which runs them on a CPU, against the reference."""

import os

import pytest
import torch
from torch import Tensor

os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is imported
pytest.importorskip("triton", reason="Triton is not installed (extra triton)")
if os.environ["TRITON_INTERPRET"] != "1":
    pytest.skip("kernels are not interpreted here; benchmarks/hopper.py checks compiled ones", allow_module_level=True)

from corpusmill.training.fp8.backend import backend_for
from corpusmill.training.fp8.kernels.quantize import cast, quantize
from corpusmill.training.fp8.quantize import (
    Tiles,
    encode,
    quantize_blocks,
    quantize_columns,
    quantize_rows,
)
from corpusmill.training.fp8.reference import Reference

pytestmark = pytest.mark.slow


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def same(ours: Tiles | None, reference: Tiles) -> None:
    assert ours is not None
    assert torch.equal(ours.codes.view(torch.uint8), reference.codes.view(torch.uint8))
    assert torch.equal(ours.scales.nan_to_num(-1).view(torch.int32), reference.scales.nan_to_num(-1).view(torch.int32))


def test_the_cast_by_bits_is_torchs_over_all_codes_ties_neighbours_and_magnitudes():
    codes = torch.arange(0x7F, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    middles = (codes[1:] + codes[:-1]) / 2
    near = [torch.nextafter(middles, torch.tensor(way)) for way in (0.0, 1e9)]
    x = torch.cat([codes, middles, *near, normal(4096), normal(4096) * 0.01, normal(64) * 1e30, torch.zeros(1)])
    x = torch.cat([x, -x])
    assert torch.equal(cast(x), encode(x.clone()).view(torch.uint8))


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("shape", [(130, 300), (1, 80), (256, 128)])
def test_tiles_of_both_directions_are_the_references_bits(shape, power_of_two):
    for x in (normal(*shape).bfloat16(), normal(*shape, seed=1) * torch.logspace(-36, 4, shape[1])):
        x = x.clone()
        x[0, ::7] = 0
        x[-1, 3] = torch.inf
        rows, columns = quantize(x, True, True, power_of_two)
        same(rows, quantize_rows(x, power_of_two))
        same(columns, quantize_columns(x, power_of_two))
        same(quantize(x.t(), False, True, power_of_two)[1], quantize_rows(x, power_of_two))


def test_swiglu_and_its_tiles_are_the_references_but_for_the_last_bit_of_exp():
    gate, up = normal(130, 200).bfloat16(), normal(130, 200, seed=1).bfloat16()
    ours, _ = quantize(gate, True, False, False, up)
    reference = quantize_rows(torch.nn.functional.silu(gate) * up)
    assert ours is not None
    different = ours.codes.view(torch.uint8) != reference.codes.view(torch.uint8)
    assert different.float().mean() < 0.005
    torch.testing.assert_close(ours.scales, reference.scales, rtol=2**-7, atol=0)


def test_dense_products_are_the_references():
    ours, reference = backend_for("triton", torch.device("cpu")), Reference()
    x, w, dy = normal(70, 300), normal(150, 300, seed=1), normal(70, 150, seed=2)
    a, b = quantize_rows(x), quantize_blocks(w)
    torch.testing.assert_close(ours.product(a, b), reference.product(a, b), rtol=2**-7, atol=1e-4)
    slopes = quantize_rows(dy)
    expected = reference.product(slopes, b.transposed())
    torch.testing.assert_close(ours.product(slopes, b.transposed()), expected, rtol=2**-7, atol=1e-4)
    along = quantize_columns(dy), quantize_columns(x)
    torch.testing.assert_close(ours.weight_gradient(*along), reference.weight_gradient(*along), rtol=1e-4, atol=1e-4)


def test_grouped_products_over_experts_offsets_are_the_references():
    ours, reference = backend_for("triton", torch.device("cpu")), Reference()
    ends = torch.tensor([128, 128, 384], dtype=torch.int32)
    x, w, dy = normal(384, 144), normal(3, 80, 144, seed=1), normal(384, 80, seed=2)
    a, b = quantize_rows(x), quantize_blocks(w)
    torch.testing.assert_close(ours.product(a, b, ends), reference.product(a, b, ends), rtol=2**-7, atol=1e-4)
    slopes, back = quantize_rows(dy), b.transposed()
    expected = reference.product(slopes, back, ends)
    torch.testing.assert_close(ours.product(slopes, back, ends), expected, rtol=2**-7, atol=1e-4)
    along = quantize_columns(dy), quantize_columns(x)
    expected = reference.weight_gradient(*along, ends)
    torch.testing.assert_close(ours.weight_gradient(*along, ends), expected, rtol=1e-4, atol=1e-4)
