"""Section 4.2 of DeepSeek-V3 as one pure function: what applies to a step, from the tokens and steps before it.

Learning rate, batch size, MTP weight and bias speed follow the tokens trained on, so neither a growing batch nor a
restart can shift them; the warm-up alone is counted in steps. In V3's run:

    tokens              learning rate                       MTP weight   bias speed
    first 2,000 steps   rising from 0 to 2.2e-4             0.3          0.001
    to 10 T             2.2e-4                              0.3          0.001
    to 14.3 T           cosine, from 2.2e-4 to 2.2e-5       0.1          0.001
    to 14.633 T         2.2e-5                              0.1          0
    to 14.8 T           7.3e-6                              0.1          0

The batch grows from 3,072 to 15,360 sequences "gradually" over the first 469 B tokens. The report does not say how;
here it is linear in tokens, so that a sequence is added after every so many tokens. That gives 15.0
thousand steps until the batch is whole and 242.8 thousand in all. A run with a growing batch knows how many tokens it
will see only by counting its steps (`planned_sequences`): 0.004 s for V3's run, 0.05 s if the batch grows throughout.

A phase that extends the context (section 4.3) is a run of its own whose rate is constant from its first step to its
last: `constant_fraction` 1, no warm-up.
"""

from dataclasses import dataclass
from math import cos, inf, pi

from corpusmill.dataproc.errors import UserError
from corpusmill.training.settings import WHERE, TrainSettings


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The curves of a run. Tokens are places of the sequences that were trained on, padding included."""

    peak_learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    """Steps of the linear rise from 0; step 0 already takes its first part."""
    constant_tokens: float
    """Tokens up to which the rate is at its peak."""
    decayed_tokens: float
    """Tokens after which it is at its final value; the cosine lies between."""
    last_tokens: float = inf
    """Tokens after which it is at its last value, whatever the other marks say."""
    last_learning_rate: float | None = None
    """That value; None: the last phase keeps the final rate."""
    mtp_weight: float = 0.3
    late_mtp_weight: float = 0.1
    """MTP weight from `mtp_tokens` on."""
    mtp_tokens: float | None = None
    """None: `constant_tokens`, as in V3."""
    bias_speed: float = 1e-3
    """Step of the routers' biases; 0 from `bias_tokens` on."""
    bias_tokens: float | None = None
    """None: `decayed_tokens`, as in V3."""
    batch_sequences: int
    """Sequences of a step once the batch is whole."""
    first_batch_sequences: int | None = None
    """Sequences of the first step; None: the batch is whole from the start."""
    batch_ramp_tokens: int = 0
    """Tokens after which the batch is whole; it grows linearly in tokens until then."""


@dataclass(frozen=True)
class Scheduled:
    """What applies to one step."""

    learning_rate: float
    batch_sequences: int
    mtp_weight: float
    bias_speed: float


DEEPSEEK_V3 = Schedule(
    peak_learning_rate=2.2e-4,
    final_learning_rate=2.2e-5,
    warmup_steps=2000,
    constant_tokens=10e12,
    decayed_tokens=14.3e12,
    last_tokens=14.633e12,
    last_learning_rate=7.3e-6,
    batch_sequences=15_360,
    first_batch_sequences=3072,
    batch_ramp_tokens=469 * 10**9,
)
"""Section 4.2; the run ends at 14.8 T tokens, of sequences of 4,096."""


def schedule(settings: Schedule, tokens: float, step: int) -> Scheduled:
    """What applies to step number `step` (from 0), when the steps before it trained on `tokens` places."""
    rate = _rate(settings, tokens)
    if step < settings.warmup_steps:
        rate *= (step + 1) / settings.warmup_steps
    mtp_tokens = settings.constant_tokens if settings.mtp_tokens is None else settings.mtp_tokens
    bias_tokens = settings.decayed_tokens if settings.bias_tokens is None else settings.bias_tokens
    return Scheduled(
        learning_rate=rate,
        batch_sequences=_batch(
            settings.batch_sequences, settings.first_batch_sequences, settings.batch_ramp_tokens, tokens
        ),
        mtp_weight=settings.mtp_weight if tokens < mtp_tokens else settings.late_mtp_weight,
        bias_speed=settings.bias_speed if tokens < bias_tokens else 0.0,
    )


def _rate(settings: Schedule, tokens: float) -> float:
    """The learning rate without the warm-up."""
    peak, final = settings.peak_learning_rate, settings.final_learning_rate
    if tokens >= settings.last_tokens:
        return final if settings.last_learning_rate is None else settings.last_learning_rate
    if tokens < settings.constant_tokens:
        return peak
    if tokens >= settings.decayed_tokens:
        return final
    done = (tokens - settings.constant_tokens) / (settings.decayed_tokens - settings.constant_tokens)
    return final + (peak - final) * (1 + cos(pi * done)) / 2


def _batch(whole: int, first: int | None, ramp_tokens: int, tokens: float) -> int:
    """Sequences of a step: rounded down, so that the batch never shrinks and is whole at the ramp's end, not before."""
    if first is None or tokens >= ramp_tokens:
        return whole
    return first + int((whole - first) * tokens // ramp_tokens)


def planned_sequences(
    batch_sequences: int, first_batch_sequences: int | None, batch_ramp_tokens: int, steps: int, sequence_length: int
) -> int:
    """Sequences that `steps` steps read, the batch growing as `schedule` says. Arguments are those of `Schedule`."""
    read = done = 0
    while done < steps and first_batch_sequences is not None and read * sequence_length < batch_ramp_tokens:
        read += _batch(batch_sequences, first_batch_sequences, batch_ramp_tokens, read * sequence_length)
        done += 1
    return read + (steps - done) * batch_sequences


def schedule_of(settings: TrainSettings, sequence_length: int) -> Schedule:
    """The curves of a run whose sequences have this length; fractions become tokens of those that it will read.

    Raises:
        UserError: the peak rate would last longer than the decay.
    """
    planned = sequence_length * planned_sequences(
        settings.batch_sequences,
        settings.first_batch_sequences,
        settings.batch_ramp_tokens,
        settings.steps,
        sequence_length,
    )
    constant, decayed, last = settings.constant_tokens, settings.decayed_tokens, settings.last_tokens
    constant_tokens = settings.constant_fraction * planned if constant is None else constant
    decayed_tokens = settings.decayed_fraction * planned if decayed is None else decayed
    if constant_tokens > decayed_tokens:
        raise UserError(
            f"the peak rate lasts {constant_tokens:,.0f} tokens and the decay ends after {decayed_tokens:,.0f}",
            where=WHERE,
            hint="give constant_tokens and decayed_tokens in this order",
        )
    of_fraction = (1 - settings.last_fraction) * planned if settings.last_fraction else inf
    return Schedule(
        peak_learning_rate=settings.learning_rate,
        final_learning_rate=settings.final_learning_rate,
        warmup_steps=settings.warmup_steps,
        constant_tokens=constant_tokens,
        decayed_tokens=decayed_tokens,
        last_tokens=of_fraction if last is None else last,
        last_learning_rate=settings.last_learning_rate,
        mtp_weight=settings.mtp_weight,
        late_mtp_weight=settings.late_mtp_weight,
        mtp_tokens=settings.mtp_tokens,
        bias_speed=settings.bias_speed,
        bias_tokens=settings.bias_tokens,
        batch_sequences=settings.batch_sequences,
        first_batch_sequences=settings.first_batch_sequences,
        batch_ramp_tokens=settings.batch_ramp_tokens,
    )
