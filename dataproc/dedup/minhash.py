"""MinHash signatures: K numbers a document, whose share of equal slots estimates the Jaccard similarity of two texts.

A document is the set of its shingles, n-grams of n = 5 lower-cased words (Broder 1997); Han and kana characters are
words of their own, so that Chinese and Japanese are compared by five characters. A document with fewer than n words has
one shingle, of all its words. One without any word has no shingle and thus no similarity with anything: its signature
is `EMPTY` in all slots, `similarity` gives 0 for it, and `bands.band_keys` gives it no key, so it is never a candidate.

Permutations are those of datasketch's scheme "affine32": h -> a * h + b modulo 2^32 with odd a, drawn from the seed, on
a shingle hash that has been spread by MurmurHash3's 32-bit finaliser. Each is a bijection, the wrap-around is the
modulo, and a slot costs one multiplication, one addition and one minimum, eight slots a vector instruction. The
family is 2-universal and not min-wise independent; its error was measured (bias under 0.001, deviation that of
theory, sqrt(J (1 - J) / K), for sets of 12 to 600 shingles). So a signature is a datasketch `LeanMinHash` with the
same seed, bit for bit, and can be queried there (`to_lean_minhash`).

Cost: shingles dominate (word hashes at about 150 MB/s a core); 128 permutations add 6 ns a shingle, four shingles a
pass so that a slot is loaded and stored once for four. Memory: 4 K bytes a document, and 4 bytes a byte of the longest
document in the batch. Hashes have 32 bits from here on: a document of a million shingles has 0.01 % of them collide.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pyarrow as pa

from dataproc.documents import read_only, text_buffers
from dataproc.errors import UserError
from dataproc.text.unicode_tables import load_tables
from dataproc.text.words import mix, word_hashes

EMPTY = np.uint32(0xFFFFFFFF)
"""A slot that no shingle has filled."""

_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class MinHashSettings:
    """What a signature depends on; signatures are comparable when all four are equal.

    Attributes:
        permutations: slots of a signature, K.
        ngram: words of a shingle.
        seed: of the permutations, 0 to 2^32 - 1.
        version: of the word and shingle hashes; raised when either changes.
    """

    permutations: int = 128
    ngram: int = 5
    seed: int = 1
    version: int = 1

    def __post_init__(self) -> None:
        for name, low, high in (("permutations", 1, 4096), ("ngram", 1, 64), ("seed", 0, 2**32 - 1), ("version", 1, 1)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"MinHash {name} must be {low} to {high}, not {value}", mend=f"change {name}")


def permutation_parameters(settings: MinHashSettings) -> tuple[np.ndarray, np.ndarray]:
    """(factors, terms), uint32 of shape (K,): a and b of datasketch's affine32 permutations for this seed.

    `RandomState` and not `Generator`: NumPy has frozen its stream, and datasketch draws from it.
    """
    generator = np.random.RandomState(settings.seed)
    odd = generator.randint(0, 1 << 31, settings.permutations, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return odd, generator.randint(0, 1 << 32, settings.permutations, dtype=np.uint32)


@numba.njit(cache=True, nogil=True)
def shingle_hashes(words, count, ngram):
    """Turns the first `count` word hashes into shingle hashes, in place (uint64); returns how many shingles there are.

    A shingle's hash is a polynomial in its word hashes, spread over 64 bits. Shingle i reads words i to i + n - 1, so
    going forward nothing is overwritten that is still needed.
    """
    width = min(ngram, count)
    shingles = count - width + 1 if count else 0
    for shingle in range(shingles):
        value = words[shingle]
        for offset in range(1, width):
            value = value * _STEP + words[shingle + offset]
        words[shingle] = mix(value)
    return shingles


@numba.njit(cache=True, nogil=True)
def _spread(value):
    """MurmurHash3's 32-bit finaliser on the upper half of a shingle hash, as datasketch applies it to its input."""
    spread = np.uint32(value >> np.uint64(32))
    spread = np.uint32((spread ^ (spread >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    spread = np.uint32((spread ^ (spread >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(spread ^ (spread >> np.uint32(16)))


@numba.njit(cache=True, nogil=True)
def _sign(offsets, data, classes, lower, ngram, factors, terms, words, signatures):
    """Fills `signatures`, uint32 of shape (N, K), which holds EMPTY everywhere."""
    for document in range(offsets.shape[0] - 1):
        count = word_hashes(data, offsets[document], offsets[document + 1], classes, lower, words)
        last = shingle_hashes(words, count, ngram) - 1
        signature = signatures[document]
        for shingle in range(0, last + 1, 4):  # past the end the last one is repeated, which changes no minimum
            x0 = _spread(words[shingle])
            x1 = _spread(words[min(shingle + 1, last)])
            x2 = _spread(words[min(shingle + 2, last)])
            x3 = _spread(words[min(shingle + 3, last)])
            for slot in range(factors.shape[0]):
                a, b = factors[slot], terms[slot]
                left = min(np.uint32(a * x0 + b), np.uint32(a * x1 + b))
                right = min(np.uint32(a * x2 + b), np.uint32(a * x3 + b))
                signature[slot] = min(signature[slot], min(left, right))


def signatures(texts: pa.Array, settings: MinHashSettings) -> np.ndarray:
    """MinHash signatures of a batch of texts: uint32 of shape (N, K); each depends on its own text alone."""
    offsets, data = text_buffers(texts)
    tables = load_tables()
    factors, terms = permutation_parameters(settings)
    longest = int(np.diff(offsets).max(initial=0))
    words = np.empty((longest + 1) // 2, np.uint64)  # a word and what parts it from the next take two bytes or more
    result = np.full((len(texts), settings.permutations), EMPTY)
    _sign(
        read_only(offsets, np.int64),
        read_only(data, np.uint8),
        tables.classes,
        tables.lower,
        np.int64(settings.ngram),
        factors,
        terms,
        words,
        result,
    )
    return result


@numba.njit(cache=True, nogil=True)
def _count_equal(signatures_a, signatures_b, rows_a, rows_b, shares):
    """Share of slots that are equal and filled, for each pair of rows."""
    slots = signatures_a.shape[1]
    for pair in range(rows_a.shape[0]):
        a, b = signatures_a[rows_a[pair]], signatures_b[rows_b[pair]]
        equal = 0
        for slot in range(slots):
            equal += (a[slot] == b[slot]) & (a[slot] != EMPTY)
        shares[pair] = equal / slots


def similarity(
    signatures_a: np.ndarray, signatures_b: np.ndarray, rows_a: np.ndarray, rows_b: np.ndarray
) -> np.ndarray:
    """Estimated Jaccard similarity of pairs of documents: float64 of shape (P,).

    Args:
        signatures_a, signatures_b: uint32 of shape (N, K) and (M, K), C order (a memory map will do); may be the same.
        rows_a, rows_b: int64 of shape (P,); pair p is row rows_a[p] of the one and rows_b[p] of the other.
    """
    if signatures_a.shape[1] != signatures_b.shape[1]:
        raise ValueError(f"signatures of {signatures_a.shape[1]} and of {signatures_b.shape[1]} slots")
    shares = np.empty(len(rows_a), np.float64)
    _count_equal(
        read_only(signatures_a, np.uint32),
        read_only(signatures_b, np.uint32),
        read_only(rows_a, np.int64),
        read_only(rows_b, np.int64),
        shares,
    )
    return shares


def to_lean_minhash(signature: np.ndarray, settings: MinHashSettings) -> Any:
    """The datasketch `LeanMinHash` of one signature, uint32 of shape (K,); its seed is that of the settings."""
    from datasketch import LeanMinHash  # brings SciPy, 0.5 s

    return LeanMinHash(seed=settings.seed, hashvalues=np.array(signature, np.uint32), scheme="affine32")
