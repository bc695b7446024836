"""Products of FP8 numbers on any device: one with defined bits, one that is fast on CPUs.

**Reference.** Products of E4M3 codes have 8 bits and lie between 2^-18 and 2^17.6, so FP64 adds up 128 of them without
rounding, in any order: the library's order does not show. Then, 128 after 128, as on Hopper:

    sum = fl(sum + fl(fl(partial) * fl(scale_a * scale_b)))        in FP32

Hence equal bits on every machine, which is what kernels are held against.

**Emulated.** Decoded numbers in FP32, and one FP32 product by the library that is fastest here. That is the same sum
with scales moved inside it: results differ from the reference by some 1e-7, which rounding to BF16 nearly always hides.

Both are what they are for lack of hardware: numbers of FP8 training on a CPU, not its speed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from corpusmill.training.fp8.backend import Backend, segments
from corpusmill.training.fp8.quantize import TILE, Blocks, Tiles, as_tiles, decode, dequantize
from corpusmill.training.model.matmul import product, transposed_product


class Reference(Backend):
    """See the module's docstring."""

    name = "reference"

    def product(self, a: Tiles, b: Blocks, ends: Tensor | None = None) -> Tensor:
        if ends is None:
            return promoted_product(a, as_tiles(b)).bfloat16()
        out = torch.zeros(a.codes.shape[0], b.codes.shape[1], dtype=torch.bfloat16, device=a.codes.device)
        for expert, begin, end in segments(ends):
            rows = Tiles(a.codes[begin:end], a.scales[begin:end])
            out[begin:end] = self.product(rows, Blocks(b.codes[expert], b.scales[expert]))
        return out

    def weight_gradient(self, a: Tiles, b: Tiles, ends: Tensor | None = None) -> Tensor:
        if ends is None:
            return promoted_product(a, b)
        shape = (len(ends), a.codes.shape[0], b.codes.shape[0])
        out = torch.zeros(shape, dtype=torch.float32, device=a.codes.device)
        for expert, begin, end in segments(ends):
            out[expert] = promoted_product(*(_tokens(tiles, begin, end) for tiles in (a, b)))
        return out


class Emulated(Backend):
    """See the module's docstring."""

    name = "emulated"

    def product(self, a: Tiles, b: Blocks, ends: Tensor | None = None) -> Tensor:
        left, right = dequantize(a), _dequantized_weights(b)
        if ends is None:
            return product(left, right).bfloat16()
        if left.device.type == "cpu":
            return F.grouped_mm(left, right.transpose(1, 2), offs=ends).bfloat16()
        out = torch.zeros(len(left), right.shape[1], dtype=torch.bfloat16, device=left.device)
        for expert, begin, end in segments(ends):
            out[begin:end] = left[begin:end] @ right[expert].t()
        return out

    def weight_gradient(self, a: Tiles, b: Tiles, ends: Tensor | None = None) -> Tensor:
        left, right = dequantize(a), dequantize(b)
        if ends is None:
            return transposed_product(left.t(), right.t())
        if left.device.type == "cpu":
            return F.grouped_mm(left, right.t(), offs=ends)
        out = torch.zeros(len(ends), left.shape[0], right.shape[0], device=left.device)
        for expert, begin, end in segments(ends):
            torch.mm(left[:, begin:end], right[:, begin:end].t(), out=out[expert])
        return out


def promoted_product(a: Tiles, b: Tiles) -> Tensor:
    """a b^T of tiles [M, K] and [N, K], with the sums of the module's docstring: FP32 [M, N]."""
    left, right = (decode(tiles.codes).double() for tiles in (a, b))
    total = torch.zeros(left.shape[0], right.shape[0], dtype=torch.float32, device=left.device)
    for tile in range(a.scales.shape[1]):
        places = slice(tile * TILE, (tile + 1) * TILE)
        partial = (left[:, places] @ right[:, places].t()).float()
        total = total + partial * (a.scales[:, tile, None] * b.scales[None, :, tile])
    return total


def _tokens(tiles: Tiles, begin: int, end: int) -> Tiles:
    """Tiles along tokens, of which an expert's are cut out."""
    return Tiles(tiles.codes[:, begin:end], tiles.scales[:, begin // TILE : -(-end // TILE)])


def _dequantized_weights(blocks: Blocks) -> Tensor:
    """In the memory order that the weights have, however they are looked at."""
    if blocks.codes.is_contiguous():
        return dequantize(blocks)
    return dequantize(blocks.transposed()).transpose(-1, -2)
