"""V3's recipe for FP8 (section 3.3): what is computed and kept in which format. `--precision fp8` turns it on.

    products of linear layers and experts      FP8, all three of each (`linear.py`, `network.py`)
    embedding, head, norms, attention core     BF16, sums in FP32: `training/precision.py`
    router                                     FP32
    master weights, gradients                  FP32
    AdamW's moments                            BF16
    kept for backward                          inputs of linear layers and SwiGLU's inputs FP8, attention's output E5M6
    sent to experts                            FP8 with powers of two; what comes back BF16 (`payload.py`)

The first line is all that this package changes of precision "bfloat16"; checkpoints, ranks and layouts do not know it,
since weights and gradients are what they are there. Scales are made anew of each tensor, so a run has no state that a
checkpoint would have to hold.

Whatever layer `Matrices` makes is FP8, MTP's included, and nothing else is: embedding, head and routers don't come from
there. By operations that is 85 % of V3's forward pass at 4,096 tokens.
"""

import logging
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from corpusmill.training.fp8.backend import backend_for
from corpusmill.training.fp8.linear import Fp8Linear
from corpusmill.training.fp8.network import Fp8Swiglu
from corpusmill.training.fp8.operands import KINDS, Operands, Recipe
from corpusmill.training.model.matrices import PLAIN, Matrices, SwigluNetwork
from corpusmill.training.settings import TrainSettings

LOG = logging.getLogger(__name__)
_LAYER = re.compile(r"(layers|mtp)\.\d+")


class Fp8Matrices(Matrices):
    """Makes matrices that are multiplied in FP8, all by one recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def linear(self, inputs: int, outputs: int, after_attention: bool = False) -> nn.Linear:
        return Fp8Linear(inputs, outputs, self.recipe, after_attention)

    def swiglu(self) -> SwigluNetwork:
        return Fp8Swiglu(self.recipe)


def matrices_for(settings: TrainSettings, device: torch.device) -> Matrices:
    """What makes the matrices of a run. Raises UserError where its FP8 back end cannot run on the device."""
    if settings.precision != "fp8":
        return PLAIN
    backend = backend_for(settings.fp8_backend, device)
    LOG.info("FP8 products by %s", backend.name)
    return Fp8Matrices(
        Recipe(
            backend,
            power_of_two=settings.fp8_scales == "power_of_two",
            gradient_blocks=settings.fp8_gradient_groups == "blocks",
        )
    )


def operands_by_layer(model: nn.Module) -> Iterator[tuple[str, Operands]]:
    """("layers.3" or "mtp.0", operands) of all that multiplies in FP8, in the model's order."""
    for name, module in model.named_modules():
        if isinstance(module, Fp8Linear | Fp8Swiglu):
            layer = _LAYER.match(name)
            yield layer[0] if layer else name, module.operands


def take_counts(model: nn.Module, device: torch.device) -> tuple[list[str], Tensor]:
    """What was counted since this was last asked, on this rank: names of layers, and int64 [L, kinds, 3] of them.

    Counts are those of `share_at_ends`, by kind in the order of `KINDS`.
    """
    sums: dict[str, Tensor] = {}
    for layer, operands in operands_by_layer(model):
        total = sums.setdefault(layer, torch.zeros(len(KINDS), 3, dtype=torch.int64, device=device))
        for place, kind in enumerate(KINDS):
            if kind in operands.counts:
                total[place] += operands.counts[kind]
        operands.counts.clear()
    return list(sums), torch.stack(list(sums.values())) if sums else torch.zeros(0, len(KINDS), 3, dtype=torch.int64)


def shares(layers: list[str], counts: Tensor) -> dict[str, dict[str, list[float]]]:
    """Counts as shares of all values: {"layers.0": {"inputs": [saturated, flushed], …}}, to six places."""
    parts = (counts[..., 1:].double() / counts[..., :1].clamp(min=1)).tolist()
    return {
        layer: {kind: [round(share, 6) for share in kinds[place]] for place, kind in enumerate(KINDS)}
        for layer, kinds in zip(layers, parts, strict=True)
    }
