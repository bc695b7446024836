"""Rows of tensors on their way between ranks, and their gradients on the way back.

A `Route` says how many rows go from each rank of a group to each other; `travel` moves rows along it, differentiably:
the gradient takes the same route backwards. What the wire carries is the rows as they are, or E4M3 with power-of-two
scales in bytes (`training/fp8/payload.py`), one way and not the other: V3 sends tokens to experts, and the gradients of
what they return, in FP8; results and the gradients of tokens stay BF16 (section 3.3.3).

Rows go in chunks of so many to each rank. How many is a matter of time alone, since nothing is computed on the way:
DeepSeek's kernels tune the size as well (section 3.2.2), and `measured_chunk` tries a few at the start of a run.

Cost: a chunk's rows twice, in memory, where there are several chunks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from corpusmill.training.fp8.payload import from_payload, to_payload
from corpusmill.training.parallel.ranks import Ranks

CHUNKS = (256, 1024, 4096, 16384)
"""Rows to a rank at a time that are tried; 0 is all at once."""
_TRIED_ROWS = 8192
_TRIES = 3


@dataclass
class Traffic:
    """What one rank has sent to others on one axis. Rows and bytes that stay on the rank are not counted."""

    copies: int = 0
    """Tokens, each as often as it was sent."""
    most_copies: int = 0
    """The most that one token was sent to."""
    bytes: dict[str, int] = field(default_factory=dict)
    """By what was sent: "tokens", "gates", "results" and the gradients of each."""

    def add(self, what: str, count: int) -> None:
        """Counts bytes."""
        self.bytes[what] = self.bytes.get(what, 0) + count


@dataclass(frozen=True)
class Route:
    """Rows between the ranks of an axis."""

    ranks: Ranks
    axis: str
    counts: list[list[int]]
    """[from][to] rows, known on all of them."""
    chunk: int
    """Rows to a rank at a time; 0: all."""
    traffic: Traffic

    @property
    def sent(self) -> list[int]:
        """Rows that this rank sends to each."""
        return self.counts[self.ranks.number(self.axis)]

    @property
    def received(self) -> list[int]:
        """Rows that this rank gets from each."""
        number = self.ranks.number(self.axis)
        return [row[number] for row in self.counts]

    def go(self, rows: Tensor, what: str, back: bool = False) -> Tensor:
        """Rows [sum of sent, …], sorted by where they go, to rows [sum of received, …], sorted by where they are from;
        `back`: the other way round."""
        sent, received = (self.received, self.sent) if back else (self.sent, self.received)
        own = self.ranks.number(self.axis)
        row_bytes = rows[:1].nbytes if len(rows) else 0
        self.traffic.add(what, (sum(sent) - sent[own]) * row_bytes)
        group, rows = self.ranks.group(self.axis), rows.contiguous()
        out = rows.new_empty(sum(received), *rows.shape[1:])
        most = max(map(max, self.counts))
        if not self.chunk or most <= self.chunk:
            dist.all_to_all_single(out, rows, received, sent, group=group)
            return out
        outgoing, incoming = rows.split(sent), out.split(received)
        for start in range(0, most, self.chunk):
            parts = [piece[start : start + self.chunk] for piece in outgoing]
            places = [piece[start : start + self.chunk] for piece in incoming]
            got = rows.new_empty(sum(map(len, places)), *rows.shape[1:])
            sizes = [len(place) for place in places]
            dist.all_to_all_single(got, torch.cat(parts), sizes, [len(part) for part in parts], group=group)
            for place, values in zip(places, got.split(sizes), strict=True):
                place.copy_(values)
        return out


class _Travel(torch.autograd.Function):
    """See `travel`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, route: Route, what: str, back: bool, packed: bool, packed_back: bool) -> Tensor:
        ctx.route, ctx.what, ctx.back, ctx.packed_back = route, what, back, packed_back
        return _carried(route, rows, what, back, packed)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        named = f"{ctx.what}' gradients"
        return (
            _carried(ctx.route, gradients[0], named, not ctx.back, ctx.packed_back),
            *(None,) * 5,
        )


def _carried(route: Route, rows: Tensor, what: str, back: bool, packed: bool) -> Tensor:
    if not packed:
        return route.go(rows, what, back)
    return from_payload(route.go(to_payload(rows), what, back), rows.shape[-1]).to(rows.dtype)


def travel(
    rows: Tensor, route: Route, what: str, *, back: bool = False, packed: bool = False, packed_back: bool = False
) -> Tensor:
    """Moves rows along a route; their gradient comes back on it.

    Args:
        rows: [N, …], sorted by destination.
        route: how many go where.
        what: under which name bytes are counted.
        back: from where the route ends to where it begins.
        packed: whether rows travel in FP8.
        packed_back: whether their gradients do.
    """
    return _Travel.apply(rows, route, what, back, packed, packed_back)


def counts_of_all(counts: Tensor, ranks: Ranks, axis: str) -> list[list[int]]:
    """What each rank of an axis sends to each: [from][to], of this rank's `counts` [to]."""
    size = ranks.size(axis)
    gathered = counts.new_empty(size * size)
    dist.all_gather_single(gathered, counts.contiguous(), group=ranks.group(axis))
    return gathered.view(size, size).tolist()


def measured_chunk(ranks: Ranks, axis: str, width: int, dtype: torch.dtype) -> tuple[int, dict[int, float]]:
    """The chunk that moves rows fastest, the same on all ranks, and the seconds that each took on rank 0."""
    size = ranks.size(axis)
    counts = [[_TRIED_ROWS // size] * size for _ in range(size)]
    rows = torch.zeros(sum(counts[0]), width, dtype=dtype, device=ranks.device)
    taken: dict[int, float] = {}
    for chunk in (0, *(chunk for chunk in CHUNKS if chunk < counts[0][0])):
        route = Route(ranks, axis, counts, chunk, Traffic())
        taken[chunk] = min(_seconds(ranks, partial(route.go, rows, "tried")) for _ in range(_TRIES))
    best = ranks.same(min(taken, key=lambda chunk: taken[chunk]))
    return int(best), taken


def _seconds(ranks: Ranks, action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    if ranks.device.type == "cuda":
        torch.cuda.synchronize(ranks.device)
    return time.perf_counter() - started
