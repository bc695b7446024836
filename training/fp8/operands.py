"""How one layer quantises what it multiplies, and what it counts while it does.

Shares of values at the two ends of E4M3 say whether 8 bits suffice: *saturated* is the largest code, which the largest
value of every group gets, and *flushed* a value other than 0 that became 0. They are counted by layer and kind only in
steps whose metrics are written out in full (`Recipe.counting`), since counting costs as much as quantising.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from corpusmill.training.fp8.backend import Backend
from corpusmill.training.fp8.quantize import Blocks, Tiles, as_tiles, share_at_ends

KINDS = ("inputs", "weights", "gradients")


@dataclass
class Recipe:
    """What all layers of a model have in common."""

    backend: Backend
    power_of_two: bool = False
    """Whether all scales are powers of two, and not only those that have to be."""
    gradient_blocks: bool = False
    """Whether gradients that activations' gradients are made of have a scale a block of 128 x 128: the report's
    negative result."""
    counting: bool = False
    """Whether passes count what is saturated and flushed."""


@dataclass
class Operands:
    """One layer's operands.

    Attributes:
        recipe: shared by all layers.
        counts: int64 [3] by kind, as of `share_at_ends`, since they were last taken.
    """

    recipe: Recipe
    counts: dict[str, Tensor] = field(default_factory=dict)

    @property
    def backend(self) -> Backend:
        return self.recipe.backend

    def inputs(self, x: Tensor, power_of_two: bool = False) -> Tiles:
        """Activations [..., K] as rows in tiles along K. A tensor that several layers read is quantised once."""
        wanted = power_of_two or self.recipe.power_of_two
        known = getattr(x, "_fp8_tiles", None)
        if known is not None and known[:2] == (x._version, wanted):
            return known[2]
        tiles = self.backend.rows(x.detach().flatten(0, -2), wanted)
        self._count("inputs", tiles.codes, x)
        x._fp8_tiles = (x._version, wanted, tiles)  # type: ignore[attr-defined]
        return tiles

    def activated(self, gate: Tensor, up: Tensor) -> Tiles:
        """silu(gate) * up in tiles."""
        return self.backend.swiglu_rows(gate, up, self.recipe.power_of_two)

    def weights(self, weight: Tensor) -> Blocks:
        """Weights [..., N, K] in blocks."""
        blocks = self.backend.blocks(weight, self.recipe.power_of_two)
        self._count("weights", blocks.codes, weight)
        return blocks

    def gradients(self, dy: Tensor) -> tuple[Tiles, Tiles]:
        """Gradients [M, N] in tiles along N, for the input's gradient, and along M, for the weight's."""
        if self.recipe.gradient_blocks:
            tiles = as_tiles(self.backend.blocks(dy, self.recipe.power_of_two))
            columns = self.backend.columns(dy, self.recipe.power_of_two)
        else:
            tiles, columns = self.backend.rows_and_columns(dy, self.recipe.power_of_two)
        self._count("gradients", tiles.codes, dy)
        return tiles, columns

    def sent_gradients(self, dy: Tensor) -> tuple[Tiles, Tiles]:
        """The same for gradients that travel to experts as `training/fp8/payload.py` has it: powers of two, and the
        tiles along M are made of what arrives."""
        if self.recipe.gradient_blocks:
            return self.gradients(dy)
        tiles = self.backend.rows(dy, True)
        self._count("gradients", tiles.codes, dy)
        return tiles, self.columns_of(tiles)

    def columns(self, x: Tensor) -> Tiles:
        """Activations [M, K] in tiles along M."""
        return self.backend.columns(x, self.recipe.power_of_two)

    def columns_of(self, tiles: Tiles) -> Tiles:
        """Tiles along the last axis again as tiles along the first."""
        return self.backend.requantized_columns(tiles, self.recipe.power_of_two)

    def _count(self, kind: str, codes: Tensor, values: Tensor) -> None:
        # Inputs and weights in forward passes only: in backward passes they may be there a second time.
        if not self.recipe.counting or (kind != "gradients" and in_backward()):
            return
        counts = share_at_ends(codes, values)
        self.counts[kind] = self.counts[kind] + counts if kind in self.counts else counts


def in_backward() -> bool:
    """Whether autograd is running a backward pass in this thread."""
    return torch._C._current_graph_task_id() != -1
