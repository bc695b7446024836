"""The n-grams of evaluation sets, to be looked up at the speed of hashing words.

An item of n words or more has all n-grams of its words (n = 13, as GPT-3 did, arXiv 2005.14165, appendix C). One of
fewer words, but at least `minimum` (8 there), has a single n-gram, its whole text. A still shorter one would be found
everywhere by chance ("What is the capital of France?" is one of 6) and is not looked for; such items are counted.
Words are those of `dataproc.text.words`: lower-cased, without punctuation and white space, in NFC, and in scripts
without spaces by letter. Thirteen Han characters say as much as seven or eight words, and thirteen letters of Thai,
Khmer or Burmese as four, which are found by chance; so an item that is mostly in such letters has n-grams of twice as
many (26, and 16 at least), which are about as telling as 13 of Han. List marks do not count (`list_marks`).

What lies here, for E n-grams that are unlike, I items and W words:

    keys         [E] uint64, sorted    the n-gram's hash: a polynomial of its words' hashes, with the length added
    buckets      [2^b + 1] uint32      where the keys begin that start with each b bits; 1 to 2 buckets an n-gram
    known        [2^w] uint64          a filter of 16 to 32 bits an n-gram (`key_filter`), which answers most look-ups
    openings     the same for the first `minimum` words of n-grams of other lengths (see below)
    places       [E + 1] uint32, [O] uint32   all occurrences of an n-gram, as the number of its first word
    words        [W] uint32 each       first byte and byte after the last of each word in `text`

Rolling one hash for each length from `minimum` to n would cost a pass each. Instead there are two at most: one of n
words, one of `minimum` words for the openings of those of other lengths; only where an opening is found are the other
lengths hashed.

A hash alone never makes a hit. Occurrences that share a key are told apart by their words when the index is built
(equal keys may be several n-grams), and `matching` compares a document's words with those of the n-gram before it
says anything. So the answer does not depend on the hash; a test cuts it down to a few bits and gets the same hits.

Memory: 41 to 43 MB a million n-grams, the items' words (8 bytes each) and text included, plus ids; `index_file` writes
it as one Arrow file, which all workers map. Building takes 0.2 s a million n-grams, and 150 bytes each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.contamination.items import EvaluationSet
from corpusmill.dataproc.contamination.key_filter import filter_of
from corpusmill.dataproc.contamination.list_marks import without_list_marks
from corpusmill.dataproc.contamination.word_places import same_words, word_places
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.canonical import to_nfc
from corpusmill.dataproc.text.unicode_tables import ALONE, UNSPACED, load_tables
from corpusmill.dataproc.text.words import word_hashes

STEP = 0x9E3779B97F4A7C15
LENGTH_STEP = 0xD1342543DE82EF95
MOST_WORDS = 255
LETTERS_A_HAN = 2
"""Letters of scripts without spaces that say as much as a Han character."""

ARRAYS = {
    "keys": pa.uint64(),
    "lengths": pa.uint8(),
    "buckets": pa.uint32(),
    "known": pa.uint64(),
    "openings": pa.uint64(),
    "place_starts": pa.uint32(),
    "places": pa.uint32(),
    "item_words": pa.uint32(),
    "item_sets": pa.int32(),
    "word_starts": pa.uint32(),
    "word_stops": pa.uint32(),
    "text": pa.uint8(),
}
"""The arrays of an index, and what their elements are."""


@dataclass(frozen=True, kw_only=True)
class OverlapIndex:
    """N-grams of evaluation sets; arrays as the module says, read-only.

    Attributes:
        ngram, minimum: words of an n-gram, and the fewest of an item that is looked for.
        key_bits: leading bits of a hash that count, 64.
        set_names: names of the sets; `item_sets` [I] says which set an item is of.
        item_ids: string [I].
        lengths: uint8 [E], words of each n-gram.
        place_starts: where the occurrences of each n-gram begin in `places`.
        item_words: uint32 [I + 1], number of each item's first word.
    """

    ngram: int
    minimum: int
    key_bits: int
    set_names: tuple[str, ...]
    item_ids: pa.Array
    keys: np.ndarray
    lengths: np.ndarray
    buckets: np.ndarray
    known: np.ndarray
    openings: np.ndarray
    place_starts: np.ndarray
    places: np.ndarray
    item_words: np.ndarray
    item_sets: np.ndarray
    word_starts: np.ndarray
    word_stops: np.ndarray
    text: np.ndarray

    @property
    def items(self) -> int:
        return len(self.item_sets)

    @property
    def ngrams(self) -> int:
        """N-grams that are unlike."""
        return len(self.keys)

    def words_of(self, items: np.ndarray) -> np.ndarray:
        """Words of each item: int64."""
        return self.item_words[items + 1].astype(np.int64) - self.item_words[items].astype(np.int64)

    def items_of(self, places: np.ndarray) -> np.ndarray:
        """The item of each word number: int64."""
        return np.searchsorted(self.item_words, places, side="right") - 1

    def is_looked_for(self) -> np.ndarray:
        """Whether each item has any n-gram here: bool [I]."""
        looked_for = np.zeros(self.items, bool)
        looked_for[self.items_of(self.places)] = True
        return looked_for

    def words_as_text(self, ngram: int) -> str:
        """An n-gram as it was written where it was first seen, for display."""
        word = int(self.places[self.place_starts[ngram]])
        start, stop = self.word_starts[word], self.word_stops[word + int(self.lengths[ngram]) - 1]
        return " ".join(bytes(self.text[start:stop]).decode().split())

    def without(self, ngrams: np.ndarray) -> "OverlapIndex":
        """The index without some n-grams (bool [E], True for those that go)."""
        kept = ~ngrams
        counts = _differences(self.place_starts)
        starts = np.zeros(int(kept.sum()) + 1, np.int64)
        np.cumsum(counts[kept], out=starts[1:])
        places = self.places[np.repeat(kept, counts)]
        return _with_tables(replace(self, place_starts=starts, places=places), self.keys[kept], self.lengths[kept])


def _differences(bounds: np.ndarray) -> np.ndarray:
    return bounds[1:].astype(np.int64) - bounds[:-1].astype(np.int64)


def build_index(
    sets: Sequence[EvaluationSet], *, ngram: int = 13, minimum: int = 8, key_bits: int = 64
) -> OverlapIndex:
    """The n-grams of evaluation sets.

    Args:
        sets: with names that differ.
        ngram: words of an n-gram, 1 to 255.
        minimum: the fewest words of an item that is looked for; at most `ngram`.
        key_bits: for tests: so many bits of the hash are used.

    Raises UserError for settings out of bounds, a name that is given twice, or more than 4 GiB of text.
    """
    if not 1 <= minimum <= ngram <= MOST_WORDS:
        what = f"n-grams of {ngram} words and at least {minimum}"
        raise UserError(what, where="ngram", hint=f"give 1 <= minimum <= ngram <= {MOST_WORDS}")
    names = tuple(group.name for group in sets)
    if len(set(names)) != len(names) or not names:
        raise UserError("two evaluation sets have the same name", where=", ".join(names), hint="use each name once")
    texts = pa.concat_arrays([group.texts for group in sets])
    offsets, data, _ = to_nfc(*text_buffers(texts))
    offsets, data = without_list_marks(offsets, data)
    if int(offsets[-1]) >= 1 << 32:
        raise UserError(
            f"the evaluation sets are too large ({int(offsets[-1]):,} bytes)",
            hint="use at most 4 GiB per run, in several runs",
        )
    tables = load_tables()
    item_words = np.zeros(len(texts) + 1, np.int64)
    room = int((np.diff(offsets) + 1).sum() // 2 + len(texts) + 1)
    starts, stops, hashes = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint64)
    letters = np.zeros(len(texts), np.int64)
    words = int(_read_words(offsets, data, tables.classes, tables.lower, item_words, letters, starts, stops, hashes))
    starts, stops, hashes = starts[:words], stops[:words], hashes[:words]
    spans = _lengths(item_words, letters, ngram, minimum)
    windows = int(np.where(spans > 0, np.diff(item_words) - spans + 1, 0).sum())
    keys, places, lengths = np.empty(windows, np.uint64), np.empty(windows, np.int64), np.empty(windows, np.uint8)
    _list_windows(item_words, hashes, spans, key_mask(key_bits), keys, places, lengths)
    order = np.argsort(keys, kind="stable")  # occurrences of a key stay in the order of the items
    keys, places, lengths = keys[order], places[order], lengths[order]
    numbers = np.empty(windows, np.int64)
    _tell_apart(keys, places, lengths, data, starts, stops, tables.lower, numbers)
    order = np.argsort(numbers, kind="stable")
    heads = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    made = OverlapIndex(
        ngram=ngram,
        minimum=minimum,
        key_bits=key_bits,
        set_names=names,
        item_ids=pa.concat_arrays([group.ids for group in sets]),
        keys=np.zeros(0, np.uint64),
        lengths=np.zeros(0, np.uint8),
        buckets=np.zeros(2, np.uint32),
        known=np.zeros(2, np.uint64),
        openings=np.zeros(0, np.uint64),
        place_starts=np.append(heads, windows),
        places=places[order],
        item_words=item_words.astype(np.uint32),
        item_sets=np.repeat(np.arange(len(sets)), [len(group.texts) for group in sets]),
        word_starts=starts,
        word_stops=stops,
        text=data,
    )
    return _with_tables(made, keys[order][heads], lengths[order][heads])


def key_mask(key_bits: int) -> np.uint64:
    """The leading bits of a hash."""
    return np.uint64(((1 << key_bits) - 1) << (64 - key_bits))


@kernel
def _read_words(offsets, data, classes, lower, item_words, letters, starts, stops, hashes):
    """Places and hashes of all items' words, one item after the other; returns how many there are.

    `letters` int64 [I] gets how many of an item's words are letters of scripts without spaces, Han and the like apart.
    """
    count = np.int64(0)
    for item in range(offsets.shape[0] - 1):
        begin, stop = offsets[item], offsets[item + 1]
        words = word_places(data, begin, stop, classes, starts[count:], stops[count:])
        hashed = word_hashes(data, begin, stop, classes, lower, hashes[count:])
        if words != hashed:
            raise ValueError("word_places and word_hashes disagree")
        for word in range(count, count + words):
            flags = classes[decode(data, starts[word], stop)[0]]
            letters[item] += flags & UNSPACED != 0 and flags & ALONE == 0
        count += words
        item_words[item + 1] = count
    return count


def _lengths(item_words: np.ndarray, letters: np.ndarray, ngram: int, minimum: int) -> np.ndarray:
    """Words of each item's n-grams, 0 for an item that is not looked for: int64 [I]."""
    words = np.diff(item_words)
    times = np.where(2 * letters > words, LETTERS_A_HAN, 1)
    lengths = np.minimum(words, np.minimum(times * ngram, MOST_WORDS))
    return np.where(lengths >= np.minimum(times * minimum, MOST_WORDS), lengths, 0).astype(np.int64)


