"""Parameters of one type in one long buffer, cut so that each rank owns whole ones.

ZeRO-1 sums gradients by one reduce-scatter and spreads new weights by one all-gather. Both want a buffer of W equal
parts, with part r belonging to rank r. So parameters are dealt into W bins of nearly equal size; bin r, padded to the
largest, is part r. The model's parameters and gradients become views into two such buffers, so nothing is packed or
unpacked.

Dealing whole parameters keeps names and shapes in checkpoints, and an optimiser that sees tensors as they are. The
price: no part is smaller than the largest parameter, so parts stop shrinking once W exceeds total over largest (8 for
tiny and laptop, 21 for h200-small, 182 for V3). Largest first, each to the emptiest bin (Graham's rule), gives parts
within 6 % of even for W up to half of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from corpusmill.training.parallel.ranks import Ranks
from corpusmill.training.precision import set_compute_weight

ALIGNMENT = 64
"""Parameters begin at a multiple of so many elements: 128 bytes of BF16. Grouped matmuls need 16."""


@dataclass(frozen=True)
class Deal:
    """Who owns which parameter, and where it begins."""

    owner: dict[str, int]
    """Rank by name."""
    offset: dict[str, int]
    """First element within the owner's part, by name."""
    length: int
    """Elements of each part, padding included."""


def deal(sizes: Mapping[str, int], world_size: int) -> Deal:
    """Deals parameters of these element counts into bins of nearly equal size; the same on all ranks."""
    loads = [0] * world_size
    owner: dict[str, int] = {}
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        owner[name] = loads.index(min(loads))
        loads[owner[name]] += _aligned(sizes[name])
    ends, offset = [0] * world_size, {}
    for name in sizes:
        offset[name] = ends[owner[name]]
        ends[owner[name]] += _aligned(sizes[name])
    return Deal(owner, offset, max(loads))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class FlatParameters:
    """Buffers of some parameters, of which this rank owns a part. Takes over the parameters' storage.

    Args:
        parameters: by name, in the model's order, with the values to start from in FP32.
        dtype: type in which they compute.
        ranks: who trains.
        axis: of the mesh, whose ranks share these parameters: "batch", or "data" for experts.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], dtype: torch.dtype, ranks: Ranks, axis: str = "batch"
    ) -> None:
        self.parameters = parameters
        self._group, self._size, self._number = ranks.group(axis), ranks.size(axis), ranks.number(axis)
        self.deal = deal({name: parameter.numel() for name, parameter in parameters.items()}, self._size)
        whole = self._size * self.deal.length
        device = next(iter(parameters.values())).device
        self._weights = torch.zeros(whole, dtype=dtype, device=device)
        self._gradients = torch.zeros(whole, dtype=torch.float32, device=device)
        self.masters: dict[str, Tensor] = {}
        """FP32 weights that this rank owns: where the computation is in FP32, the parameters themselves."""
        for name, parameter in parameters.items():
            values, place = parameter.data, self._view(self._weights, name)
            place.copy_(values)
            set_compute_weight(parameter, place)
            parameter.grad = self._view(self._gradients, name)
            if self.deal.owner[name] == self._number:
                self.masters[name] = place if dtype == torch.float32 else values
        for name, master in self.masters.items():
            master.grad = self._view(self._gradients, name)

    def _part(self, buffer: Tensor) -> Tensor:
        """This rank's part of a buffer."""
        return buffer.narrow(0, self._number * self.deal.length, self.deal.length)

    def _view(self, buffer: Tensor, name: str) -> Tensor:
        """One parameter's place in a buffer, in its shape."""
        begin = self.deal.owner[name] * self.deal.length + self.deal.offset[name]
        shape = self.parameters[name].shape
        return buffer.narrow(0, begin, shape.numel()).view(shape)

    def reduce(self) -> None:
        """Sums gradients over ranks: this rank's part then holds the sums, in place; the others hold anything."""
        if self._size > 1:
            dist.reduce_scatter_single(self._part(self._gradients), self._gradients, group=self._group)

    @torch.no_grad()
    def spread(self) -> None:
        """New masters become compute weights, here and on all other ranks."""
        for name, master in self.masters.items():
            place = self._view(self._weights, name)
            if place.data_ptr() != master.data_ptr():
                place.copy_(master)
        if self._size > 1:
            dist.all_gather_single(self._weights, self._part(self._weights), group=self._group)

    def zero_gradients(self) -> None:
        """Gradients of the next step start from zero."""
        self._gradients.zero_()
