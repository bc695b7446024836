"""Expert parallelism: each rank of the expert axis has a part of every layer's experts, and tokens travel to them.

On the way a token is copied no more often than it must be. Where the expert ranks are on several machines, it makes two
hops, as in section 3.2.2 of the report: one copy to each machine that has an expert of its own, to the rank there with
the number of the sending one; then one copy to each rank of that machine with such an expert. By the router's group
limit that is at most M copies between machines, however many experts are chosen. On one machine there is the second hop
alone. At its end a rank sorts its copies by expert, one row for each expert chosen there.

On the way back the results of one token are weighed and summed where they meet: on the expert's rank, on the machine,
and at home, in FP32 each time; what travels is in the type of the activations. So sums are associated in another way
than on one device, and results are equal but for rounding. No token is ever dropped, and any rank may get all of them
or none.

Legend: N tokens, D width, E experts, K chosen experts a token.
"""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from corpusmill.training.model.placement import Placement
from corpusmill.training.parallel.ranks import Ranks
from corpusmill.training.parallel.wire import Route, Traffic, counts_of_all, measured_chunk, travel

ELSEWHERE = -1
"""Stands for a chosen expert that another copy of the token goes to."""


class ExpertParallel(Placement):
    """Experts divided among the ranks of the expert axis, in order.

    Args:
        ranks: laid out on a mesh.
        packed: whether tokens travel in FP8.
        chunk: rows sent to a rank at a time; 0: all.
    """

    def __init__(self, ranks: Ranks, *, packed: bool = False, chunk: int = 0) -> None:
        self.ranks, self.packed, self.chunk = ranks, packed, chunk
        self.axes = [axis for axis in ("node", "local") if ranks.size(axis) > 1]
        self.traffic = {axis: Traffic() for axis in self.axes}
        """What this rank has sent, by hop: between machines, and on one."""
        self._seconds: dict[int, float] = {}

    def measure(self, width: int, dtype: torch.dtype) -> None:
        """Tries sizes of chunks on the first hop, and takes the fastest. All ranks call it."""
        self.chunk, self._seconds = measured_chunk(self.ranks, self.axes[0], width, dtype)

    def record(self) -> dict[str, Any]:
        return {
            "chunk": self.chunk,
            "seconds": {str(chunk): seconds for chunk, seconds in self._seconds.items()},
            "sent": {axis: asdict(traffic) for axis, traffic in self.traffic.items()},
        }

    def experts(self, n_experts: int) -> range:
        share = n_experts // self.ranks.size("expert")
        first = self.ranks.number("expert") * share
        return range(first, first + share)

    def exchange(self, chosen: Tensor, gates: Tensor, n_experts: int) -> "Journey":
        return Journey(self, chosen, gates, n_experts)

    def destinations(self, axis: str, chosen: Tensor, n_experts: int) -> Tensor:
        """The number on an axis of the rank to go to for each chosen expert; ELSEWHERE stays."""
        to_rank = chosen.div(n_experts // self.ranks.size("expert"), rounding_mode="floor")
        local = self.ranks.size("local")
        number = to_rank.div(local, rounding_mode="floor") if axis == "node" else to_rank.remainder(local)
        return number.where(chosen != ELSEWHERE, ELSEWHERE)


class _Hop:
    """Copies of rows to the ranks of one axis, and sums of what comes back."""

    def __init__(self, placement: ExpertParallel, axis: str, chosen: Tensor, n_experts: int) -> None:
        ranks, self.packed = placement.ranks, placement.packed
        towards = placement.destinations(axis, chosen, n_experts)
        size = ranks.size(axis)
        wanted = torch.zeros(len(chosen), size + 1, dtype=torch.bool, device=chosen.device)
        wanted.scatter_(1, towards.remainder(size + 1), True)  # ELSEWHERE marks the column behind the last
        wanted = wanted[:, :size]
        self.rows = len(chosen)
        self.source = wanted.t().nonzero()[:, 1]
        """Row that each copy is of, sorted by destination."""
        traffic = placement.traffic[axis]
        counts = counts_of_all(wanted.sum(0), ranks, axis)
        self.route = Route(ranks, axis, counts, placement.chunk, traffic)
        number = ranks.number(axis)
        others = wanted.clone()
        others[:, number] = False
        copies = others.sum(1)
        traffic.copies += int(copies.sum())
        traffic.most_copies = max(traffic.most_copies, int(copies.max()) if len(copies) else 0)
        arrived = self.route.go(chosen.to(torch.int32).index_select(0, self.source), "choices").to(chosen.dtype)
        here = placement.destinations(axis, arrived, n_experts) == number
        self.chosen = arrived.where(here, ELSEWHERE)
        """[copies that arrived, K]: the experts that each still has to go to."""

    def there(self, x: Tensor) -> Tensor:
        return travel(x.index_select(0, self.source), self.route, "tokens", packed=self.packed)

    def gates(self, gates: Tensor) -> Tensor:
        return travel(gates.index_select(0, self.source), self.route, "gates")

    def back(self, results: Tensor) -> Tensor:
        copies = travel(results, self.route, "results", back=True, packed_back=self.packed)
        return sum_rows(copies, self.source, self.rows)


def sum_rows(rows: Tensor, target: Tensor, count: int) -> Tensor:
    """[count, D], each the sum, in FP32, of the rows whose `target` it is."""
    sums = rows.new_zeros(count, rows.shape[1], dtype=torch.float32)
    return sums.index_add(0, target, rows.float()).to(rows.dtype)


class Journey:
    """An `Exchange` over the ranks of the expert axis."""

    def __init__(self, placement: ExpertParallel, chosen: Tensor, gates: Tensor, n_experts: int) -> None:
        self._hops: list[_Hop] = []
        for axis in placement.axes:
            hop = _Hop(placement, axis, chosen, n_experts)
            gates, chosen = hop.gates(gates), hop.chosen
            self._hops.append(hop)
        here = placement.experts(n_experts)
        row, place = (chosen != ELSEWHERE).nonzero(as_tuple=True)
        expert = chosen[row, place] - here.start
        order = expert.argsort(stable=True)
        self._copies, self._row = len(chosen), row[order]
        self._gates = gates[self._row, place[order]]
        counts = torch.bincount(expert, minlength=len(here))
        self._empty = len(row) == 0
        if self._empty:
            counts[-1] = 1  # grouped products have no gradient of no rows: one row of zeros stands in
        self.ends = counts.cumsum(0).to(torch.int32)

    def send(self, x: Tensor) -> Tensor:
        """Tokens [N, D] to rows of the experts of this rank, sorted by expert."""
        for hop in self._hops:
            x = hop.there(x)
        rows = x.index_select(0, self._row)
        return torch.cat([rows, rows.new_zeros(1, rows.shape[1])]) if self._empty else rows

    def combine(self, rows: Tensor) -> Tensor:
        """The experts' outputs to tokens [N, D]."""
        if self._empty:
            rows = rows[:0]
        weighed = rows.float() * self._gates.unsqueeze(-1)
        results = sum_rows(weighed, self._row, self._copies).to(rows.dtype)
        for hop in reversed(self._hops):
            results = hop.back(results)
        return results
