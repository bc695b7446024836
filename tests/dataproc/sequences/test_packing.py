"""Packing: the quadratic best-fit's sequences, nothing cut that fits, every token exactly once."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.packing import POLICIES, fill, pack, report

LENGTHS = st.lists(st.integers(0, 40), max_size=40)
CAPACITY = st.integers(1, 17)


def slow_best_fit(lengths: list[int], capacity: int) -> list[list[tuple[int, int, int]]]:
    """Sequences of (document, start, length) by definition; of equal spaces the most recently changed sequence."""
    items = []
    for document, total in enumerate(lengths):
        items += [(document, start, min(capacity, total - start)) for start in range(0, total, capacity)]
    bins: list[list] = []  # [space, time of the last change, items]
    for time, item in enumerate(sorted(items, key=lambda item: -item[2])):
        fits = [b for b in bins if b[0] >= item[2]]
        chosen = min(fits, key=lambda b: (b[0], -b[1])) if fits else [capacity, time, []]
        if not fits:
            bins.append(chosen)
        chosen[0] -= item[2]
        chosen[1] = time
        chosen[2].append(item)
    return sorted(sorted(b[2]) for b in bins)


def as_sequences(placement) -> list[list[tuple[int, int, int]]]:
    rows = defaultdict(list)
    for sequence, document, start, length in zip(*(placement[i].tolist() for i in (0, 2, 3, 4)), strict=True):
        rows[sequence].append((document, start, length))
    return [rows[number] for number in range(placement.sequences)]


@settings(deadline=None)
@given(LENGTHS, CAPACITY)
def test_best_fit_is_that_of_the_quadratic_reference(lengths, capacity):
    assert as_sequences(pack(np.array(lengths, np.int64), capacity)) == slow_best_fit(lengths, capacity)


@settings(deadline=None)
@given(LENGTHS, CAPACITY, st.sampled_from(POLICIES))
def test_every_token_of_every_document_appears_exactly_once(lengths, capacity, policy):
    tokens = pa.array([[100 * d + t for t in range(n)] for d, n in enumerate(lengths)], pa.list_(pa.int32()))
    placement = pack(np.array(lengths, np.int64), capacity, policy)
    sequences = fill(placement, tokens, pad=-1)
    assert sequences.shape == (placement.sequences, capacity)
    assert sorted(sequences[sequences >= 0].tolist()) == sorted(tokens.flatten().to_pylist())
    for row in range(placement.sequences):
        segments = slice(placement.bounds[row], placement.bounds[row + 1])
        spelled = []
        for document, start, length in zip(*(placement[i][segments].tolist() for i in (2, 3, 4)), strict=True):
            spelled += [100 * document + token for token in range(start, start + length)]
        assert sequences[row].tolist() == spelled + [-1] * (capacity - len(spelled))
        ends = np.cumsum(placement.length[segments])
        assert placement.position[segments].tolist() == [0, *ends[:-1].tolist()]


@settings(deadline=None)
@given(LENGTHS, CAPACITY)
def test_what_fits_is_not_cut_and_concat_leaves_no_gap(lengths, capacity):
    best = pack(np.array(lengths, np.int64), capacity)
    pieces = np.bincount(best.document, minlength=len(lengths)).tolist()
    assert pieces == [-(-n // capacity) for n in lengths]
    assert report(best).cut_needlessly == 0
    concat = pack(np.array(lengths, np.int64), capacity, "concat")
    assert concat.sequences == -(-sum(lengths) // capacity)
    assert best.sequences >= concat.sequences


def test_policy_none_and_the_report():
    lengths = np.array([5, 0, 12, 3], np.int64)
    assert as_sequences(pack(lengths, 5, "none")) == [[(0, 0, 5)], [(2, 0, 5)], [(2, 5, 5)], [(2, 10, 2)], [(3, 0, 3)]]
    assert as_sequences(pack(lengths, 5)) == [[(0, 0, 5)], [(2, 0, 5)], [(2, 5, 5)], [(2, 10, 2), (3, 0, 3)]]
    assert as_sequences(pack(lengths, 5, "concat")) == [[(0, 0, 5)], [(2, 0, 5)], [(2, 5, 5)], [(2, 10, 2), (3, 0, 3)]]
    got = report(pack(np.array([4, 4, 12], np.int64), 5, "concat"))
    assert (got.sequences, got.tokens, got.padding, got.cut, got.cut_needlessly) == (4, 20, 0, 2, 1)
    assert got.lost_context == got.tokens_past_a_cut / 20 == (3 + 5 + 5) / 20
    empty = report(pack(np.empty(0, np.int64), 5))
    assert (empty.sequences, empty.fill, empty.lost_context) == (0, 0.0, 0.0)


def test_a_real_distribution_fills_above_99_9_percent():
    lengths = np.clip(np.random.default_rng(0).lognormal(6, 1.3, 30_000), 2, 200_000).astype(np.int64)
    got = report(pack(lengths, 4096))
    assert got.fill > 0.999 and got.cut == (lengths > 4096).sum()
    assert report(pack(lengths, 1 << 17)).fill > 0.99  # lengths above 16 bits take another sort


def test_large_and_sliced_lists_and_wrong_lengths():
    tokens = pa.array([[9, 9], [1], [2, 3], [9]], pa.large_list(pa.int32())).slice(1, 2)
    placement = pack(np.array([1, 2], np.int64), 4)
    assert fill(placement, tokens, 0).tolist() == [[1, 2, 3, 0]]
    for other in (tokens.slice(0, 1), pa.array([[1], [2]], pa.list_(pa.int32())), []):
        with pytest.raises(ValueError, match="lengths"):
            fill(placement, other, 0)
    with pytest.raises(ValueError, match="negative"):
        pack(np.array([-1]), 4)
    for arguments in ((4, "worst-fit"), (0, "none")):
        with pytest.raises(UserError):
            pack(np.array([1]), *arguments)


@settings(deadline=None)
@given(LENGTHS, CAPACITY, st.data())
def test_some_of_the_documents_and_some_of_the_sequences(lengths, capacity, data):
    tokens = pa.array([[100 * d + t for t in range(n)] for d, n in enumerate(lengths)], pa.list_(pa.int32()))
    rows = np.array(sorted(data.draw(st.sets(st.sampled_from(range(len(lengths)))))) if lengths else [], np.int64)
    placement = pack(np.array(lengths, np.int64), capacity, rows=rows)
    alone = pack(np.array(lengths, np.int64)[rows], capacity)
    assert set(placement.document.tolist()) <= set(rows.tolist())
    whole = fill(placement, tokens, -1)
    assert np.array_equal(whole, fill(alone, tokens.take(pa.array(rows)), -1))
    at = data.draw(st.integers(0, len(lengths)))
    chunks = [tokens.slice(0, at), tokens.slice(at), tokens.slice(len(tokens))]
    first = data.draw(st.integers(0, placement.sequences))
    last = data.draw(st.integers(first, placement.sequences))
    assert np.array_equal(fill(placement, chunks, -1, first, last), whole[first:last])
