"""Learning rate, MTP weight and bias speed, as one pure function of tokens consumed and step.

DeepSeek-V3 (section 4.2) warms up over a number of steps; everything after that follows the tokens consumed, so a
change of batch size or a restart cannot shift it. The rate stays constant up to one mark, falls as a cosine to another,
and stays at its final value. The MTP weight drops at the first mark and the routers' biases freeze at the second, as
V3's do at 10T and 14.3T.
"""

from dataclasses import dataclass
from math import cos, pi


@dataclass(frozen=True)
class Schedule:
    """The curve's settings. Tokens are those consumed before the step."""

    peak_learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    """Steps of the linear rise from 0; step 0 already takes its first part."""
    constant_tokens: float
    """Tokens up to which the rate is at its peak."""
    decayed_tokens: float
    """Tokens from which on it is at its final value; the cosine lies between."""
    mtp_weight: float = 0.3
    late_mtp_weight: float = 0.1
    """MTP weight from `constant_tokens` on."""
    bias_speed: float = 1e-3
    """Step of the routers' biases; 0 from `decayed_tokens` on."""


@dataclass(frozen=True)
class Scheduled:
    """What holds for one step."""

    learning_rate: float
    mtp_weight: float
    bias_speed: float


DEEPSEEK_V3 = Schedule(2.2e-4, 2.2e-5, 2000, 10e12, 14.3e12)
"""Section 4.2, up to the last 167B tokens, for which the rate is set to 7.3e-6."""


def schedule(settings: Schedule, tokens: float, step: int) -> Scheduled:
    """What holds for the step number `step` (from 0), before which `tokens` were consumed."""
    peak, final = settings.peak_learning_rate, settings.final_learning_rate
    if tokens < settings.constant_tokens:
        rate = peak
    elif tokens < settings.decayed_tokens:
        done = (tokens - settings.constant_tokens) / (settings.decayed_tokens - settings.constant_tokens)
        rate = final + (peak - final) * (1 + cos(pi * done)) / 2
    else:
        rate = final
    if step < settings.warmup_steps:
        rate *= (step + 1) / settings.warmup_steps
    return Scheduled(
        learning_rate=rate,
        mtp_weight=settings.mtp_weight if tokens < settings.constant_tokens else settings.late_mtp_weight,
        bias_speed=settings.bias_speed if tokens < settings.decayed_tokens else 0.0,
    )
