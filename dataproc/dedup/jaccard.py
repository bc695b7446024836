"""True Jaccard similarity of candidate pairs: the exact verification that estimates from signatures leave open.

An estimate from K slots has a deviation of sqrt(J (1 - J) / K), 0.035 at J = 0.8 and K = 128, so half of the pairs that
lie exactly at a threshold are judged wrongly by it. Here the shingles that `minhash.signatures` takes are hashed again,
and the sorted sets of a pair are intersected. What is left of chance is that two different shingles share a 64-bit hash
and a pair counts one too many: for sets of a and b shingles with probability a b / 2^64, which is 5e-8 for two
documents of a million shingles each.

The two steps stand apart, because a document has a part in many pairs and the texts of all candidates need not fit in
memory: `shingle_sets` makes the sets of a batch of documents, 8 bytes a shingle, and `set_similarity` compares rows of
as many sets as the caller has room for, wherever they come from.

Cost: shingles at the speed of `minhash`, a vectorised sort a document (a call to NumPy each, 3 ns a shingle), and for a
pair 1.1 ns a shingle of both documents, by a merge without branches that depend on the data. Memory: a set takes 8
bytes a different shingle (1 byte a byte of real text; at most 4, with character shingles 8); while the sets of a batch
are made, as much again, and address space for the most that its text could have.
"""

from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.minhash import MinHashSettings, shingle_hashes, shingle_room
from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.text.canonical import to_nfc
from corpusmill.dataproc.text.unicode_tables import load_tables


@kernel
def _list_shingles(offsets, data, classes, lower, characters, ngram, bounds, out):
    """Writes every document's shingles into `out`, one after the other; bounds[d + 1] is where document d's end.

    No document writes past its own room and the rooms add up to that of `out`, so the next one's are always free.
    """
    position = np.int64(0)
    for document in range(offsets.shape[0] - 1):
        start, stop = offsets[document], offsets[document + 1]
        position += shingle_hashes(data, start, stop, classes, lower, characters, ngram, out[position:])
        bounds[document + 1] = position


@kernel
def _drop_repeats(bounds, hashes):
    """Closes up the sorted hashes of each document over those that repeat, in place; gives how many are left in all."""
    written = np.int64(0)
    start = bounds[0]
    for document in range(bounds.shape[0] - 1):
        stop = bounds[document + 1]
        for place in range(start, stop):
            value = hashes[place]
            if place == start or value != hashes[written - 1]:
                hashes[written] = value
                written += 1
        start = stop
        bounds[document + 1] = written
    return written


def shingle_sets(texts: pa.Array, settings: MinHashSettings) -> tuple[np.ndarray, np.ndarray]:
    """The set of shingle hashes of each text; that of a text without words is empty.

    Args:
        texts: a string array of N documents, without nulls.
        settings: of which `ngram` and `shingle` say what a shingle is.

    Returns:
        (offsets, hashes): int64 of shape (N + 1,) and uint64. The set of document d is
        hashes[offsets[d]:offsets[d + 1]], rising, each hash once.
    """
    offsets, data, _ = to_nfc(*text_buffers(texts))
    tables = load_tables()
    room = shingle_room(int(offsets[-1] - offsets[0]), settings) + len(texts)  # rounding up, each document by a half
    hashes = np.empty(room, np.uint64)
    bounds = np.zeros(len(texts) + 1, np.int64)
    _list_shingles(
        read_only(offsets, np.int64),
        read_only(data, np.uint8),
        tables.classes,
        tables.lower,
        settings.shingle == "character",
        np.int64(settings.ngram),
        bounds,
        hashes,
    )
    for start, stop in pairwise(bounds.tolist()):
        hashes[start:stop].sort()
    left = _drop_repeats(bounds, hashes)
    return bounds, hashes[:left].copy()


@kernel
def _intersect(offsets, hashes, rows_a, rows_b, jaccards):
    """Merges the two sorted sets of each pair: a step passes the lesser of two hashes, or both of two equal ones."""
    for pair in range(rows_a.shape[0]):
        a, a_end = offsets[rows_a[pair]], offsets[rows_a[pair] + 1]
        b, b_end = offsets[rows_b[pair]], offsets[rows_b[pair] + 1]
        total = (a_end - a) + (b_end - b)
        common = np.int64(0)
        while a < a_end and b < b_end:
            x, y = hashes[np.uint64(a)], hashes[np.uint64(b)]
            common += np.int64(x == y)
            a += np.int64(x <= y)
            b += np.int64(y <= x)
        jaccards[pair] = common / (total - common) if common else 0.0


def set_similarity(offsets: np.ndarray, hashes: np.ndarray, rows_a: np.ndarray, rows_b: np.ndarray) -> np.ndarray:
    """Jaccard similarity of pairs of sets: float64 of shape (P,), 0 where one is empty.

    Args:
        offsets, hashes: sets as from `shingle_sets`; the offsets need not begin at 0.
        rows_a, rows_b: int64 of shape (P,), the two sets of each pair.
    """
    jaccards = np.empty(len(rows_a), np.float64)
    _intersect(
        read_only(offsets, np.int64),
        read_only(hashes, np.uint64),
        read_only(rows_a, np.int64),
        read_only(rows_b, np.int64),
        jaccards,
    )
    return jaccards


def true_similarity(
    texts: pa.Array, ngram: int, rows_a: np.ndarray, rows_b: np.ndarray, shingle: Literal["word", "character"] = "word"
) -> np.ndarray:
    """Jaccard similarity of the shingle sets of pairs of documents: float64 of shape (P,), 0 for one without words.

    Args:
        texts: the documents concerned, each once.
        ngram, shingle: as in `MinHashSettings`.
        rows_a, rows_b: int64 of shape (P,), rows of `texts`.
    """
    offsets, hashes = shingle_sets(texts, MinHashSettings(ngram=ngram, shingle=shingle))
    return set_similarity(offsets, hashes, rows_a, rows_b)
