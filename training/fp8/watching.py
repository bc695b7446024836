"""How many values FP8 saturates and flushes, by layer, in the metrics of a run.

A field of the lines that held-back losses stand in, for runs in precision "fp8" alone:

    "fp8": {"layers.0": {"inputs": [saturated, flushed], "weights": […], "gradients": […]}, …, "mtp.0": …}

Shares of all values of that step, over all micro-batches and ranks, so they follow from the seed as all metrics do.
"""

from typing import Any

from corpusmill.training.fp8.policy import Fp8Matrices, shares, take_counts
from corpusmill.training.model.matrices import Matrices
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.parallel.ranks import Ranks


class Fp8Watch:
    """Counts in a model of any precision; where it is not FP8, there is nothing to count."""

    def __init__(self, model: Transformer, matrices: Matrices, ranks: Ranks) -> None:
        self._model, self._ranks = model, ranks
        self._recipe = matrices.recipe if isinstance(matrices, Fp8Matrices) else None

    def count(self, wanted: bool) -> None:
        """Whether the passes from now on count."""
        if self._recipe is not None:
            self._recipe.counting = wanted

    def take(self) -> dict[str, Any]:
        """The field of metrics for what was counted since, empty where nothing was to be. All ranks call it alike."""
        if self._recipe is None or not self._recipe.counting:
            return {}
        self._recipe.counting = False
        layers, counts = take_counts(self._model, self._ranks.device)
        return {"fp8": shares(layers, self._ranks.sum_(counts))}

    def forget(self) -> None:
        """Drops what was counted in a step that is left out."""
        if self._recipe is not None:
            take_counts(self._model, self._ranks.device)
