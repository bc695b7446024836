"""cuBLASLt's blockwise FP8 products, by torch's `scaled_mm`: Hopper, CUDA 12.9 or later.

What it takes is strict, and a wrong layout of scales once gave wrong results without an error, so the layouts are made
by functions of their own here and looked at by tests; `benchmarks/hopper.py` holds products against the CPU's.

    operand         [M, K] rows, and [N, K] rows given as its transpose; K a multiple of 128, M of 4, N of 16
    1 x 128         scales as [M, K / 128] with strides [1, M]: consecutive rows lie side by side
    128 x 128       scales as [L, N / 128] with strides [1, L], where L is K / 128 raised to a multiple of 4

What is not a multiple is padded with zeros, which costs a copy: of V3's widths that is 576 only, where it is summed
over. There are no grouped products, so experts are multiplied one after the other, and where their rows end has to be
waited for: right for a rank's 4 or 8 experts, slow for many.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from corpusmill.training.fp8.backend import segments
from corpusmill.training.fp8.kernels.backend import TritonQuantizers
from corpusmill.training.fp8.quantize import TILE, Blocks, Tiles

ROWS, COLUMNS, SCALES = 4, 16, 4
"""Multiples that are asked for: of rows, of columns, of a block scale's pitch."""


def padded_codes(codes: Tensor, rows: int) -> Tensor:
    """Codes [R, C], contiguous, with zeros up to multiples of `rows` and 128."""
    bytes_ = codes.view(torch.uint8)
    missing = -codes.shape[1] % TILE, -codes.shape[0] % rows
    if any(missing):
        bytes_ = F.pad(bytes_, (0, missing[0], 0, missing[1]))
    return bytes_.contiguous().view(torch.float8_e4m3fn)


def tile_scales(scales: Tensor, rows: int) -> Tensor:
    """Scales [R, T] of tiles, with R raised to a multiple of `rows`, in strides [1, R]."""
    return F.pad(scales, (0, 0, 0, -scales.shape[0] % rows)).t().contiguous().t()


def block_scales(scales: Tensor) -> Tensor:
    """Scales [N / 128, T] of blocks as [L, N / 128] in strides [1, L], with L the next multiple of 4 from T on."""
    return F.pad(scales, (0, -scales.shape[1] % SCALES)).contiguous().t()


class Cublas(TritonQuantizers):
    """See the module's docstring."""

    name = "cublas"

    def product(self, a: Tiles, b: Blocks, ends: Tensor | None = None) -> Tensor:
        if ends is None:
            return _multiply(a, b, torch.bfloat16)
        out = torch.zeros(a.codes.shape[0], b.codes.shape[1], dtype=torch.bfloat16, device=a.codes.device)
        for expert, begin, end in segments(ends):
            rows = Tiles(a.codes[begin:end], a.scales[begin:end])
            out[begin:end] = _multiply(rows, Blocks(b.codes[expert], b.scales[expert]), torch.bfloat16)
        return out

    def weight_gradient(self, a: Tiles, b: Tiles, ends: Tensor | None = None) -> Tensor:
        if ends is None:
            return _multiply(a, b, torch.float32)
        shape = (len(ends), a.codes.shape[0], b.codes.shape[0])
        out = torch.zeros(shape, dtype=torch.float32, device=a.codes.device)
        for expert, begin, end in segments(ends):
            tokens = [
                Tiles(tiles.codes[:, begin:end], tiles.scales[:, begin // TILE : end // TILE]) for tiles in (a, b)
            ]
            out[expert] = _multiply(tokens[0], tokens[1], torch.float32)
        return out


def arguments(a: Tiles, b: Tiles | Blocks) -> dict[str, object]:
    """What `scaled_mm` is given for a b^T."""
    block = isinstance(b, Blocks)
    return {
        "mat_a": padded_codes(a.codes, ROWS),
        "mat_b": padded_codes(b.codes, COLUMNS).t(),
        "scale_a": tile_scales(a.scales, ROWS),
        "scale_recipe_a": F.ScalingType.BlockWise1x128,
        "scale_b": block_scales(b.scales) if block else tile_scales(b.scales, COLUMNS).t(),
        "scale_recipe_b": F.ScalingType.BlockWise128x128 if block else F.ScalingType.BlockWise1x128,
    }


def _multiply(a: Tiles, b: Tiles | Blocks, dtype: torch.dtype) -> Tensor:
    out = F.scaled_mm(**arguments(a, b), output_dtype=dtype)  # type: ignore[arg-type]
    return out[: a.codes.shape[0], : b.codes.shape[0]]