@kernel
def key_of(hashes, word, length):
    """The key of `length` words from `word` on; `matching` rolls the same polynomial from word to word."""
    value = np.uint64(0)
    for step in range(length):
        value = value * np.uint64(STEP) + hashes[word + step]
    return value + np.uint64(length) * np.uint64(LENGTH_STEP)


@kernel
def _list_windows(item_words, hashes, spans, mask, keys, places, lengths):
    """Key, first word and length of every n-gram, in the order of the items."""
    count = 0
    for item in range(item_words.shape[0] - 1):
        first, words = item_words[item], item_words[item + 1] - item_words[item]
        length = spans[item]
        if length == 0:
            continue
        for word in range(first, first + words - length + 1):
            keys[count] = key_of(hashes, word, length) & mask
            places[count] = word
            lengths[count] = length
            count += 1


@kernel
def _tell_apart(keys, places, lengths, data, starts, stops, lower, numbers):
    """Numbers the n-grams, from 0 by key: occurrences of one key have one number when their words are the same."""
    first = np.empty(keys.shape[0], np.int64)  # an occurrence of each number
    seen = np.int64(0)
    seen_before_key = np.int64(0)
    for place in range(keys.shape[0]):
        if place == 0 or keys[place] != keys[place - 1]:
            seen_before_key = seen
        numbers[place] = seen
        for number in range(seen_before_key, seen):
            like, length = first[number], lengths[place]
            if lengths[like] == length and same_words(
                data, starts, stops, places[like], data, starts, stops, places[place], length, lower
            ):
                numbers[place] = number
                break
        if numbers[place] == seen:
            first[seen] = place
            seen += 1


