"""Normal numbers drawn in pieces: a part of a long stream, to the bits that the whole would have.

torch's CPU generator fills a tensor of 16 numbers or more with uniform numbers in their order, turns each 16 of them
into normal ones, and draws the last 16 anew where the length is no multiple of 16. So calls for lengths that are
multiples of 16, made one after the other, give the numbers of one long call, and a rank that has a part of a tensor
makes it in the memory of the part. What lies before is drawn and dropped, since the generator cannot jump: 5 ns a
number on one core, 19 s for the last expert of V3's largest tensor (256 x 2048 x 7168).

Cost: memory for 4 MB besides the result.
"""

import torch
from torch import Tensor

_CHUNK = 1 << 20
_LEAST = 16
"""Below this many numbers torch draws in another way."""


def draw_normal(out: Tensor, generator: torch.Generator, std: float, start: int, length: int) -> None:
    """Fills `out`, flat, with the numbers from `start` on of a stream of `length` numbers of N(0, std)."""
    end, at = start + len(out), 0
    while at < end:
        size = min(_CHUNK, length - at)
        if length - at - size < _LEAST:
            size = length - at  # the rest is drawn along, since so few would be drawn in another way
        first, last = max(start, at), min(end, at + size)
        drawn = torch.empty(size)
        drawn.normal_(0.0, std, generator=generator)
        if first < last:
            out[first - start : last - start].copy_(drawn[first - at : last - at])
        at += size
