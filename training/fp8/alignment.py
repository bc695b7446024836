"""Rows of experts in places that begin at multiples of 128, so that tiles of 128 tokens belong to one expert each.

A weight's gradient sums over tokens, and its tiles are 128 tokens long. Kernels of Hopper take 64 or 128 rows at a time
besides. So before routed experts compute, their rows move apart: each expert gets as many places as the next multiple
of 128 above its rows, and what is left over is zeros, which add nothing to any sum and whose results nobody reads.
Cost: up to 127 rows an expert, 64 on average.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from corpusmill.training.fp8.quantize import TILE


@dataclass(frozen=True)
class Alignment:
    """Where rows sorted by expert go."""

    places: Tensor
    """[N] int64: the place of each row, ascending."""
    ends: Tensor
    """[E] int32: where each expert's places end; multiples of 128."""
    length: int
    """How many places there are."""


def align(ends: Tensor, rows: int) -> Alignment:
    """The alignment of rows whose experts end at `ends` [E] int32. On GPUs there are as many places as could be
    needed, since the exact number would have to be waited for."""
    counts = ends.diff(prepend=ends.new_zeros(1))
    padded = (counts + TILE - 1) // TILE * TILE
    aligned = padded.cumsum(0).to(torch.int32)
    shifts = (aligned - padded - (ends - counts)).long()
    experts = torch.searchsorted(ends.long(), torch.arange(rows, device=ends.device), right=True)
    places = torch.arange(rows, device=ends.device) + shifts[experts]
    if ends.device.type == "cpu":
        length = int(aligned[-1])
    else:
        length = -(-rows // TILE) * TILE + TILE * len(ends)
    return Alignment(places, aligned, length)


class _Spread(torch.autograd.Function):
    """Rows to their places, zeros elsewhere; the gradient comes back from the same places."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, length: int) -> Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros(length, rows.shape[1]).index_copy_(0, places, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].index_select(0, places), None, None


class _Gather(torch.autograd.Function):
    """The way back."""

    @staticmethod
    def forward(ctx: Any, spread: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.length = len(spread)
        return spread.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        rows = gradients[0]
        return rows.new_zeros(ctx.length, rows.shape[1]).index_copy_(0, places, rows), None


def spread_rows(rows: Tensor, alignment: Alignment) -> Tensor:
    """[N, D] to [length, D]."""
    return _Spread.apply(rows, alignment.places, alignment.length)


def gather_rows(spread: Tensor, alignment: Alignment) -> Tensor:
    """[length, D] to [N, D]."""
    return _Gather.apply(spread, alignment.places)
