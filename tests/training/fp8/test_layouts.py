"""What libraries for Hopper are handed, looked at on a CPU: products themselves are checked by benchmarks/hopper.py."""

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed (extra triton)")

from corpusmill.training.fp8.cublas import arguments, block_scales, tile_scales
from corpusmill.training.fp8.deepgemm import by_expert, experts_of_rows
from corpusmill.training.fp8.quantize import quantize_blocks, quantize_columns, quantize_rows


def test_cublas_scales_lie_in_the_strides_it_demands_and_are_padded_to_its_multiples():
    scales = torch.arange(1.0, 31).view(6, 5)
    tiles = tile_scales(scales, 4)
    assert tiles.shape == (8, 5) and tiles.stride() == (1, 8)
    assert torch.equal(tiles[:6], scales) and not tiles[6:].any()
    blocks = block_scales(scales)
    assert blocks.shape == (8, 6) and blocks.stride() == (1, 8)
    assert torch.equal(blocks[:5], scales.t()) and not blocks[5:].any()


def test_cublas_is_given_whole_tiles_whatever_the_widths():
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(6, 300, generator=generator), torch.randn(150, 300, generator=generator)
    given = arguments(quantize_rows(x), quantize_blocks(w))
    assert given["mat_a"].shape == (8, 384) and given["mat_a"].is_contiguous()
    assert given["mat_b"].shape == (384, 160) and given["mat_b"].t().is_contiguous()
    assert given["scale_a"].shape == (8, 3) and given["scale_b"].shape == (4, 2)
    along = arguments(quantize_columns(x), quantize_columns(x))
    assert along["mat_a"].shape == (300, 128) and along["mat_b"].shape == (128, 304)
    assert along["scale_a"].shape == (300, 1) and along["scale_b"].shape == (1, 304)


def test_deepgemm_is_told_each_rows_expert_and_each_experts_matrix():
    ends = torch.tensor([128, 128, 384], dtype=torch.int32)
    experts = experts_of_rows(ends, 512)
    assert [int((experts == expert).sum()) for expert in (0, 1, 2, -1)] == [128, 0, 256, 128]
    tiles = quantize_columns(torch.randn(512, 6, generator=torch.Generator().manual_seed(0)))
    flat, scales = by_expert(tiles, ends.tolist())
    assert torch.equal(flat[: 6 * 128].view(6, 128).float(), tiles.codes[:, :128].float())
    assert torch.equal(flat[6 * 128 :].view(6, 256).float(), tiles.codes[:, 128:384].float())
    assert scales.shape == (6, 3)
