"""Which documents stay: greedily by preference, so that whoever goes is itself alike the one that stays for it.

Components would not do: in a chain of texts that each share most with the next, the last shares nothing with the first,
and one survivor for all of them would lose most of what they say. Here the document that is preferred to all others
stays and absorbs: it is compared with its neighbours in the graph of candidate pairs, then with the neighbours of those
that it absorbed, and so on; who is not like it stays where it is, and the next in order goes on.

The law that follows, for any graph: a document is removed only for one that stays, and only if the two were compared
and passed; no two that stay were compared and passed, but for protected ones, which always stay. The outcome depends on
the order of preference and on which pairs are candidates, never on the order of rows.

Before a document stays, it is compared with up to `NEAR` that stay already and have a neighbour in common with it: a
bucket is a star and a chain, and its centre may have gone for a third document.

Work: a document's neighbours are looked at once when it stays or goes, and `NEAR` times from their other neighbours: at
most 2 E (1 + NEAR) comparisons for E pairs, by the shape of real graphs about E. Memory: 32 bytes a pair and 100 a
document, beside what they are compared by: these sets may lie in a mapped file, in any order (`Evidence`).
"""

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

NEAR = 4
STRETCH = 1 << 22
"""Keys that are looked at together."""
NOBODY = np.int64(-1)


class Evidence(NamedTuple):
    """What documents are compared by: the sets of their shingles, or their signatures; the other has no rows.

    Attributes:
        starts, stops: int64 of shape (N,), where each document's set lies in `hashes`.
        hashes: uint64, sets as from `jaccard.shingle_sets`, in any order.
        signatures: uint32 of shape (N, K).
    """

    starts: np.ndarray
    stops: np.ndarray
    hashes: np.ndarray
    signatures: np.ndarray


class Absorbed(NamedTuple):
    """What became of each of N documents.

    Attributes:
        survivor: int64 of shape (N,), the document that stays for it: itself if it stays.
        similarity: float64 of shape (N,), to that survivor; 1 for itself and for equal texts.
        containment: float64 of shape (N,), share of its shingles that the survivor holds; NaN by signatures.
        compared: how many pairs were compared.
    """

    survivor: np.ndarray
    similarity: np.ndarray
    containment: np.ndarray
    compared: int


def by_shingles(offsets: np.ndarray, hashes: np.ndarray) -> Evidence:
    """Documents by the sets of their shingles, which lie one after the other."""
    return by_places(offsets[:-1], offsets[1:], hashes)


def by_places(starts: np.ndarray, stops: np.ndarray, hashes: np.ndarray) -> Evidence:
    """Documents by the sets of their shingles, wherever these lie."""
    return Evidence(starts, stops, hashes, np.zeros((0, 1), np.uint32))


def by_signatures(signatures: np.ndarray) -> Evidence:
    """Documents by estimates from their signatures."""
    return Evidence(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64), signatures)


def adjacency(left: np.ndarray, right: np.ndarray, documents: int) -> tuple[np.ndarray, np.ndarray]:
    """(starts, neighbours) of each document, both int64: those of d are neighbours[starts[d]:starts[d + 1]], rising.

    A pair is sorted as one number, in place. Memory: 16 bytes a pair, beside the pairs.

    Args:
        left, right: integers of shape (E,), the two documents of each pair, in any order and as often as they come.
        documents: how many there are, below 2^32.
    """
    pairs, many = len(left), np.uint64(documents)
    keys = np.empty(2 * pairs, np.uint64)
    for place, (one, other) in enumerate(((left, right), (right, left))):
        half = keys[place * pairs : (place + 1) * pairs]
        np.multiply(one, many, out=half, dtype=np.uint64, casting="unsafe")
        np.add(half, other, out=half, dtype=np.uint64, casting="unsafe")
    keys.sort()
    keys = keys[: _close_up(keys, many)]
    starts = np.searchsorted(keys, np.arange(documents + 1, dtype=np.uint64) * many).astype(np.int64)
    if documents:
        np.remainder(keys, many, out=keys)
    return starts, keys.view(np.int64)


def _close_up(keys: np.ndarray, documents: np.uint64) -> int:
    """Moves the first of equal keys up, in place, and drops pairs of a document with itself; how many are left."""
    written = 0
    before = np.uint64(0xFFFFFFFFFFFFFFFF)
    for start in range(0, len(keys), STRETCH):
        stretch = keys[start : start + STRETCH]
        fresh = stretch // documents != stretch % documents
        fresh[1:] &= stretch[1:] != stretch[:-1]
        fresh[0] &= stretch[0] != before
        before = stretch[-1]
        kept = stretch[fresh]
        keys[written : written + len(kept)] = kept
        written += len(kept)
    return written


