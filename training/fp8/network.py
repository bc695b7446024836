"""A SwiGLU network in FP8 as one operation, dense or of routed experts: w2(silu(w1 x) * w3 x).

One operation, because what is kept between its products is V3's to choose (section 3.3.3): of the wide middle, SwiGLU's
two inputs stay, in FP8 with tiles of 1 x 128, and its output is made again of them in the backward pass. That is 2
bytes a value of inner width where BF16 keeps 8. x is quantised once for both w1 and w3. The report says so of experts;
here dense networks do the same. It does not depend on the setting `recompute`, since it changes numbers: the backward
pass sees SwiGLU's inputs as FP8 has them.

Routed experts compute on rows in aligned places (`training/fp8/alignment.py`). Their input and the gradient of their
output have power-of-two scales, as they would have travelled (`training/fp8/payload.py`).

Legend: M rows, K width, I inner width, E experts.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from corpusmill.training.fp8.alignment import align, gather_rows, spread_rows
from corpusmill.training.fp8.linear import keep_input, kept_tiles
from corpusmill.training.fp8.operands import Operands, Recipe
from corpusmill.training.fp8.quantize import Tiles, dequantize


class _Network(torch.autograd.Function):
    """Rows [M, K] through the network; `ends` [E] int32 for experts, else None."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        w1: Tensor,
        w3: Tensor,
        w2: Tensor,
        ends: Tensor | None,
        operands: Operands,
        tiles: Tiles,
    ) -> Tensor:
        product, recipe = operands.backend.product, operands.recipe
        gate = product(tiles, operands.weights(w1), ends)
        up = product(tiles, operands.weights(w3), ends)
        middle = [operands.backend.rows(tensor, recipe.power_of_two) for tensor in (gate, up)]
        ctx.operands, ctx.routed = operands, ends is not None
        saved = [tensor for tiles in middle for tensor in (tiles.codes, tiles.scales)]
        ctx.save_for_backward(w1, w3, w2, ends, *saved, *keep_input(x, tiles))
        return product(operands.activated(gate, up), operands.weights(w2), ends)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        operands: Operands = ctx.operands
        w1, w3, w2, ends, gate_codes, gate_scales, up_codes, up_scales, *kept = ctx.saved_tensors
        product, weight_gradient = operands.backend.product, operands.backend.weight_gradient
        gate, up = (dequantize(Tiles(*pair)) for pair in ((gate_codes, gate_scales), (up_codes, up_scales)))

        out, out_columns = (operands.sent_gradients if ctx.routed else operands.gradients)(gradients[0])
        by_middle = product(out, operands.weights(w2).transposed(), ends)
        activated, by_gate, by_up = swiglu_and_gradients(gate, up, by_middle)
        by_w2 = weight_gradient(out_columns, operands.columns(activated), ends)
        del gate, up, by_middle, activated, out, out_columns

        columns = operands.columns_of(kept_tiles(tuple(kept), operands, ctx.routed))
        by_x, by_weights = None, []
        for by_side, weight in ((by_gate, w1), (by_up, w3)):
            side, side_columns = operands.gradients(by_side)
            by_weights.append(weight_gradient(side_columns, columns, ends))
            part = product(side, operands.weights(weight).transposed(), ends)
            by_x = part if by_x is None else by_x + part
        return by_x, *by_weights, by_w2, None, None, None


def swiglu_and_gradients(gate: Tensor, up: Tensor, by_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """silu(gate) * up, and the gradients by gate and up of the one by it: all BF16, computed in FP32.

    Args:
        gate: [M, I] FP32.
        up: [M, I] FP32.
        by_out: [M, I] BF16.
    """
    slope = gate.sigmoid()
    silu, slopes = gate * slope, by_out.float()
    by_gate = slopes * up * (slope * (1 + gate * (1 - slope)))
    return (silu * up).bfloat16(), by_gate.bfloat16(), (slopes * silu).bfloat16()


class Fp8Swiglu(nn.Module):
    """A `SwigluNetwork` (`training/model/matrices.py`) in FP8. Holds no weights."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.operands = Operands(recipe)

    def forward(self, x: Tensor, w1: Tensor, w3: Tensor, w2: Tensor, ends: Tensor | None = None) -> Tensor:
        """x [..., K], or rows [N, K] sorted by expert where `ends` [E] says where each expert's rows end."""
        if ends is None:
            out = _Network.apply(x.flatten(0, -2), w1, w3, w2, None, self.operands, self.operands.inputs(x))
            return out.unflatten(0, x.shape[:-1])
        alignment = align(ends, len(x))
        rows = spread_rows(x, alignment)
        tiles = self.operands.inputs(rows, power_of_two=True)
        return gather_rows(_Network.apply(rows, w1, w3, w2, alignment.ends, self.operands, tiles), alignment)
