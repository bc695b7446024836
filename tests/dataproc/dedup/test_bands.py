"""Bands: the choice against brute force, keys equal exactly when a band is, candidates linear in their bucket."""

import math
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.banding import (
    Banding,
    choose_bands,
    curve_in_words,
    describe_curve,
    estimate_floor,
    false_candidate_rate,
    s_curve,
)
from corpusmill.dataproc.dedup.bands import NO_KEY, band_keys, key_rows
from corpusmill.dataproc.dedup.candidates import candidate_pairs, unique_pairs
from corpusmill.dataproc.errors import UserError


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("permutations", [64, 128, 256])
def test_choice_is_the_steepest_that_has_the_recall_with_the_fewest_bands(threshold, permutations):
    def recall(bands: int, rows: int) -> float:
        return 1 - (1 - threshold**rows) ** bands

    fits = [
        (r, -b) for r in range(1, permutations + 1) for b in range(1, permutations // r + 1) if recall(b, r) >= 0.995
    ]
    rows, bands = max(fits)
    assert choose_bands(threshold, permutations) == (-bands, rows)


def test_choice_refuses_what_cannot_be():
    for arguments in ((0.2, 4), (1.0, 128), (0.8, 128, 1.0)):
        with pytest.raises(UserError):
            choose_bands(*arguments)


def test_s_curve_is_the_formula_and_matches_drawn_signatures():
    assert s_curve(14, 8, np.array([0.0, 1.0])).tolist() == [0.0, 1.0]
    assert s_curve(14, 8, np.array([0.8]))[0] == pytest.approx(0.924, abs=5e-4)  # facts/field.md, datatrove's default
    draw = np.random.default_rng(0)
    left = draw.integers(0, 2**32, (20_000, 24), dtype=np.uint32)
    right = np.where(draw.random(left.shape) < 0.7, left, ~left)
    met = (band_keys(left, 4, 6) == band_keys(right, 4, 6)).any(axis=1).mean()
    assert met == pytest.approx(s_curve(4, 6, np.array([0.7]))[0], abs=0.015)


def test_a_curve_is_described_by_points_and_in_words():
    banding = choose_bands(0.8, 128)
    curve = describe_curve(banding, 128)
    assert curve[0][0] == 0.1 and curve[-1] == (1.0, 1.0) and curve == sorted(curve)
    assert dict(curve)[0.8] == 1 - (1 - 0.8**banding.rows) ** banding.bands >= 0.995
    text = curve_in_words(banding, 128, 0.8)
    assert "\n" not in text
    for said in ("18 bands of 6 rows (108 of 128 slots)", "0.8: 99.6 %", "0.1: under 0.01 %", "0.9: over 99.99 %"):
        assert said in text
    with pytest.raises(ValueError, match="slots"):
        describe_curve(banding, 100)


def test_false_candidates_are_the_area_under_the_curve_below_the_threshold():
    assert false_candidate_rate(Banding(1, 1), 0.8) == pytest.approx(0.4)
    assert false_candidate_rate(Banding(1, 3), 0.5) == pytest.approx(0.5**3 / 4, rel=1e-5)
    assert false_candidate_rate(Banding(14, 8), 0.8) < false_candidate_rate(Banding(18, 6), 0.8)


def test_keys_are_equal_exactly_when_the_band_is_and_bands_do_not_mix():
    signatures = np.random.default_rng(1).integers(0, 3, (200, 12), dtype=np.uint32)
    keys = band_keys(signatures, 4, 3)
    seen = defaultdict(set)
    for document in range(200):
        for band in range(4):
            seen[int(keys[document, band])].add((band, *signatures[document, 3 * band : 3 * band + 3].tolist()))
    assert all(len(contents) == 1 for contents in seen.values())
    assert len(seen) == len({c for contents in seen.values() for c in contents})
    assert np.array_equal(keys[50:60], band_keys(signatures[50:60], 4, 3))


def test_key_rows_leave_out_documents_without_words():
    signatures = np.full((3, 4), 0xFFFFFFFF, np.uint32)
    signatures[1] = [1, 2, 3, 4]
    keys, addresses = key_rows(band_keys(signatures, 2, 2), np.array([7, 8, 9], np.uint64))
    assert addresses.tolist() == [8, 8] and NO_KEY not in keys
    with pytest.raises(ValueError, match="slots"):
        band_keys(signatures, 3, 2)


def test_estimate_floor_is_the_binomial_quantile():
    for permutations, threshold, recall in ((128, 0.8, 0.9), (64, 0.5, 0.99), (10, 0.7, 0.5)):
        equal = round(estimate_floor(threshold, permutations, recall) * permutations)

        def at_least(count: int, n: int = permutations, p: float = threshold) -> float:
            return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(count, n + 1))

        assert at_least(equal) >= recall > at_least(equal + 1)


def slow_candidates(rows: list[tuple[int, int]]) -> set[tuple[int, int]]:
    buckets = defaultdict(set)
    for key, address in rows:
        buckets[key].add(address)
    pairs = set()
    for bucket in map(sorted, buckets.values()):
        pairs |= {(bucket[0], member) for member in bucket[1:]} | set(pairwise(bucket))
    return pairs


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), max_size=60))
def test_candidates_are_star_and_chain_of_every_bucket(rows):
    keys, addresses = (np.array([row[i] for row in rows], np.uint64) for i in (0, 1))
    left, right = candidate_pairs(keys, addresses)
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == sorted(slow_candidates(rows))
    turned = candidate_pairs(keys[::-1], addresses[::-1])
    assert np.array_equal(left, turned[0]) and np.array_equal(right, turned[1])


def test_a_hot_bucket_costs_linear_pairs_and_loses_nobody():
    size = 200_000
    left, right = candidate_pairs(np.full(size, 5, np.uint64), np.arange(size, dtype=np.uint64)[::-1])
    assert len(left) == 2 * size - 3
    assert np.array_equal(np.unique(np.concatenate([left, right])), np.arange(size))


def test_rows_without_a_key_are_no_candidates():
    left, _ = candidate_pairs(np.full(4, NO_KEY), np.arange(4, dtype=np.uint64))
    assert len(left) == 0


def test_unique_pairs_of_several_partitions():
    left, right = unique_pairs(np.array([3, 1, 3, 1], np.uint64), np.array([4, 2, 4, 9], np.uint64))
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(1, 2), (1, 9), (3, 4)]
