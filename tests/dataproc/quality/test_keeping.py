"""Keeping by a draw: reproducible by id, and distributed as the Pareto that it is named after."""

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.quality.keeping import pareto_thresholds, tie_draws

IDS = pa.array([f"document-{number}" for number in range(200_000)])


def test_draws_belong_to_ids_and_seeds_and_not_to_places() -> None:
    whole = pareto_thresholds(IDS, 3.0, 1)
    np.testing.assert_array_equal(pareto_thresholds(IDS.slice(500, 10), 3.0, 1), whole[500:510])
    assert not np.array_equal(pareto_thresholds(IDS, 3.0, 2), whole)
    assert not np.array_equal(tie_draws(IDS, 1), tie_draws(IDS, 2))


def test_the_share_kept_at_a_score_is_the_tail_of_the_distribution() -> None:
    for alpha in (3.0, 9.0):
        thresholds = pareto_thresholds(IDS, alpha, 0)
        for score in (0.05, 0.5, 0.9, 0.99):
            kept = float((score > thresholds).mean())
            tail = (1 + (1 - score)) ** -alpha  # P(Lomax > 1 - score)
            assert abs(kept - tail) < 0.005


def test_numpy_draws_the_same_distribution() -> None:
    ours = np.sort(1 - pareto_thresholds(IDS, 3.0, 5))
    theirs = np.sort(np.random.default_rng(0).pareto(3.0, len(IDS)))
    places = np.linspace(0.1, 0.95, 50)
    np.testing.assert_allclose(np.quantile(ours, places), np.quantile(theirs, places), rtol=0.03)


def test_a_score_of_one_is_always_kept() -> None:
    assert (pareto_thresholds(IDS, 9.0, 3) <= 1.0).all()
    assert (pareto_thresholds(IDS, 9.0, 3) < 1.0).mean() > 0.99999
