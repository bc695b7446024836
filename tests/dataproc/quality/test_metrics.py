"""Metrics: each is its definition, ties included, for any scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.quality.metrics import (
    Steps,
    area_under_roc,
    at_threshold,
    average_precision,
    best_f1,
    describe_groups,
    roc_curve,
)

labelled = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()), max_size=25)


def arrays(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in pairs], float), np.array([truth for _, truth in pairs], bool)


@given(labelled)
def test_the_area_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[float, bool]]) -> None:
    good = [score for score, truth in pairs if truth]
    bad = [score for score, truth in pairs if not truth]
    area = area_under_roc(Steps.of(*arrays(pairs)))
    if not good or not bad:
        assert area is None
        return
    wins = sum((one > two) + (one == two) / 2 for one in good for two in bad)
    assert area == pytest.approx(wins / (len(good) * len(bad)))


@given(labelled)
def test_average_precision_sums_precision_over_steps_of_recall(pairs: list[tuple[float, bool]]) -> None:
    good = sum(truth for _, truth in pairs)
    precision = average_precision(Steps.of(*arrays(pairs)))
    if not good:
        assert precision is None
        return
    total, before = 0.0, 0
    for threshold in sorted({score for score, _ in pairs}, reverse=True):
        taken = [truth for score, truth in pairs if score >= threshold]
        total += (sum(taken) - before) / good * sum(taken) / len(taken)
        before = sum(taken)
    assert precision == pytest.approx(total)


@given(labelled, st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_precision_recall_and_f1_are_their_definitions(pairs: list[tuple[float, bool]], threshold: float) -> None:
    metrics = at_threshold(*arrays(pairs), threshold)
    right = sum(truth for score, truth in pairs if score >= threshold)
    taken = sum(score >= threshold for score, _ in pairs)
    good = sum(truth for _, truth in pairs)
    assert metrics["precision"] == (right / taken if taken else None)
    assert metrics["recall"] == (right / good if good else None)
    if metrics["precision"] and metrics["recall"]:
        harmonic = 2 / (1 / metrics["precision"] + 1 / metrics["recall"])
        assert metrics["f1"] == pytest.approx(harmonic)


@given(labelled)
def test_no_threshold_has_a_higher_f1_than_the_best(pairs: list[tuple[float, bool]]) -> None:
    best = best_f1(Steps.of(*arrays(pairs)))
    if best is None:
        assert not any(truth for _, truth in pairs)
        return
    f1 = at_threshold(*arrays(pairs), best)["f1"]
    assert all(at_threshold(*arrays(pairs), score)["f1"] <= f1 + 1e-12 for score, _ in pairs)


def test_the_curve_is_thinned_and_its_ends_stay() -> None:
    draw = np.random.default_rng(0)
    truth = draw.random(5000) < 0.3
    scores = np.clip(draw.normal(truth * 0.3 + 0.3, 0.2), 0, 1)
    steps = Steps.of(scores, truth)
    curve = np.array(roc_curve(steps))
    assert len(curve) <= 202
    assert curve[0, :2].tolist() == [0, 0]
    assert curve[-1, :2].tolist() == [1, 1]
    assert (np.diff(curve[:, 0]) >= 0).all()
    assert (np.diff(curve[:, 1]) >= 0).all()
    area = float(np.trapezoid(curve[:, 1], curve[:, 0]))
    assert area == pytest.approx(area_under_roc(steps), abs=0.002)


def test_groups_are_measured_each_by_itself_the_largest_first() -> None:
    scores, truth = np.array([0.9, 0.1, 0.8, 0.2, 0.7]), np.array([True, False, True, False, False])
    by_group = describe_groups(scores, truth, np.array([1, 1, 0, 1, 2]), ["de", "en", "fr", "none"], 0.5)
    assert list(by_group) == ["en", "de", "fr"]
    assert (by_group["en"]["auc"], by_group["en"]["f1"]) == (1.0, 1.0)
    assert (by_group["de"]["auc"], by_group["de"]["recall"]) == (None, 1.0)
    assert (by_group["fr"]["precision"], by_group["fr"]["recall"]) == (0.0, None)
