"""MinHash signatures: K numbers a document, whose share of equal slots estimates the Jaccard similarity of two texts.

A document is the set of its shingles, n-grams of n = 5 lower-cased words (Broder 1997), of which an underscore is a
letter, so that an identifier of code is one. In scripts without spaces between words each letter with its marks is a
word (`dataproc.text.words`), so that Chinese, Thai or Khmer are compared by five of them. Texts are compared in NFC
(`dataproc.text.canonical`). Or a shingle is n characters of the lower-cased text, in which whatever lies between two
words is one space; there are six times as many of them, and a changed letter or a word that is run together with its
neighbour spoils a smaller share of them. A document with fewer than n words (or characters) has one shingle, of all of
them. One without any word has no shingle and thus no similarity with anything: its signature is `EMPTY` in all slots,
`similarity` gives 0 for it, and `bands.band_keys` gives it no key, so it is never a candidate.

Permutations are those of datasketch's scheme "affine32": h -> a * h + b modulo 2^32 with odd a, drawn from the seed, on
a shingle hash that has been spread by MurmurHash3's 32-bit finaliser. Each is a bijection, the wrap-around is the
modulo, and a slot costs one multiplication, one addition and one minimum, sixteen slots a vector instruction. The
family is 2-universal and not min-wise independent; its error was measured (bias under 0.001, deviation that of
theory, sqrt(J (1 - J) / K), for sets of 12 to 600 shingles). So a signature is a datasketch `LeanMinHash` with the
same seed, bit for bit, and can be queried there (`to_lean_minhash`).

Cost: 123 MB of real text took 0.18 s on one core with 128 permutations, of which hashing words 0.13, and permuting
18 million shingles 0.04: 2 ns each, eight a pass, so that a slot is loaded and stored once for eight. Character
shingles: 0.58 s. Memory: 4 K bytes a document, and 6 bytes (12 with character shingles) a byte of the longest document.
Hashes have 32 bits from here on: a document of a million shingles has 0.01 % of them collide.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from corpusmill.dataproc.errors import UserError, require_extra
from corpusmill.dataproc.kernels.buffers import Texts, read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.kernels.hashing import mix
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.canonical import other_texts
from corpusmill.dataproc.text.unicode_tables import load_tables
from corpusmill.dataproc.text.words import WORD, identifier_word_hashes

EMPTY = np.uint32(0xFFFFFFFF)
"""A slot that no shingle has filled."""

HASH_VERSION = 3
"""3: an underscore is a letter of a word. 2: texts in NFC; a letter is a word in Thai, Lao, Khmer, Burmese and the
like. 1: only in Han and kana."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_SPACE = 0x20
_PASS = 8


@dataclass(frozen=True)
class MinHashSettings:
    """What a signature depends on; signatures are comparable when all of it is equal.

    Attributes:
        permutations: slots of a signature, K.
        ngram: words or characters of a shingle.
        seed: of the permutations, 0 to 2^32 - 1.
        version: of the word and shingle hashes; raised when either changes.
        shingle: what a shingle is made of: "word" (by letter in scripts without spaces) or "character".
    """

    permutations: int = 128
    ngram: int = 5
    seed: int = 1
    version: int = HASH_VERSION
    shingle: Literal["word", "character"] = "word"

    def __post_init__(self) -> None:
        if self.version != HASH_VERSION:
            what = f"these signatures are of version {self.version} of the shingles, and this corpusmill makes version"
            raise UserError(
                f"{what} {HASH_VERSION}", hint="recompute the signatures: the two versions cannot be compared"
            )
        for name, low, high in (("permutations", 1, 4096), ("ngram", 1, 64), ("seed", 0, 2**32 - 1)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"MinHash {name} must be {low} to {high}, not {value}", hint=f"change {name}")
        if self.shingle not in ("word", "character"):
            raise UserError(f"unknown kind of shingle '{self.shingle}'", hint="set shingle to word or character")


DEFAULT = MinHashSettings()
"""128 permutations, shingles of five words."""


