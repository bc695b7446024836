"""Calibration: rising, true to the shares that it was fitted to, and told by a table whose error is its definition."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from corpusmill.dataproc.quality.calibration import apply, expected_error, fit, reliability

METHODS = ("platt", "isotonic")
labelled = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40)


def arrays(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in pairs]), np.array([truth for _, truth in pairs])


@pytest.mark.parametrize("method", METHODS)
@given(pairs=labelled)
def test_calibrated_scores_are_probabilities_that_never_fall(method: str, pairs: list[tuple[float, bool]]) -> None:
    scores, truth = arrays(pairs)
    assume(0 < truth.sum() < len(truth))
    calibrated = apply(fit(method, scores, truth), np.linspace(0, 1, 101))
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    assert (np.diff(calibrated) >= -1e-12).all()


@given(labelled)
def test_isotonic_is_the_best_rising_function(pairs: list[tuple[float, bool]]) -> None:
    scores, truth = arrays(pairs)
    assume(0 < truth.sum() < len(truth))
    distinct = sorted(set(scores.tolist()))
    groups = [truth[scores == score] for score in distinct]
    # Min-max formula: the value at i is the least over ends >= i of the greatest over starts <= i of the mean between
    best = [
        max(
            min(float(np.concatenate(groups[start : end + 1]).mean()) for end in range(place, len(groups)))
            for start in range(place + 1)
        )
        for place in range(len(groups))
    ]
    calibrated = apply(fit("isotonic", scores, truth), np.array(distinct))
    np.testing.assert_allclose(calibrated, best, atol=1e-9)


def test_platt_finds_the_sigmoid_that_the_documents_were_drawn_from() -> None:
    draw = np.random.default_rng(2)
    scores = draw.random(200_000)
    logits = np.log(scores / (1 - scores))
    truth = draw.random(len(scores)) < 1 / (1 + np.exp(-(0.5 * logits - 1.0)))
    calibration = fit("platt", scores, truth)
    assert calibration["slope"] == pytest.approx(0.5, abs=0.02)
    assert calibration["shift"] == pytest.approx(-1.0, abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_calibration_mends_scores_that_are_too_sure(method: str) -> None:
    draw = np.random.default_rng(3)
    chance = draw.random(40_000)
    truth = draw.random(len(chance)) < chance
    logit = 3 * np.log(chance / (1 - chance))
    sure = 1 / (1 + np.exp(-logit))
    half = len(sure) // 2
    fitted = fit(method, sure[:half], truth[:half])
    before = expected_error(reliability(sure[half:], truth[half:]))
    after = expected_error(reliability(apply(fitted, sure[half:]), truth[half:]))
    assert before > 0.1
    assert after < 0.02


def test_platt_never_turns_a_classifier_round() -> None:
    scores = np.linspace(0, 1, 100)
    calibration = fit("platt", scores, scores < 0.5)
    assert calibration["slope"] == 0
    assert apply(calibration, scores) == pytest.approx(np.full(100, 0.5), abs=0.01)


def test_scores_that_tell_all_documents_apart_stay_finite() -> None:
    scores = np.array([0.0] * 50 + [1.0] * 50)
    calibration = fit("platt", scores, scores > 0.5)
    assert np.isfinite([calibration["slope"], calibration["shift"]]).all()
    low, high = apply(calibration, np.array([0.0, 1.0]))
    assert 0 < low < 0.05
    assert 0.95 < high < 1


def test_the_table_and_its_error_are_their_definitions() -> None:
    scores, truth = np.array([0.05, 0.15, 0.12, 1.0, 0.95]), np.array([False, True, False, True, True])
    table = reliability(scores, truth)
    assert [(row["documents"], row["positive_share"]) for row in table] == [(1, 0.0), (2, 0.5), (2, 1.0)]
    assert [row["mean_score"] for row in table] == pytest.approx([0.05, 0.135, 0.975])
    assert expected_error(table) == pytest.approx((0.05 + 2 * abs(0.135 - 0.5) + 2 * 0.025) / 5)


def test_one_kind_of_document_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="positive and negative"):
        fit("platt", np.array([0.1, 0.2]), np.array([True, True]))