def absorb(
    left: np.ndarray,
    right: np.ndarray,
    evidence: Evidence,
    *,
    text: np.ndarray,
    protected: np.ndarray,
    threshold: float,
    contained: float = 0.0,
) -> Absorbed:
    """Who stays of N documents, which are numbered in their order of preference.

    Args:
        left, right: int64 of shape (E,), candidate pairs.
        evidence: what documents are compared by.
        text: int64 of shape (N,): two documents with the same number, 0 or more, have equal texts; -1 is nobody's.
        protected: bool of shape (N,), documents that stay whatever they are like.
        threshold: least similarity of a document to its survivor.
        contained: least share of a document's shingles that its survivor holds; looked at by shingles only.
    """
    documents = len(protected)
    starts, neighbours = adjacency(left, right, documents)
    survivor = np.full(documents, NOBODY)
    similarity, containment = np.ones(documents), np.ones(documents)
    if len(evidence.signatures):
        containment[:] = np.nan
    compared = _absorb(
        read_only(starts, np.int64),
        read_only(neighbours, np.int64),
        read_only(evidence.starts, np.int64),
        read_only(evidence.stops, np.int64),
        read_only(evidence.hashes, np.uint64),
        read_only(evidence.signatures, np.uint32),
        read_only(text, np.int64),
        read_only(protected, np.bool_),
        threshold,
        contained,
        survivor,
        similarity,
        containment,
    )
    return Absorbed(survivor, similarity, containment, int(compared))


@kernel_step
def _compare(one, other, first, stop, hashes, signatures, text):
    """(similarity of two documents, share of `one` that `other` holds)."""
    if text[one] >= 0 and text[one] == text[other]:
        return 1.0, 1.0
    if signatures.shape[0]:
        equal = 0
        for slot in range(signatures.shape[1]):
            a = signatures[one, slot]
            equal += (a == signatures[other, slot]) & (a != np.uint32(0xFFFFFFFF))
        return equal / signatures.shape[1], np.nan
    if not first.shape[0]:
        return 0.0, 0.0
    a, a_end = first[one], stop[one]
    b, b_end = first[other], stop[other]
    of_one, total = a_end - a, (a_end - a) + (b_end - b)
    common = np.int64(0)
    while a < a_end and b < b_end:
        x, y = hashes[a], hashes[b]
        common += np.int64(x == y)
        a += np.int64(x <= y)
        b += np.int64(y <= x)
    if not common:
        return 0.0, 0.0
    return common / (total - common), common / of_one


@kernel
def _absorb(
    starts,
    neighbours,
    set_starts,
    set_stops,
    hashes,
    signatures,
    text,
    protected,
    threshold,
    contained,
    survivor,
    similarity,
    containment,
):
    documents = survivor.shape[0]
    near = np.full((documents, NEAR), NOBODY)
    seen = np.full(documents, NOBODY)  # who this one was last compared with
    queue = np.empty(documents, np.int64)
    compared = np.int64(0)
    for document in range(documents):
        if survivor[document] != NOBODY:
            continue
        stays = document
        for edge in range(starts[document], starts[document + 1]):
            if protected[document] or stays != document:
                break
            for place in range(NEAR):
                other = near[neighbours[edge], place]
                if other == NOBODY or stays != document:
                    break
                if other == document or seen[other] == document:
                    continue
                seen[other] = document
                compared += 1
                alike, within = _compare(document, other, set_starts, set_stops, hashes, signatures, text)
                if alike >= threshold and not within < contained:
                    stays = other
                    similarity[document], containment[document] = alike, within
        survivor[document] = stays
        if stays == document:
            for edge in range(starts[document], starts[document + 1]):
                places = near[neighbours[edge]]
                for place in range(NEAR):
                    if places[place] == NOBODY:
                        places[place] = document
                        break
        queue[0], first, last = document, 0, 1
        while first < last:
            node = queue[first]
            first += 1
            for edge in range(starts[node], starts[node + 1]):
                other = neighbours[edge]
                if survivor[other] != NOBODY or protected[other] or seen[other] == stays:
                    continue
                seen[other] = stays
                compared += 1
                alike, within = _compare(other, stays, set_starts, set_stops, hashes, signatures, text)
                if alike >= threshold and not within < contained:
                    survivor[other] = stays
                    similarity[other], containment[other] = alike, within
                    queue[last] = other
                    last += 1
    return compared