def permutation_parameters(settings: MinHashSettings) -> tuple[np.ndarray, np.ndarray]:
    """(factors, terms), uint32 of shape (K,): a and b of datasketch's affine32 permutations for this seed.

    `RandomState` and not `Generator`: NumPy has frozen its stream, and datasketch draws from it.
    """
    generator = np.random.RandomState(settings.seed)
    odd = generator.randint(0, 1 << 31, settings.permutations, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return odd, generator.randint(0, 1 << 32, settings.permutations, dtype=np.uint32)


@kernel_part
def _character_hashes(data, start, stop, classes, lower, out):
    """Hashes the characters of the words of data[start:stop] into `out`, with one space from word to word; how many.

    Args:
        out: uint64 with room for stop - start entries.
    """
    count = 0
    apart = False
    position = start
    while position < stop:
        code, length = decode(data, position, stop)
        position += length
        if classes[code] & WORD == 0:
            apart = count > 0
            continue
        if apart:
            out[count] = mix(np.uint64(_SPACE))
            count += 1
            apart = False
        out[count] = mix(np.uint64(lower[code]))
        count += 1
    return count


@kernel_part
def _roll(units, count, ngram):
    """Turns the first `count` hashes of words or characters into shingle hashes, in place; how many shingles there are.

    A shingle's hash is the polynomial of its units in _STEP, spread over 64 bits. It is rolled from shingle to shingle,
    so n has no influence on the time.
    """
    width = min(ngram, count)
    shingles = count - width + 1 if count else 0
    value, first_power = np.uint64(0), np.uint64(1)
    for unit in range(width - 1):
        value = value * _STEP + units[unit]
        first_power *= _STEP
    for shingle in range(shingles):
        leaves = units[shingle]
        value = value * _STEP + units[shingle + width - 1]
        units[shingle] = mix(value)
        value -= leaves * first_power
    return shingles


@kernel
def shingle_hashes(data, start, stop, classes, lower, characters, ngram, out):
    """Hashes the shingles of data[start:stop] in order into `out`; returns how many there are, repeated ones included.

    Args:
        data: UTF-8 bytes, uint8.
        start, stop: the document's bytes, int64.
        classes, lower: of `unicode_tables.load_tables()`.
        characters: whether shingles are made of characters; of words otherwise.
        ngram: how many of them, int64.
        out: uint64 with room for `shingle_room` entries.
    """
    if characters:
        count = _character_hashes(data, start, stop, classes, lower, out)
    else:
        count = identifier_word_hashes(data, start, stop, classes, lower, out)
    return _roll(out, count, ngram)


def shingle_room(text_bytes: int, settings: MinHashSettings) -> int:
    """The most shingles that so many bytes of text can have: a word and what parts it from the next take two bytes."""
    return text_bytes if settings.shingle == "character" else (text_bytes + 1) // 2


@kernel_part
def _spread(value):
    """MurmurHash3's 32-bit finaliser on the upper half of a shingle hash, as datasketch applies it to its input."""
    spread = np.uint32(value >> np.uint64(32))
    spread = np.uint32((spread ^ (spread >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    spread = np.uint32((spread ^ (spread >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(spread ^ (spread >> np.uint32(16)))


@kernel_part
def _permute(spread, count, factors, terms, signature):
    """Lowers each slot of a signature to the least value that its permutation gives to the first `count` hashes.

    Eight hashes a pass, so that a slot is loaded and stored once for eight. Past the end the last one is repeated,
    which changes no minimum: `spread`, uint32, has room for seven more.
    """
    for place in range(count, count + _PASS - 1):
        spread[place] = spread[count - 1]
    for place in range(0, count, _PASS):
        x0, x1, x2, x3 = spread[place], spread[place + 1], spread[place + 2], spread[place + 3]
        x4, x5, x6, x7 = spread[place + 4], spread[place + 5], spread[place + 6], spread[place + 7]
        for slot in range(factors.shape[0]):
            a, b = factors[slot], terms[slot]
            least01 = min(np.uint32(a * x0 + b), np.uint32(a * x1 + b))
            least23 = min(np.uint32(a * x2 + b), np.uint32(a * x3 + b))
            least45 = min(np.uint32(a * x4 + b), np.uint32(a * x5 + b))
            least67 = min(np.uint32(a * x6 + b), np.uint32(a * x7 + b))
            signature[slot] = min(signature[slot], min(min(least01, least23), min(least45, least67)))


@kernel
def _sign(offsets, data, classes, lower, characters, ngram, factors, terms, shingles, spread, signatures):
    """Fills `signatures`, uint32 of shape (N, K), which holds EMPTY everywhere."""
    for document in range(offsets.shape[0] - 1):
        start, stop = offsets[document], offsets[document + 1]
        count = shingle_hashes(data, start, stop, classes, lower, characters, ngram, shingles)
        for shingle in range(count):
            spread[shingle] = _spread(shingles[shingle])
        if count:
            _permute(spread, count, factors, terms, signatures[document])


def signatures(texts: Texts, settings: MinHashSettings = DEFAULT) -> NDArray[np.uint32]:
    """MinHash signatures of a batch of texts: uint32 of shape (N, K); each depends on its own text alone.

    Args:
        texts: an Arrow array of strings (N,) without nulls, or any iterable of str.
        settings: what signatures depend on.

    Raises UserError if the texts are not strings, and ValueError if one is null.
    """
    offsets, data = text_buffers(texts)
    result = _signatures(offsets, data, settings)
    rows, others = other_texts(offsets, data)
    if len(rows):  # what they were before was signed in vain, which costs less than a copy of all texts
        bounds = np.cumsum([0, *map(len, others)])
        result[rows] = _signatures(bounds, np.frombuffer(b"".join(others), np.uint8), settings)
    return result


def _signatures(offsets: np.ndarray, data: np.ndarray, settings: MinHashSettings) -> NDArray[np.uint32]:
    """Signatures of texts as they are: (N, K)."""
    tables = load_tables()
    factors, terms = permutation_parameters(settings)
    room = shingle_room(int(np.diff(offsets).max(initial=0)), settings)
    result = np.full((len(offsets) - 1, settings.permutations), EMPTY)
    _sign(
        read_only(offsets, np.int64),
        read_only(data, np.uint8),
        tables.classes,
        tables.lower,
        settings.shingle == "character",
        np.int64(settings.ngram),
        factors,
        terms,
        np.empty(room, np.uint64),
        np.empty(room + _PASS, np.uint32),
        result,
    )
    return result


@kernel
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
    """The datasketch `LeanMinHash` of one signature, uint32 of shape (K,); its seed is that of the settings.

    Raises UserError where datasketch is not installed: it brings SciPy, which nothing else here needs.
    """
    try:
        from datasketch import LeanMinHash  # 0.5 s
    except ImportError as error:
        raise require_extra("datasketch", "datasketch") from error

    return LeanMinHash(seed=settings.seed, hashvalues=np.array(signature, np.uint32), scheme="affine32")
