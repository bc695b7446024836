from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import cos, log, pi

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.training.schedule import DEEPSEEK_V3, Schedule, planned_sequences, schedule, schedule_of
from corpusmill.training.settings import settings_for

V3_LENGTH = 4096
V3_TOKENS = 14.8e12


def settings_of(**chosen):
    return settings_for("tiny", "shards", "output", **chosen)


def v3_planned(steps: int) -> int:
    """Tokens of so many steps of V3's run."""
    v3 = DEEPSEEK_V3
    sequences = planned_sequences(v3.batch_sequences, v3.first_batch_sequences, v3.batch_ramp_tokens, steps, V3_LENGTH)
    return sequences * V3_LENGTH


def v3_steps(tokens: float) -> int:
    """The fewest steps of V3's run that see so many tokens."""
    low, high = 0, 2**20
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if v3_planned(middle) < tokens else (low, middle)
    return high


# DeepSeek-V3's own


@pytest.mark.parametrize(
    ("tokens", "step", "rate"),
    [
        (1e9, 999, 1.1e-4),
        (5e12, 100_000, 2.2e-4),
        (12.15e12, 200_000, 1.21e-4),
        (14.3e12, 230_000, 2.2e-5),
        (14.5e12, 235_000, 2.2e-5),
        (14.632e12, 240_000, 2.2e-5),
        (14.633e12, 240_000, 7.3e-6),
        (14.7e12, 241_000, 7.3e-6),
    ],
)
def test_v3_learning_rate(tokens, step, rate):
    assert schedule(DEEPSEEK_V3, tokens, step).learning_rate == pytest.approx(rate, rel=1e-12)


def test_v3_mtp_weight_and_bias_speed_switch_at_their_marks():
    actual = [schedule(DEEPSEEK_V3, tokens, 10**6) for tokens in (9.99e12, 10e12, 14.29e12, 14.3e12, 14.7e12)]
    phases = [(now.mtp_weight, now.bias_speed) for now in actual]
    assert phases == [(0.3, 0.001), (0.1, 0.001), (0.1, 0.001), (0.1, 0.0), (0.1, 0.0)]


@pytest.mark.parametrize(("tokens", "batch"), [(0, 3072), (234_500_000_000, 9216), (469e9, 15_360), (14e12, 15_360)])
def test_v3_batch(tokens, batch):
    assert schedule(DEEPSEEK_V3, tokens, 0).batch_sequences == batch


def test_v3_takes_15_thousand_steps_to_its_whole_batch_and_243_thousand_in_all():
    # A batch that is linear in tokens grows exponentially in steps: d(tokens)/d(step) = length * batch(tokens).
    ramp = 469e9 / (V3_LENGTH * (15_360 - 3072)) * log(15_360 / 3072)
    whole = (V3_TOKENS - 469e9) / (15_360 * V3_LENGTH)
    assert ramp == pytest.approx(15.0e3, rel=1e-3)
    assert v3_steps(469e9) == pytest.approx(ramp, abs=3)
    assert ramp + whole == pytest.approx(242.8e3, rel=1e-3)
    assert v3_steps(V3_TOKENS) == pytest.approx(ramp + whole, abs=3)


# The laws of every schedule


@st.composite
def schedules(draw) -> Schedule:
    marks = sorted(draw(st.lists(st.integers(0, 10**7), min_size=2, max_size=2)))
    first = draw(st.integers(1, 64))
    rates = st.floats(1e-7, 1e-2)
    return Schedule(
        peak_learning_rate=draw(rates),
        final_learning_rate=draw(rates),
        warmup_steps=draw(st.integers(0, 20)),
        constant_tokens=marks[0],
        decayed_tokens=marks[1],
        batch_sequences=first + draw(st.integers(0, 500)),
        first_batch_sequences=first,
        batch_ramp_tokens=draw(st.integers(1, 10**7)),
    )


