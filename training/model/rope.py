"""Rotary position embedding (RoPE), as V3 applies it to the decoupled part of queries and keys (eq 3 and 8).

Neighbouring numbers form a pair that is turned by an angle of position times frequency: the interleaved layout of the
released code, not the half-split one of Hugging Face's Llama. The same table serves all layers of a forward pass.

YaRN (Peng et al. 2023, arXiv 2309.00071; section 4.3 of V3's report) lets a model read sequences `rope_factor` times
as long as those that it was trained on. Pairs that turn often within the original length tell near neighbours apart
and stay as they are; pairs that turn less than once would meet angles that they never saw, so their frequency is
divided by the factor; between them lies a ramp, linear in the pair's number as in the released code (the paper's is
linear in the number of turns). Softmax is sharpened in exchange (`ModelConfig.softmax_scale`). V3 uses s = 40, alpha 1,
beta 32 and 4,096 both for 32K and for 128K: of its 32 pairs the first 11 stay and the last 9 are divided. Frequencies
depend on the configuration alone, never on the length at hand, as in Hugging Face's model; DeepSeek's script turns YaRN
off where no more than the original length is asked for.
"""

from math import ceil, floor, log, pi

import torch
from torch import Tensor

from corpusmill.training.model.dimensions import ModelConfig


def rope_table(length: int, dim: int, theta: float, device: torch.device | None = None) -> Tensor:
    """cos a + i sin a for each position and pair: complex64 [T, R/2], for a RoPE width R = `dim`."""
    return _turns(length, _frequencies(dim, theta, device))


def model_rope_table(config: ModelConfig, length: int, device: torch.device | None = None) -> Tensor:
    """The table [T, R/2] of a model's T = `length` positions: of YaRN where its `rope_factor` is above 1."""
    if config.rope_factor == 1:
        return rope_table(length, config.qk_rope_head_dim, config.rope_theta, device)
    return _turns(length, yarn_frequencies(config, device))


def yarn_frequencies(config: ModelConfig, device: torch.device | None = None) -> Tensor:
    """Radians a position of each pair under YaRN: FP32 [R/2] (sections 3.2 and 3.3 of the paper, "NTK-by-parts")."""
    c = config
    plain = _frequencies(c.qk_rope_head_dim, c.rope_theta, device)
    first, last = _ramp(c)
    pairs = torch.arange(c.qk_rope_head_dim // 2, dtype=torch.float32, device=device)
    stretched = ((pairs - first) / (last - first)).clamp(0, 1)
    return plain / c.rope_factor * stretched + plain * (1 - stretched)


def _ramp(config: ModelConfig) -> tuple[float, float]:
    """(last pair that stays, first pair that is wholly divided), as DeepSeek rounds and bounds them."""
    c = config

    def pair_that_turns(rotations: float) -> float:
        """The pair, as a real number, that turns so often within the original length."""
        return c.qk_rope_head_dim * log(c.original_seq_len / (rotations * 2 * pi)) / (2 * log(c.rope_theta))

    first = max(floor(pair_that_turns(c.beta_fast)), 0)
    last = min(ceil(pair_that_turns(c.beta_slow)), c.qk_rope_head_dim - 1)
    return (first, last) if first != last else (first, last + 0.001)


def _frequencies(dim: int, theta: float, device: torch.device | None) -> Tensor:
    """Radians a position of each pair: FP32 [R/2]."""
    return theta ** -(torch.arange(0, dim, 2, dtype=torch.float32, device=device) / dim)


def _turns(length: int, frequencies: Tensor) -> Tensor:
    positions = torch.arange(length, dtype=torch.float32, device=frequencies.device)
    angles = torch.outer(positions, frequencies)
    return torch.complex(angles.cos(), angles.sin())


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turns the pairs of x [B, T, H, R] by the angles of a table [T, R/2], or one a sequence [B, T, R/2]; in FP32,
    returned in x's type.

    As products of complex numbers, one operation for each way: written out in reals a step at `laptop` took 3 % longer.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * table.unsqueeze(-2)).flatten(-2).to(x.dtype)