def _with_tables(made: OverlapIndex, keys: np.ndarray, lengths: np.ndarray) -> OverlapIndex:
    """The index with sorted keys, and the tables by which they are found."""
    log_buckets = max(2, int(max(len(keys), 1) - 1).bit_length())
    if len(keys) >= 1 << 31 or len(made.places) >= 1 << 32:
        raise UserError(
            f"the evaluation sets have too many n-grams ({len(made.places):,})", hint="use fewer, in several runs"
        )
    edges = np.arange((1 << log_buckets) + 1, dtype=np.float64) * 2.0 ** (64 - log_buckets)
    buckets = np.searchsorted(keys, edges[:-1].astype(np.uint64))
    openings = _openings(made, lengths)
    arrays: dict[str, Any] = {
        name: read_only(getattr(made, name), kind.to_pandas_dtype())
        for name, kind in ARRAYS.items()
        if name not in ("keys", "lengths", "buckets", "known", "openings")
    }
    return replace(
        made,
        keys=read_only(keys, np.uint64),
        lengths=read_only(lengths, np.uint8),
        buckets=read_only(np.append(buckets, len(keys)), np.uint32),
        known=read_only(filter_of(keys, 1 << log_buckets), np.uint64),
        openings=read_only(openings, np.uint64),
        **arrays,
    )


