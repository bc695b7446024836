"""A linear layer in FP8: three products, each with the scales that its sum allows (section 3.3.2).

    y  = x W^T       x in 1 x 128 along features      W in 128 x 128
    dx = dy W        dy in 1 x 128 along features     W in 128 x 128, the same blocks
    dW = dy^T x      both in 128 x 1 along tokens

For the backward pass x stays in FP8, a byte and 1/32 a value, and is given scales along tokens then. Attention's output
stays in E5M6 instead (`training/fp8/e5m6.py`). Where recomputation will make x again, nothing of it stays.

dW comes out in FP32 and is added to an FP32 gradient (`Tensor.grad_dtype`); y and dx are BF16. The weights' blocks are
made again in the backward pass, of the same weights: two readings of them, for a byte a parameter.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from corpusmill.training.fp8.e5m6 import PackedTiles, pack_rows, unpack_rows
from corpusmill.training.fp8.operands import Operands, Recipe
from corpusmill.training.fp8.quantize import Tiles
from corpusmill.training.model.recompute import is_remade


def keep_input(x: Tensor, tiles: Tiles) -> tuple[Tensor, ...]:
    """What of an input [M, K] is saved for the backward pass."""
    return (x,) if is_remade(x) else (tiles.codes, tiles.scales)


def kept_tiles(kept: tuple[Tensor, ...], operands: Operands, power_of_two: bool) -> Tiles:
    """The input's tiles, of what was saved."""
    return operands.inputs(kept[0], power_of_two) if len(kept) == 1 else Tiles(*kept)


class _Linear(torch.autograd.Function):
    """See the module's docstring. x is [M, K]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, operands: Operands, tiles: Tiles, after_attention: bool) -> Tensor:
        ctx.operands, ctx.width, ctx.after_attention = operands, x.shape[1], after_attention
        if after_attention:
            packed = pack_rows(x)
            ctx.save_for_backward(weight, packed.pairs, packed.scales)
        else:
            ctx.save_for_backward(weight, *keep_input(x, tiles))
        return operands.backend.product(tiles, operands.weights(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        operands: Operands = ctx.operands
        weight, *kept = ctx.saved_tensors
        rows, columns = operands.gradients(gradients[0])
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            for_x = operands.backend.product(rows, operands.weights(weight).transposed())
        if ctx.needs_input_grad[1]:
            for_weight = operands.backend.weight_gradient(columns, _input_columns(ctx, kept))
        return for_x, for_weight, None, None, None


def _input_columns(ctx: Any, kept: list[Tensor]) -> Tiles:
    operands: Operands = ctx.operands
    if ctx.after_attention:
        pairs, scales = kept
        return operands.backend.columns(unpack_rows(PackedTiles(pairs, scales, ctx.width)), True)
    return operands.columns_of(kept_tiles(tuple(kept), operands, False))


class Fp8Linear(nn.Linear):
    """A learnable matrix without bias, multiplied in FP8.

    Args:
        inputs: K.
        outputs: N.
        recipe: of the model.
        after_attention: whether its input is attention's output: E5M6 for backward, and powers of two as scales, since
            they are used twice.
    """

    def __init__(self, inputs: int, outputs: int, recipe: Recipe, after_attention: bool = False) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.operands, self.after_attention = Operands(recipe), after_attention

    def forward(self, input: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs], BF16."""
        tiles = self.operands.inputs(input, self.after_attention)
        out = _Linear.apply(input.flatten(0, -2), self.weight, self.operands, tiles, self.after_attention)
        return out.unflatten(0, input.shape[:-1])