@given(schedules())
def test_the_rate_does_not_jump_at_the_marks_of_the_cosine(settings: Schedule):
    def rate(tokens: float) -> float:
        return schedule(settings, tokens, 1000).learning_rate

    span = settings.decayed_tokens - settings.constant_tokens
    difference = abs(settings.peak_learning_rate - settings.final_learning_rate)
    assert rate(settings.decayed_tokens) == settings.final_learning_rate
    if span:
        # A cosine leaves its ends with slope 0: a thousandth of its way it has moved by (pi/1000)^2/4 of its height.
        moved = difference * (1 - cos(pi / 1000)) / 2 * 1.001 + 1e-18
        assert abs(rate(settings.constant_tokens) - settings.peak_learning_rate) <= 1e-15
        assert abs(rate(settings.constant_tokens + span / 1000) - settings.peak_learning_rate) <= moved
        assert abs(rate(settings.decayed_tokens - span / 1000) - settings.final_learning_rate) <= moved


@given(schedules(), st.lists(st.integers(0, 2 * 10**7), min_size=2, max_size=30))
def test_the_batch_never_shrinks_and_is_the_exact_line_rounded_down(settings: Schedule, tokens: list[int]):
    batches = [schedule(settings, at, 0).batch_sequences for at in sorted(tokens)]
    assert all(before <= after for before, after in pairwise(batches))
    first = settings.first_batch_sequences
    for at, batch in zip(sorted(tokens), batches, strict=True):
        part = min(Fraction(1), Fraction(at, settings.batch_ramp_tokens))
        assert batch == int(first + part * (settings.batch_sequences - first))


@given(schedules(), st.integers(0, 2 * 10**7), st.integers(20, 10**6), st.integers(20, 10**6))
def test_after_the_warm_up_the_number_of_steps_does_not_matter(settings: Schedule, tokens: int, one: int, other: int):
    assert schedule(settings, tokens, one) == schedule(settings, tokens, other)


@given(st.integers(0, 105 * 256), st.sampled_from([(0.0, 1.0), (0.6, 1.0), (0.3, 0.8), (1.0, 1.0)]))
def test_runs_of_as_many_tokens_have_the_same_rates_whatever_their_steps(tokens: int, marks):
    phases = {"constant_fraction": marks[0], "decayed_fraction": marks[1], "warmup_steps": 0}
    cut = [(840, 1, 32), (105, 8, 32), (210, 1, 128), (15, 7, 256), (1, 105, 256)]
    actual = {
        replace(
            schedule(schedule_of(settings_of(steps=steps, batch_sequences=batch, **phases), length), tokens, 0),
            batch_sequences=0,
        )
        for steps, batch, length in cut
    }
    assert len(actual) == 1


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 5000), st.integers(0, 300), st.integers(1, 64))
@hypothesis_settings(deadline=None)
def test_planned_sequences_are_those_that_a_run_reads(first: int, more: int, ramp: int, steps: int, length: int):
    settings = replace(DEEPSEEK_V3, batch_sequences=first + more, first_batch_sequences=first, batch_ramp_tokens=ramp)
    read = 0
    for step in range(steps):
        read += schedule(settings, read * length, step).batch_sequences
    assert planned_sequences(first + more, first, ramp, steps, length) == read
    assert planned_sequences(first, None, 0, steps, length) == first * steps


# From the settings of a run


def test_warm_up_rises_from_its_first_step_to_the_peak():
    settings = replace(DEEPSEEK_V3, warmup_steps=4)
    assert [schedule(settings, 0, step).learning_rate / 2.2e-4 for step in range(6)] == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 1]
    )


def test_the_defaults_are_constant_for_six_tenths_and_a_cosine_to_the_end():
    settings = settings_of(steps=50, batch_sequences=8)
    actual = schedule_of(settings, 32)
    assert (actual.constant_tokens, actual.decayed_tokens) == (0.6 * 50 * 8 * 32, 50 * 8 * 32)
    for step in range(50):
        now = schedule(actual, step * 8 * 32, step)
        rate = 1e-3 if step < 30 else 1e-4 + 9e-4 * (1 + cos(pi * (step - 30) / 20)) / 2
        assert now.learning_rate == pytest.approx(rate * min(1, (step + 1) / 20), rel=1e-12)
        assert (now.batch_sequences, now.bias_speed) == (8, 1e-3), "biases never freeze before the end"
        assert now.mtp_weight == (0.3 if step < 30 else 0.1)


