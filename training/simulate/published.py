"""Figures that others have published of training V3: what the model is calibrated by, and what it is held against.

`PARTS` is Table 4 of DeepSeek's paper on its hardware (arXiv 2505.09343): seconds of one step of V3 on 2,048 H800 by
what a rank does. Five of its numbers calibrate the seconds of a chunk (`training/simulate/costs.py`). The rest, and all
other rows here, calibrate nothing: the length of the step, the bubble, the optimiser, GPU-hours, other trainers.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedParts:
    """Seconds of a step by part, and where not part of the sum, as published."""

    forward: float = 1.13
    backward: float = 1.99
    weight: float = 0.48
    pairs: float = 13.95
    bubble: float = 2.06
    optimizer: float = 0.29
    step: float = 19.926


PARTS = PublishedParts()

TOKENS = 14.8e12
GPU_HOURS = 2.664e6
"""Of pre-training (Table 1)."""
GPU_HOURS_A_TRILLION = 180e3
"""Section 3 of the report; 14.8 of these are its 2.664 M."""
EXTENSION_GPU_HOURS = 119e3
"""Of both context extensions, 2 x 1,000 steps of 62.9 M tokens."""
TOKENS_A_SECOND = 1542
"""A GPU: 272.8 B tokens a day on 2,048."""
MFU = 0.3894
"""Causal attention, no MTP, against 989 teraflops."""


@dataclass(frozen=True)
class Elsewhere:
    """What another trainer reaches with V3's model."""

    who: str
    layout: str
    """As far as it is published."""
    gpu: str
    batch_sequences: int
    tokens_a_second: float
    """A GPU."""
    unknown: str
    """What decides the figure and is not published, or not modelled here."""


ELSEWHERE = (
    Elsewhere(
        "NeMo AutoModel",
        "gpus=256,pipeline=4,expert=64,schedule=1f1b,precision=bfloat16",
        "h100",
        4096,
        1002,
        "schedule, batch, micro-batch, what is recomputed",
    ),
    Elsewhere(
        "NeMo AutoModel",
        "gpus=1024,pipeline=4,expert=64,schedule=1f1b,precision=bfloat16",
        "h100",
        8192,
        865,
        "schedule, batch, micro-batch, what is recomputed",
    ),
    Elsewhere(
        "Megatron-Bridge",
        "gpus=1024,pipeline=16,expert=64,schedule=1f1b",
        "h100",
        8192,
        1297,
        "its TP2 and interleaved PP8 x 4 are not modelled: PP16 without either stands for them",
    ),
)
"""Rows of NVIDIA's pages on Hopper; its figures for Blackwell need kernels that nobody has published rates of."""
