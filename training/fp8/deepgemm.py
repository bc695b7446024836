"""DeepSeek's DeepGEMM, where it is installed: dense products, and experts' in one call each.

It is built from source (https://github.com/deepseek-ai/DeepGEMM, CUDA 12.9, a Hopper GPU) and no package of ours asks
for it. Its layouts on Hopper are ours: both operands with the summed axis last, FP32 scales, experts' rows in segments
of multiples of 128, whose kernel wants the number of each row's expert. Its weight gradients add to what is there, so
they start from zeros.
"""

import importlib
import importlib.util
from typing import Any

import torch
from torch import Tensor

from corpusmill.training.fp8.kernels.backend import TritonQuantizers
from corpusmill.training.fp8.kernels.launch import triton_missing
from corpusmill.training.fp8.quantize import TILE, Blocks, Tiles

BY_TILES = (1, 1, TILE)
"""DeepGEMM's name for scales of 1 x 128 in both operands."""


def deepgemm_missing() -> str | None:
    """Why it cannot be used; None where it can."""
    if importlib.util.find_spec("deep_gemm") is None:
        return "deep_gemm is not installed (build it from source)"
    return triton_missing()


def experts_of_rows(ends: Tensor, rows: int) -> Tensor:
    """The expert of each row, int32 [rows]; -1 behind the last one's."""
    places = torch.arange(rows, device=ends.device)
    experts = torch.searchsorted(ends.long(), places, right=True)
    return experts.masked_fill(experts == len(ends), -1).to(torch.int32)


def by_expert(tiles: Tiles, ends: list[int]) -> tuple[Tensor, Tensor]:
    """Tiles along tokens [C, M] as each expert's matrix [C, tokens] in turn, flat; and scales [C, M / 128]."""
    begins = [0, *ends[:-1]]
    parts = [tiles.codes[:, begin:end].flatten() for begin, end in zip(begins, ends, strict=True) if end > begin]
    return torch.cat(parts), tiles.scales[:, : ends[-1] // TILE].contiguous()


class DeepGemm(TritonQuantizers):
    """See the module's docstring."""

    name = "deepgemm"

    def __init__(self) -> None:
        self._library: Any = importlib.import_module("deep_gemm")

    def product(self, a: Tiles, b: Blocks, ends: Tensor | None = None) -> Tensor:
        out = torch.empty(a.codes.shape[0], b.codes.shape[-2], dtype=torch.bfloat16, device=a.codes.device)
        left = a.codes.contiguous(), a.scales.contiguous()
        right = b.codes.contiguous(), b.scales.contiguous()
        if ends is None:
            self._library.fp8_gemm_nt(left, right, out)
        else:
            self._library.m_grouped_fp8_gemm_nt_contiguous(left, right, out, experts_of_rows(ends, len(out)))
        return out

    def weight_gradient(self, a: Tiles, b: Tiles, ends: Tensor | None = None) -> Tensor:
        shape = a.codes.shape[0], b.codes.shape[0]
        if ends is None:
            out = torch.zeros(shape, dtype=torch.float32, device=a.codes.device)
            left, right = ((tiles.codes.contiguous(), tiles.scales.contiguous()) for tiles in (a, b))
            self._library.fp8_gemm_nt(left, right, out, c=out, recipe=BY_TILES)
            return out
        out = torch.zeros(len(ends), *shape, dtype=torch.float32, device=a.codes.device)
        counts = ends.diff(prepend=ends.new_zeros(1))
        whole = ends.tolist()
        left, right = (by_expert(tiles, whole) for tiles in (a, b))
        self._library.k_grouped_fp8_gemm_nt_contiguous(left, right, out, counts.tolist(), counts, out, recipe=BY_TILES)
        return out
