"""Who stays, against the law that each removal is held to and a slow oracle of the order in which it is decided."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.absorbing import NEAR, absorb, adjacency, by_shingles, by_signatures

DOCUMENTS = st.lists(st.frozensets(st.integers(0, 9), max_size=7), min_size=1, max_size=14)
EDGES = st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=40)


def sets_of(documents):
    offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])])
    return by_shingles(offsets, np.array([value for document in documents for value in sorted(document)], np.uint64))


def jaccard(one, other):
    return len(one & other) / len(one | other) if one & other else 0.0


def share_held_by(one, other):
    return len(one & other) / len(one) if one else 0.0


def outcome(documents, edges, *, threshold=0.5, contained=0.0, protected=(), text=None):
    left, right = (np.array([edge[side] for edge in edges], np.int64) for side in (0, 1))
    return absorb(
        left,
        right,
        sets_of(documents),
        text=np.full(len(documents), -1) if text is None else text,
        protected=np.isin(np.arange(len(documents)), protected),
        threshold=threshold,
        contained=contained,
    )


def oracle(documents, edges, threshold, contained, protected):
    """The same by Python's sets: (survivors, pairs that were compared)."""
    near = {number: set() for number in range(len(documents))}
    for one, other in edges:
        if one != other:
            near[one].add(other)
            near[other].add(one)
    survivor, staying, compared = {}, {number: [] for number in near}, set()

    def goes(one, other):
        compared.add(frozenset((one, other)))
        a, b = documents[one], documents[other]
        return jaccard(a, b) >= threshold and share_held_by(a, b) >= contained

    for document in near:
        if document in survivor:
            continue
        stays = document
        if document not in protected:
            candidates = [other for middle in sorted(near[document]) for other in staying[middle] if other != document]
            stays = next((other for other in candidates if goes(document, other)), document)
        survivor[document] = stays
        if stays == document:
            for middle in near[document]:
                staying[middle] = [*staying[middle], document][:NEAR]
        waiting = [document]
        while waiting:
            for other in sorted(near[waiting.pop(0)]):
                if other not in survivor and other not in protected and goes(other, stays):
                    survivor[other] = stays
                    waiting.append(other)
    return [survivor[number] for number in range(len(documents))], compared


@settings(deadline=None, max_examples=300)
@given(
    DOCUMENTS, EDGES, st.sampled_from([0.3, 0.5, 0.8]), st.sampled_from([0.0, 0.9]), st.frozensets(st.integers(0, 4))
)
def test_every_removal_is_proven_and_no_pair_that_was_compared_is_left(
    documents, edges, threshold, contained, protected
):
    edges = [(one, other) for one, other in edges if max(one, other) < len(documents)]
    protected = {number for number in protected if number < len(documents)}
    done = outcome(documents, edges, threshold=threshold, contained=contained, protected=sorted(protected))
    expected, compared = oracle(documents, edges, threshold, contained, protected)
    assert done.survivor.tolist() == expected
    for number, stays in enumerate(done.survivor.tolist()):
        assert done.survivor[stays] == stays, "whoever others go for stays"
        if number in protected:
            assert stays == number
        if stays != number:
            a, b = documents[number], documents[stays]
            assert done.similarity[number] == pytest.approx(jaccard(a, b)) and jaccard(a, b) >= threshold
            assert done.containment[number] == pytest.approx(share_held_by(a, b)) and share_held_by(a, b) >= contained
    for pair in compared:
        one, other = sorted(pair)
        both_stay = done.survivor[one] == one and done.survivor[other] == other
        if both_stay and other not in protected:
            a, b = documents[other], documents[one]
            assert jaccard(a, b) < threshold or share_held_by(a, b) < contained


@settings(deadline=None, max_examples=60)
@given(DOCUMENTS, EDGES)
def test_a_document_more_removes_nobody_that_it_is_no_neighbour_of(documents, edges):
    edges = [(one, other) for one, other in edges if max(one, other) < len(documents)]
    before = outcome(documents, edges).survivor
    after = outcome([*documents, frozenset(range(5))], edges).survivor
    assert after[:-1].tolist() == before.tolist() and after[-1] == len(documents)


def test_a_chain_keeps_several_and_work_stays_linear():
    """A hundred thousand links, each sharing 0.9 with the next and nothing with the twentieth."""
    links, length, step = 100_000, 40, 2
    documents = np.arange(links)[:, None] * step + np.arange(length)[None, :]
    evidence = by_shingles(np.arange(links + 1) * length, documents.reshape(-1).astype(np.uint64))
    neighbours = np.arange(links - 1)
    order = np.random.default_rng(1).permutation(links)  # by preference, not by place
    done = absorb(
        order[neighbours],
        order[neighbours + 1],
        by_shingles(
            np.append(evidence.starts, evidence.stops[-1:]), documents[np.argsort(order)].reshape(-1).astype(np.uint64)
        ),
        text=np.full(links, -1),
        protected=np.zeros(links, bool),
        threshold=0.8,
    )
    assert links // 6 < (done.survivor == np.arange(links)).sum() < links // 2
    assert done.similarity.min() >= 0.8
    assert done.compared < 2 * (1 + NEAR) * links


def test_equal_texts_are_alike_without_shingles_and_signatures_without_texts():
    texts = np.array([7, 3, 7, -1, -1])
    pairs = np.array([0, 1, 3]), np.array([2, 2, 4])
    protected = np.zeros(5, bool)
    nothing = by_shingles(np.zeros(1, np.int64), np.zeros(0, np.uint64))
    done = absorb(*pairs, nothing, text=texts, protected=protected, threshold=0.8)
    assert done.survivor.tolist() == [0, 1, 0, 3, 4]
    assert (done.similarity[2], done.containment[2]) == (1.0, 1.0)
    signatures = np.arange(50, dtype=np.uint32).reshape(5, 10)
    signatures[4, :9] = signatures[3, :9]
    done = absorb(*pairs, by_signatures(signatures), text=texts, protected=protected, threshold=0.8)
    assert done.survivor.tolist() == [0, 1, 0, 3, 3]
    assert done.similarity[4] == 0.9 and np.isnan(done.containment[4]) and done.containment[2] == 1.0


def test_neighbours_are_listed_once_and_nobody_is_its_own():
    starts, neighbours = adjacency(np.array([2, 0, 0, 1]), np.array([0, 2, 1, 1]), 4)
    assert starts.tolist() == [0, 2, 3, 4, 4]
    assert neighbours.tolist() == [1, 2, 0, 0]


@given(EDGES, st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_neighbours_are_those_of_the_pairs_whatever_the_stretch(edges, stretch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("corpusmill.dataproc.dedup.absorbing.STRETCH", stretch)
        left, right = (np.array([edge[side] for edge in edges], np.uint32) for side in (0, 1))
        starts, neighbours = adjacency(left, right, 14)
    near = [sorted({b for a, b in edges + [(b, a) for a, b in edges] if a == node and a != b}) for node in range(14)]
    assert [neighbours[a:b].tolist() for a, b in pairwise(starts)] == near