def test_a_phase_of_long_context_has_one_rate_from_its_first_step_to_its_last():
    settings = settings_of(steps=40, batch_sequences=3, learning_rate=7.3e-6, constant_fraction=1.0, warmup_steps=0)
    actual = schedule_of(settings, 64)
    for step in range(40):
        assert schedule(actual, step * 3 * 64, step).learning_rate == 7.3e-6


def test_v3s_run_in_fractions_is_v3s_schedule():
    steps = v3_steps(V3_TOKENS)
    settings = settings_of(
        steps=steps,
        batch_sequences=15_360,
        first_batch_sequences=3072,
        batch_ramp_tokens=469 * 10**9,
        learning_rate=2.2e-4,
        final_learning_rate=2.2e-5,
        last_learning_rate=7.3e-6,
        warmup_steps=2000,
        constant_fraction=10 / 14.8,
        decayed_fraction=14.3 / 14.8,
        last_fraction=0.167 / 14.8,
    )
    actual = schedule_of(settings, V3_LENGTH)
    one_step = 15_360 * V3_LENGTH
    for mark in ("constant_tokens", "decayed_tokens", "last_tokens"):
        assert getattr(actual, mark) == pytest.approx(getattr(DEEPSEEK_V3, mark), abs=one_step)
    marks = {mark: getattr(DEEPSEEK_V3, mark) for mark in ("constant_tokens", "decayed_tokens", "last_tokens")}
    assert replace(actual, **marks) == DEEPSEEK_V3


def test_a_growing_batch_moves_the_marks_with_the_tokens_that_it_will_see():
    settings = settings_of(steps=100, batch_sequences=16, first_batch_sequences=4, batch_ramp_tokens=16_000)
    actual = schedule_of(settings, 32)
    tokens = rates = 0
    for step in range(100):
        now = schedule(actual, tokens, step)
        rates += now.learning_rate == 1e-3
        tokens += now.batch_sequences * 32
    assert actual.decayed_tokens == tokens
    assert actual.constant_tokens == 0.6 * tokens
    assert rates > 45, "the constant phase is there after the warm-up"


def test_v3s_run_in_tokens_is_v3s_schedule_exactly():
    marks = {mark: int(getattr(DEEPSEEK_V3, mark)) for mark in ("constant_tokens", "decayed_tokens", "last_tokens")}
    settings = settings_of(
        steps=v3_steps(V3_TOKENS),
        batch_sequences=15_360,
        first_batch_sequences=3072,
        batch_ramp_tokens=469 * 10**9,
        learning_rate=2.2e-4,
        final_learning_rate=2.2e-5,
        last_learning_rate=7.3e-6,
        warmup_steps=2000,
        **marks,
    )
    assert schedule_of(settings, V3_LENGTH) == DEEPSEEK_V3


def test_mtps_weight_and_the_biases_have_marks_of_their_own():
    settings = replace(DEEPSEEK_V3, mtp_tokens=1e12, bias_tokens=2e12)
    phases = [schedule(settings, tokens, 10**6) for tokens in (0.9e12, 1e12, 2e12, 10e12)]
    assert [(now.mtp_weight, now.bias_speed) for now in phases] == [(0.3, 1e-3), (0.1, 1e-3), (0.1, 0), (0.1, 0)]


def test_marks_in_the_wrong_order_are_refused_once_their_tokens_are_known():
    with pytest.raises(UserError, match="constant_tokens"):
        settings_of(constant_tokens=11, decayed_tokens=10)
    with pytest.raises(UserError, match="last_tokens has no"):
        settings_of(last_tokens=10)
    with pytest.raises(UserError, match="peak rate lasts"):
        schedule_of(settings_of(steps=2, batch_sequences=1, constant_tokens=100), 32)
