"""ZeRO-1: every rank computes with whole weights, and owns a part of what the optimiser needs (section 3.1).

As in Rajbhandari et al. 2020 (arXiv 1910.02054, P_os): once a step, gradients are summed by a reduce-scatter that gives
each rank the sums of what it owns; it moves those masters by AdamW, with moments that only it keeps; an all-gather
brings the new weights to all. That moves as many bytes as the all-reduce of plain data parallelism.

Bytes a parameter and rank, of W ranks, with precision and moments both FP32 or both BF16:

                              FP32            BF16
    compute weights           4               2
    gradients                 4               4
    masters                   none of their own 4 / W
    moments                   8 / W           4 / W

Experts that are spread over an expert axis are shared, part by part, by the ranks of the data axis alone.

What no other rank shares, which alone is everything, is not flat: gradients are made by the first micro-batch and freed
by `zero_gradients`, and in FP32 the model's own parameters are the masters.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from corpusmill.training.model.transformer import Transformer
from corpusmill.training.optimizer import make_optimizer, moments_by_name, set_learning_rate, set_steps
from corpusmill.training.parallel.flat import FlatParameters
from corpusmill.training.parallel.ranks import Ranks
from corpusmill.training.parallel.weights import Weights
from corpusmill.training.precision import TYPES, compute_types, set_compute_weight


class Zero1(Weights):
    """Weights of a model whose optimiser state is spread over ranks. Takes the model's parameters over.

    Args:
        model: with FP32 weights to start from, equal on all ranks.
        ranks: who shares the work.
        precision: "float32" or "bfloat16", for the computation.
        moments: the same, for the optimiser's moments.
        weight_decay: of matrices.
    """

    def __init__(
        self,
        model: Transformer,
        ranks: Ranks,
        precision: str = "float32",
        moments: str = "float32",
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(model, ranks)
        self._parameters = dict(model.named_parameters())
        types = compute_types(model, precision)
        self._flat: list[FlatParameters] = []
        masters: dict[str, Tensor] = {}
        for axis, dtype, names in self._shares(types):
            if self._only_here(axis, dtype):
                masters |= {name: self._own(self._parameters[name], dtype) for name in names}
            else:
                self._flat.append(FlatParameters({name: self._parameters[name] for name in names}, dtype, ranks, axis))
        self._unshared = list(masters)
        """Parameters that no other rank has."""
        masters |= {name: master for flat in self._flat for name, master in flat.masters.items()}
        self._masters = {name: masters[name] for name in self._parameters if name in masters}
        self._optimizer = make_optimizer(self._masters.values(), weight_decay, TYPES[moments])

    def _shares(self, types: dict[str, torch.dtype]) -> Iterator[tuple[str, torch.dtype, list[str]]]:
        """(axis whose ranks share them, type, names) of parameters: experts that are spread have fewer replicas."""
        names = {"batch": [name for name in self._parameters if name not in self.slices], "data": list(self.slices)}
        for axis, listed in names.items():
            for dtype in sorted({types[name] for name in listed}, key=str):
                yield axis, dtype, [name for name in listed if types[name] == dtype]

    def _only_here(self, axis: str, dtype: torch.dtype) -> bool:
        """Whether parameters are left as they are. torch's pipelines add to gradients in their own type, so those that
        are summed in another one are laid out flat there, too, to be there from the start."""
        ranks = self.ranks
        return ranks.size(axis) == 1 and (ranks.size("pipeline") == 1 or dtype == torch.float32)

    @staticmethod
    def _own(parameter: nn.Parameter, dtype: torch.dtype) -> Tensor:
        """The master of a parameter that no other rank shares."""
        master = parameter.data
        if dtype != torch.float32:
            set_compute_weight(parameter, master.to(dtype))
        return master

    def reduce_gradients(self) -> None:
        for flat in self._flat:
            flat.reduce()
        for name in self._unshared:
            self._masters[name].grad = self._parameters[name].grad

    def gradients(self) -> list[Tensor]:
        return [master.grad for master in self._masters.values() if master.grad is not None]

    def gradient_norms(self) -> Tensor:
        norms = torch.zeros(len(self.names), device=self.ranks.device)
        gradients = self.gradients()
        if gradients:
            owned = {name for name, master in self._masters.items() if master.grad is not None}
            places = [place for place, name in enumerate(self.names) if name in owned]
            norms[places] = torch.stack(torch._foreach_norm(gradients))
        if self.ranks.layout.expert == 1:
            return self.ranks.sum_(norms)  # each has one owner, and the others 0
        return self.ranks.sum_(norms.square()).sqrt()

    def step(self, learning_rate: float) -> None:
        set_learning_rate(self._optimizer, learning_rate)
        self._optimizer.step()
        self.follow()

    @torch.no_grad()
    def follow(self) -> None:
        for flat in self._flat:
            flat.spread()
        for name in self._unshared:
            parameter, master = self._parameters[name].data, self._masters[name]
            if parameter.data_ptr() != master.data_ptr():
                parameter.copy_(master)

    def zero_gradients(self) -> None:
        for flat in self._flat:
            flat.zero_gradients()
        for name in self._unshared:
            self._parameters[name].grad = self._masters[name].grad = None

    def masters(self) -> dict[str, Tensor]:
        return dict(self._masters)

    def moments(self) -> dict[str, Tensor]:
        return moments_by_name(self._optimizer, self._masters)

    def loaded(self, steps: int) -> None:
        set_steps(self._optimizer, steps)
        self.follow()
