"""E5M6 and what travels to experts: formats without a library, held against loops and laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.training.fp8.e5m6 import decode_e5m6, encode_e5m6, pack_rows, unpack_rows
from corpusmill.training.fp8.payload import from_payload, payload_width, tiles_of_payload, to_payload
from corpusmill.training.fp8.quantize import dequantize, quantize_rows

E5M6 = np.array([m * 2.0**-20 for m in range(64)] + [(64 + c % 64) * 2.0 ** (c // 64 - 21) for c in range(64, 0x7C0)])
"""What the positive codes up to exponent 30 stand for."""


def test_all_finite_codes_of_e5m6_decode_and_encode_back():
    codes = torch.arange(0x7C0, dtype=torch.int32)
    for sign in (0, 0x800):
        values = decode_e5m6(codes | sign)
        assert np.array_equal(values.abs().numpy(), E5M6.astype(np.float32))
        assert torch.equal(torch.signbit(values), torch.full_like(values, sign, dtype=torch.bool))
        assert torch.equal(encode_e5m6(values), codes | sign)


def test_e5m6_takes_the_nearest_and_ties_to_even_clamps_and_keeps_nan():
    middles = ((E5M6[1:] + E5M6[:-1]) / 2).astype(np.float32)
    lower = np.arange(len(middles))
    assert np.array_equal(encode_e5m6(torch.from_numpy(middles)).numpy(), lower + lower % 2)
    below, above = (torch.from_numpy(np.nextafter(middles, np.float32(way))) for way in (0, 1e9))
    assert np.array_equal(encode_e5m6(below).numpy(), lower)
    assert np.array_equal(encode_e5m6(above).numpy(), lower + 1)
    assert decode_e5m6(encode_e5m6(torch.tensor([1e9, -1e9]))).tolist() == [65024, -65024]
    assert decode_e5m6(encode_e5m6(torch.tensor([math.nan]))).isnan().all()


@pytest.mark.parametrize("width", [1, 2, 127, 128, 131, 300])
def test_packed_rows_come_back_within_half_a_step_of_six_bits_in_12_bits_a_number(width):
    x = torch.randn(3, width, generator=torch.Generator().manual_seed(width)).bfloat16()
    packed = pack_rows(x)
    assert packed.pairs.dtype == torch.uint8 and packed.pairs.numel() == 3 * 3 * math.ceil(width / 2)
    mantissas = torch.frexp(packed.scales).mantissa
    assert torch.equal(mantissas, torch.full_like(mantissas, 0.5))
    again = unpack_rows(packed)
    assert torch.all((again - x.float()).abs() <= x.float().abs() * 2.0**-7 + 2.0**-30)
    assert torch.equal(unpack_rows(pack_rows(again)), again)


def test_packed_rows_are_nan_where_a_tile_is_not_finite():
    x = torch.ones(2, 256)
    x[0, 3] = math.inf
    assert unpack_rows(pack_rows(x)).isnan().sum(1).tolist() == [128, 0]


rows = st.lists(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False), min_size=5, max_size=5),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_what_arrives_is_exact_in_bf16_and_quantising_it_again_changes_no_number(values):
    x = torch.tensor(values)
    sent = dequantize(quantize_rows(x, power_of_two=True))
    big = x.abs().amax(1, keepdim=True) > 1e-30
    arrived = from_payload(to_payload(x), 5)
    assert arrived.dtype == torch.bfloat16
    assert torch.equal(torch.where(big, arrived.float(), 0), torch.where(big, sent, 0))
    assert torch.equal(dequantize(quantize_rows(arrived, power_of_two=True)), arrived.float())


def test_a_payload_is_bytes_and_holds_codes_scales_and_nan():
    x = torch.randn(4, 300, generator=torch.Generator().manual_seed(0))
    x[2, 0] = math.nan
    payload = to_payload(x)
    assert payload.dtype == torch.uint8 and payload.shape == (4, payload_width(300)) == (4, 303)
    tiles, arrived = quantize_rows(x, power_of_two=True), tiles_of_payload(payload, 300)
    assert torch.equal(tiles.codes.view(torch.uint8), arrived.codes.view(torch.uint8))
    assert torch.equal(tiles.scales.nan_to_num(-1), arrived.scales.nan_to_num(-1))
    assert payload_width(7168) == 7224


def test_fp32_scales_would_not_survive_being_quantised_twice():
    x = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    once = dequantize(quantize_rows(x)).bfloat16().float()
    assert not torch.equal(dequantize(quantize_rows(once)), once)