def _openings(made: OverlapIndex, lengths: np.ndarray) -> np.ndarray:
    """A filter of the first `minimum` words of n-grams that have not `ngram` words; empty when there are none."""
    short = np.flatnonzero(lengths != made.ngram)
    if not len(short):
        return np.zeros(0, np.uint64)
    first = made.places[made.place_starts[short].astype(np.int64)].astype(np.int64)
    tables = load_tables()
    keys = np.empty(len(short), np.uint64)
    starts, stops = (read_only(array, np.int64) for array in (made.word_starts, made.word_stops))
    text = read_only(made.text, np.uint8)
    _hash_places(text, starts, stops, first, made.minimum, tables.classes, tables.lower, keys)
    return filter_of(keys & key_mask(made.key_bits), 1 << int(len(short) - 1).bit_length())


@kernel
def _hash_places(text, starts, stops, first, length, classes, lower, keys):
    """The keys of `length` words from each of the words `first` on."""
    for place in range(first.shape[0]):
        word = first[place]
        start, stop = starts[word], stops[word + length - 1]
        hashes = np.empty((stop - start + 1) // 2 + 1, np.uint64)
        word_hashes(text, start, stop, classes, lower, hashes)
        keys[place] = key_of(hashes, 0, length)


def crowded(index: OverlapIndex, most: int) -> np.ndarray:
    """The n-grams that more than `most` items of one set share, its template: bool [E]."""
    counts = _differences(index.place_starts)
    ngram, item = np.repeat(np.arange(index.ngrams), counts), index.items_of(index.places)
    fresh = np.ones(len(ngram), bool)
    fresh[1:] = (ngram[1:] != ngram[:-1]) | (item[1:] != item[:-1])
    in_set = ngram[fresh] * len(index.set_names) + index.item_sets[item[fresh]]
    sets, items = np.unique(in_set, return_counts=True)
    result = np.zeros(index.ngrams, bool)
    result[sets[items > most] // len(index.set_names)] = True
    return result
