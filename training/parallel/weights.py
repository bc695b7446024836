"""What a step does with weights, however they are spread over ranks.

Three things are called weights in a run of several ranks in mixed precision. *Compute weights* are what the model
multiplies with, perhaps in BF16. *Masters* are the same numbers in FP32, which the optimiser moves. And each master has
one *owner* among the ranks, which alone keeps it and its two moments. A step is then always the same few calls:

    for each micro-batch:  with weights.accumulating(last): loss.backward()
    weights.reduce_gradients()          owners get the sum over all ranks
    weights.clip_gradients(1.0)
    weights.step(rate)                  owners move masters; compute weights follow on all ranks
    weights.zero_gradients()

Losses are divided by the whole batch's counts before `backward`, so gradients are summed over ranks, never averaged.
Everything is named by the model's parameter names, whatever the layout, so that what one layout saved another loads.

The gradient's norm is taken over one norm a parameter, in the model's order. It therefore does not depend on how
parameters are spread, except for the rounding of the gradients themselves; in one process it is what torch's
`clip_grad_norm_` computes, bit for bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from corpusmill.training.checkpoint.pieces import Piece
from corpusmill.training.model.moe import slices
from corpusmill.training.model.transformer import Transformer, parameter_names
from corpusmill.training.parallel.ranks import Ranks


class Weights(ABC):
    """Weights of a model in training. All ranks must make the same calls in the same order."""

    def __init__(self, model: Transformer, ranks: Ranks) -> None:
        self.model = model
        """What computes."""
        self.ranks = ranks
        self.slices = slices(model)
        """Parameters that are parts of larger tensors, of which other ranks have the rest."""
        self.names = parameter_names(model)
        """Of all parameters of the model, also those that are on other ranks, in its order."""
        self._buffers = {
            f"{prefix}.{name}": buffer
            for prefix, module in model.named_modules()
            for name, buffer in module.named_buffers(recurse=False)
            if name not in module._non_persistent_buffers_set
        }

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        """Surrounds forward and backward of one micro-batch; `last` for the last of a step."""
        yield

    def passes(self, micro_batches: int) -> int:
        """How many forward and backward passes this rank has to make for so many micro-batches of its own.

        More than it has micro-batches only where a pass itself involves several ranks (FSDP2, experts that are
        spread); the extra passes are made with `empty_batch`.
        """
        return self._most(micro_batches) if self.ranks.size("expert") > 1 else micro_batches

    def _most(self, count: int) -> int:
        """The largest of the counts of all ranks that share a batch."""
        counts = torch.zeros(self.ranks.size("batch"), dtype=torch.int64, device=self.ranks.device)
        counts[self.ranks.number("batch")] = count
        return int(self.ranks.sum_(counts, "batch").max())

    @abstractmethod
    def reduce_gradients(self) -> None:
        """Gives each owner the whole batch's gradients of what it owns, in FP32."""

    def clip_gradients(self, limit: float) -> float:
        """Scales all gradients down together where their global norm is above `limit`; returns the norm before."""
        total = torch.linalg.vector_norm(self.gradient_norms())
        factor = torch.clamp(limit / (total + 1e-6), max=1.0)
        gradients = self.gradients()
        if gradients:
            torch._foreach_mul_(gradients, factor)
        return total.item()

    @abstractmethod
    def gradient_norms(self) -> Tensor:
        """The Euclidean norm of each parameter's gradient: FP32 [P] in the model's order, equal on all ranks."""

    @abstractmethod
    def gradients(self) -> list[Tensor]:
        """What this rank owns of the gradients."""

    @abstractmethod
    def step(self, learning_rate: float) -> None:
        """Moves the owned masters by AdamW; compute weights follow everywhere."""

    @abstractmethod
    def follow(self) -> None:
        """Copies masters to compute weights, on all ranks: to be called after masters were changed in place."""

    @abstractmethod
    def zero_gradients(self) -> None:
        """Forgets the gradients of a step."""

    @abstractmethod
    def masters(self) -> dict[str, Tensor]:
        """Owned FP32 weights by parameter name: live, to be changed in place (and `follow` called after)."""

    @abstractmethod
    def moments(self) -> dict[str, Tensor]:
        """AdamW's moments of the owned masters: live, as `exp_avg.<name>` and `exp_avg_sq.<name>`."""

    def placed(self, name: str, tensor: Tensor) -> Tensor | Piece:
        """A tensor in the shape of a parameter as checkpoints see it: a piece of the whole, where it is one."""
        part = self.slices.get(name)
        return tensor if part is None else Piece(tensor, part.shape, part.start)

    def tensors(self) -> dict[str, Tensor | Piece]:
        """What a checkpoint holds of this rank: owned masters and router biases as `model.<name>`, and moments.

        All are live and may be filled in place; call `loaded` then. Biases are on every rank, equal.
        """
        weights = {f"model.{name}": self.placed(name, tensor) for name, tensor in self.masters().items()}
        buffers = {f"model.{name}": tensor for name, tensor in self._buffers.items()}
        moments = {name: self.placed(name.split(".", 1)[1], tensor) for name, tensor in self.moments().items()}
        return {**weights, **buffers, **moments}

    @abstractmethod
    def loaded(self, steps: int) -> None:
        """Updates what depends on `tensors()` after they were filled from a checkpoint of `steps` steps."""
