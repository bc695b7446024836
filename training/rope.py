"""Rotary position embedding (RoPE), as V3 applies it to the decoupled part of queries and keys (eq 3 and 8).

Neighbouring numbers form a pair that is turned by an angle of position times frequency: the interleaved layout of the
released code, not the half-split one of Hugging Face's Llama. The same table serves all layers of a forward pass.
"""

import torch
from torch import Tensor


def rope_table(length: int, dim: int, theta: float, device: torch.device | None = None) -> Tensor:
    """Cosine and sine for each position and pair: FP32 of shape [2, T, R/2], for a RoPE width R = `dim`."""
    frequencies = theta ** -(torch.arange(0, dim, 2, dtype=torch.float32, device=device) / dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), frequencies)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turns the pairs of x [B, T, H, R] by their positions' angles; computed in FP32, returned in x's type."""
    cosine, sine = table[:, :, None, :]
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1)
    return turned.flatten(-2).to(x.dtype)
