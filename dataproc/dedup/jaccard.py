"""True Jaccard similarity of candidate pairs: the exact verification that estimates from signatures leave open.

An estimate from K slots has a deviation of sqrt(J (1 - J) / K), 0.035 at J = 0.8 and K = 128, so half of the pairs that
lie exactly at a threshold are judged wrongly by it. Here the shingles of both documents are hashed again and their
sorted sets are intersected; what is left of chance is that two different shingles share a 64-bit hash.

Cost: shingles at the speed of word hashing, one vectorised sort a document (a call to NumPy each, about 10 ns a
shingle), and a merge of both sets a pair. Memory: 4 bytes a byte of text and 25 a shingle; callers bound it by the
batch of candidate documents that they give.
"""

from itertools import pairwise

import numba
import numpy as np
import pyarrow as pa

from dataproc.dedup.minhash import shingle_hashes
from dataproc.documents import read_only, text_buffers
from dataproc.text.unicode_tables import load_tables
from dataproc.text.words import word_hashes


@numba.njit(cache=True, nogil=True)
def _list_shingles(offsets, data, classes, lower, ngram, words, bounds, out):
    """Appends every document's shingles to `out`; bounds[d + 1] is where document d's end."""
    position = np.int64(0)
    for document in range(offsets.shape[0] - 1):
        count = word_hashes(data, offsets[document], offsets[document + 1], classes, lower, words)
        shingles = shingle_hashes(words, count, ngram)
        for shingle in range(shingles):
            out[position + shingle] = words[shingle]
        position += shingles
        bounds[document + 1] = position


@numba.njit(cache=True, nogil=True)
def _intersect(bounds, values, rows_a, rows_b, jaccards):
    """Merges the two sorted sets of each pair."""
    for pair in range(rows_a.shape[0]):
        a, a_end = bounds[rows_a[pair]], bounds[rows_a[pair] + 1]
        b, b_end = bounds[rows_b[pair]], bounds[rows_b[pair] + 1]
        total = (a_end - a) + (b_end - b)
        common = 0
        while a < a_end and b < b_end:
            if values[a] == values[b]:
                common += 1
                a += 1
                b += 1
            elif values[a] < values[b]:
                a += 1
            else:
                b += 1
        jaccards[pair] = common / (total - common) if common else 0.0


def shingle_sets(texts: pa.Array, ngram: int) -> tuple[np.ndarray, np.ndarray]:
    """(bounds int64 of shape (N + 1,), values uint64): each document's set of shingle hashes, sorted."""
    offsets, data = text_buffers(texts)
    tables = load_tables()
    longest = int(np.diff(offsets).max(initial=0))
    words = np.empty((longest + 1) // 2, np.uint64)
    values = np.empty((int(offsets[-1] - offsets[0]) + len(texts)) // 2, np.uint64)
    bounds = np.zeros(len(texts) + 1, np.int64)
    _list_shingles(
        read_only(offsets, np.int64),
        read_only(data, np.uint8),
        tables.classes,
        tables.lower,
        np.int64(ngram),
        words,
        bounds,
        values,
    )
    values = values[: bounds[-1]]
    for start, stop in pairwise(bounds.tolist()):
        values[start:stop].sort()
    document = np.repeat(np.arange(len(texts)), np.diff(bounds))
    fresh = np.ones(len(values), bool)
    fresh[1:] = (values[1:] != values[:-1]) | (document[1:] != document[:-1])
    np.cumsum(np.bincount(document[fresh], minlength=len(texts)), out=bounds[1:])
    return bounds, values[fresh]


def true_similarity(texts: pa.Array, ngram: int, rows_a: np.ndarray, rows_b: np.ndarray) -> np.ndarray:
    """Jaccard similarity of the shingle sets of pairs of documents: float64 of shape (P,), 0 for one without words.

    Args:
        texts: the documents concerned, each once.
        ngram: words of a shingle, as in `MinHashSettings`.
        rows_a, rows_b: int64 of shape (P,), rows of `texts`.
    """
    bounds, values = shingle_sets(texts, ngram)
    jaccards = np.empty(len(rows_a), np.float64)
    _intersect(bounds, values, read_only(rows_a, np.int64), read_only(rows_b, np.int64), jaccards)
    return jaccards
