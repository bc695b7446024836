"""Finds the n-grams of evaluation sets in documents: every one, and nothing else.

`find_ngrams` goes over a batch, in NFC: it hashes a document's words, rolls one hash of n words (and one of `minimum`
words, where the sets have n-grams of other lengths), asks a filter, and looks at the keys only where that says yes.
Each match is then compared with the n-gram word by word, and dropped if only the hash agreed. `overlaps` looks up which
items an n-gram belongs to, joins n-grams that touch or overlap in the document into stretches, and computes which share
of the item's words the document holds.

The share of an item is the number of its words that lie in an n-gram found anywhere in the document, over all its words
(Llama 2, arXiv 2307.09288, appendix A.6, counts the tokens of an item this way, over the whole corpus). It is 1.0 for
a document that quotes the item whole, in one piece or in several of n words at least.

Cost, one core, 151 MB of prose, code and 10 % other scripts (benchmarks/decontaminate.py): 122 to 140 MB/s on a busy
machine. Half of that is hashing words and looking them up (299 MB/s by itself there, 620 on an idle machine), a fifth
NFC, a third list marks. Memory: 6 bytes a byte of the longest document, 16 more of one in which something was found, 70
for each n-gram found, and 6 MB.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.contamination.index import LENGTH_STEP, STEP, OverlapIndex, key_mask, key_of
from corpusmill.dataproc.contamination.key_filter import filter_bits, shift_to
from corpusmill.dataproc.contamination.list_marks import without_list_marks
from corpusmill.dataproc.contamination.word_places import characters_before, same_words, word_places
from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.text.canonical import places_before, to_nfc
from corpusmill.dataproc.text.unicode_tables import load_tables
from corpusmill.dataproc.text.words import word_hashes

ROOM = 1 << 18
"""N-grams for which there is room at first (6 MB); a batch with more is gone over twice."""


class NgramMatches(NamedTuple):
    """N-grams in a batch, verified; int64 of shape (F,), sorted by row.

    Attributes:
        rows: row of the document.
        words: number of the document's word with which the n-gram begins.
        ngrams: number of the n-gram in the index.
        starts, stops: its first byte and the byte after its last, from the document's beginning.
    """

    rows: np.ndarray
    words: np.ndarray
    ngrams: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


class Overlaps(NamedTuple):
    """Stretches of documents that stand in items; shape (S,), sorted by row, item and start.

    Attributes:
        rows: int64, row of the document.
        items: int64, number of the item in the index.
        starts, stops: int64, first byte of the stretch and the byte after its last, from the document's beginning.
        start_characters, stop_characters: int64, the same, in characters.
        ngrams: int64, n-grams of the item in the stretch.
        shares: float64, share of the item's words that the whole document holds; the same for all its stretches.
    """

    rows: np.ndarray
    items: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    start_characters: np.ndarray
    stop_characters: np.ndarray
    ngrams: np.ndarray
    shares: np.ndarray


@kernel_part
def _look_up(key, length, keys, lengths, buckets, bucket_shift, row, word, count, rows, words, ngrams):
    """Writes every n-gram with this key and length; returns the new count, which may pass the room there is."""
    bucket = key >> bucket_shift
    for ngram in range(np.int64(buckets[bucket]), np.int64(buckets[bucket + np.uint64(1)])):
        if keys[ngram] == key and lengths[ngram] == length:
            if count < rows.shape[0]:
                rows[count], words[count], ngrams[count] = row, word, ngram
            count += 1
    return count


@kernel_part
def _roll(hashes, count, length, mask, known, shift, out):
    """Writes the first word of each run of `length` words whose key a filter may know; returns how many."""
    written = np.int64(0)
    value, power = np.uint64(0), np.uint64(1)
    for word in range(length - 1):
        value = value * np.uint64(STEP) + hashes[word]
        power *= np.uint64(STEP)
    added = np.uint64(length) * np.uint64(LENGTH_STEP)
    for word in range(count - length + 1):
        value = value * np.uint64(STEP) + hashes[word + length - 1]
        key = (value + added) & mask
        wanted = filter_bits(key)
        out[written] = word
        written += np.int64(known[key >> shift] & wanted == wanted)
        value -= hashes[word] * power
    return written


@kernel
def _scan(
    offsets, data, classes, lower, ngram, minimum, other_lengths, mask,
    keys, lengths, buckets, bucket_shift, known, known_shift, openings, opening_shift,
    hashes, candidates, rows, words, ngrams,
):  # fmt: skip
    """All n-grams whose key stands in the texts, as far as there is room; returns how many there are."""
    matched = np.int64(0)
    for row in range(offsets.shape[0] - 1):
        count = word_hashes(data, offsets[row], offsets[row + 1], classes, lower, hashes)
        if count >= ngram:
            likely = _roll(hashes, count, ngram, mask, known, known_shift, candidates)
            for place in range(likely):
                word = np.int64(candidates[place])
                key = key_of(hashes, word, ngram) & mask
                matched = _look_up(
                    key, ngram, keys, lengths, buckets, bucket_shift, row, word, matched, rows, words, ngrams
                )
        if openings.shape[0] and count >= minimum:
            likely = _roll(hashes, count, minimum, mask, openings, opening_shift, candidates)
            for place in range(likely):
                word = np.int64(candidates[place])
                for length in other_lengths:
                    if word + length <= count:
                        key = key_of(hashes, word, length) & mask
                        matched = _look_up(
                            key, length, keys, lengths, buckets, bucket_shift, row, word, matched, rows, words, ngrams
                        )
    return matched


@kernel
def _verify(
    offsets, data, classes, lower, rows, words, ngrams,
    lengths, place_starts, places, word_starts, word_stops, text, same, starts, stops,
):  # fmt: skip
    """Compares matches with their n-grams, word by word; fills `same`, and the bytes at which each match stands."""
    most = np.int64(0)
    for match in range(rows.shape[0]):
        most = max(most, offsets[rows[match] + 1] - offsets[rows[match]])
    begins, ends = np.empty((most + 1) // 2, np.int64), np.empty((most + 1) // 2, np.int64)
    open_row = np.int64(-1)
    for match in range(rows.shape[0]):
        row, word, ngram = rows[match], words[match], ngrams[match]
        if row != open_row:
            open_row = row
            word_places(data, offsets[row], offsets[row + 1], classes, begins, ends)
        length, other = np.int64(lengths[ngram]), np.int64(places[place_starts[ngram]])
        same[match] = same_words(data, begins, ends, word, text, word_starts, word_stops, other, length, lower)
        starts[match], stops[match] = begins[word] - offsets[row], ends[word + length - 1] - offsets[row]


def find_ngrams(texts: pa.Array, index: OverlapIndex) -> NgramMatches:
    """The n-grams of evaluation sets that occur in a batch of texts; a text's matches depend on that text alone."""
    given_offsets, given_data = text_buffers(texts)
    offsets, data, changed = to_nfc(given_offsets, given_data)
    offsets, data = without_list_marks(offsets, data)
    tables = load_tables()
    most_words = (int(np.diff(offsets).max(initial=0)) + 1) // 2
    other_lengths = np.unique(index.lengths[index.lengths != index.ngram]).astype(np.int64)
    arguments = (
        offsets, data, tables.classes, tables.lower, np.int64(index.ngram), np.int64(index.minimum), other_lengths,
        key_mask(index.key_bits), index.keys, index.lengths, index.buckets, shift_to(len(index.buckets) - 1),
        index.known, shift_to(len(index.known)), index.openings, shift_to(max(len(index.openings), 2)),
        np.empty(most_words, np.uint64), np.empty(most_words + 1, np.uint32),
    )  # fmt: skip
    room = ROOM
    while True:
        rows, words, ngrams = (np.empty(room, np.int64) for _ in range(3))
        count = int(_scan(*arguments, rows, words, ngrams))
        if count <= room:
            break
        room = count  # exactly as many as the second pass will find
    rows, words, ngrams = rows[:count], words[:count], ngrams[:count]
    same, starts, stops = np.zeros(count, bool), np.empty(count, np.int64), np.empty(count, np.int64)
    _verify(
        offsets, data, tables.classes, tables.lower, rows, words, ngrams,
        index.lengths, index.place_starts, index.places, index.word_starts, index.word_stops, index.text,
        same, starts, stops,
    )  # fmt: skip
    matches = NgramMatches(rows[same], words[same], ngrams[same], starts[same], stops[same])
    if len(changed):
        _place_in_given_texts(matches, changed, given_offsets, given_data)
    return matches


def _place_in_given_texts(matches: NgramMatches, changed: np.ndarray, offsets: np.ndarray, data: np.ndarray) -> None:
    """Moves places in the NFC of texts that were not in NFC to where these stand in the texts, in place."""
    firsts, lasts = np.searchsorted(matches.rows, changed), np.searchsorted(matches.rows, changed, side="right")
    for row, first, last in zip(changed.tolist(), firsts.tolist(), lasts.tolist(), strict=True):
        if first < last:
            text, of_row = bytes(data[offsets[row] : offsets[row + 1]]), slice(first, last)
            starts, stops = places_before(text, matches.starts[of_row], matches.stops[of_row])
            matches.starts[of_row], matches.stops[of_row] = starts, stops


def documents_by_ngram(matches: NgramMatches, index: OverlapIndex) -> tuple[np.ndarray, np.ndarray]:
    """(number of the n-gram, documents of the batch that hold it), both int64, for those that stand in any."""
    pairs = np.unique(matches.rows * np.int64(index.ngrams) + matches.ngrams)
    return np.unique(pairs % np.int64(max(index.ngrams, 1)), return_counts=True)


def overlaps(texts: pa.Array, matches: NgramMatches, index: OverlapIndex) -> Overlaps:
    """The stretches of a batch's documents that also stand in items, joined from the matches of `find_ngrams`."""
    here, which = np.unique(matches.ngrams, return_inverse=True)
    bounds, items = _items_by_ngram(here, index)
    states = np.full(index.items, -1, np.int64), np.zeros(index.items, np.int64)
    arguments = matches.rows, matches.words, which.astype(np.int64), index.lengths[here].astype(np.int64), bounds, items
    nothing = [np.zeros(0, np.int64) for _ in range(4)]
    count = int(_join(*arguments, *states, *nothing))
    states[0][:] = -1
    first, last, of_item, ngrams = (np.empty(count, np.int64) for _ in range(4))
    _join(*arguments, *states, first, last, of_item, ngrams)
    order = np.lexsort((matches.words[first], of_item, matches.rows[first]))
    first, last, of_item = first[order], last[order], of_item[order]
    rows, starts, stops = matches.rows[first], matches.starts[first], matches.stops[last]
    in_characters = _in_characters(texts, np.repeat(rows, 2), np.stack([starts, stops], axis=1).reshape(-1))
    return Overlaps(
        rows=rows,
        items=of_item,
        starts=starts,
        stops=stops,
        start_characters=in_characters[::2],
        stop_characters=in_characters[1::2],
        ngrams=ngrams[order],
        shares=_shares(rows, of_item, matches, index),
    )


def _expanded(bounds: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lists in one: (which of `chosen`, place in the joined lists), for lists that `bounds` [L + 1] part."""
    starts, counts = bounds[chosen], bounds[chosen + 1] - bounds[chosen]
    which = np.repeat(np.arange(len(chosen)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + starts[which]


def _items_by_ngram(ngrams: np.ndarray, index: OverlapIndex) -> tuple[np.ndarray, np.ndarray]:
    """(bounds [len(ngrams) + 1], items): the items of each n-gram, each once, both int64."""
    which, places = _expanded(index.place_starts.astype(np.int64), ngrams)
    items = index.items_of(index.places[places])
    fresh = np.ones(len(which), bool)
    fresh[1:] = (which[1:] != which[:-1]) | (items[1:] != items[:-1])
    return np.searchsorted(which[fresh], np.arange(len(ngrams) + 1)), items[fresh]


@kernel
def _join(rows, words, which, lengths, bounds, items, open_stretch, end, first, last, of_item, ngrams):
    """Joins n-grams of an item that touch or overlap in a document; returns how many stretches that gives.

    No list of n-grams by items is made, since a long run of one word may be of hundreds of items at every place. The
    n-grams of an item come in the order of the document's words.

    Args:
        rows, words, which: int64 [F], the matches; `which` numbers the n-grams that occur.
        lengths: int64, words of each of these; bounds, items: the items of each of them.
        open_stretch, end: int64 [I], -1 everywhere and anything: the last stretch of each item, and its last word.
        first, last, of_item, ngrams: int64 [stretches], filled: the first and last match of a stretch, its item,
            how many n-grams it has. With empty arrays they are only counted.
    """
    count = np.int64(0)
    fills = first.shape[0] > 0
    open_row = np.int64(-1)
    row_begins = np.int64(0)
    for match in range(rows.shape[0]):
        if rows[match] != open_row:
            open_row, row_begins = rows[match], count
        ngram = which[match]
        for place in range(bounds[ngram], bounds[ngram + 1]):
            item = items[place]
            stretch = open_stretch[item]
            if stretch < row_begins or words[match] > end[item]:
                stretch = open_stretch[item] = count
                count += 1
                if fills:
                    first[stretch], of_item[stretch], ngrams[stretch] = match, item, 0
            end[item] = words[match] + lengths[ngram]
            if fills:
                last[stretch] = match
                ngrams[stretch] += 1
    return count


def _shares(rows: np.ndarray, items: np.ndarray, matches: NgramMatches, index: OverlapIndex) -> np.ndarray:
    """The share of the item that its document holds, for each stretch (rows and items rise): float64."""
    if not len(rows):
        return np.zeros(0)
    pairs = np.unique(matches.rows * np.int64(index.ngrams) + matches.ngrams)
    row, ngram = np.divmod(pairs, index.ngrams)
    which, places = _expanded(index.place_starts.astype(np.int64), ngram)
    row, length, word = row[which], index.lengths[ngram[which]].astype(np.int64), index.places[places].astype(np.int64)
    order = np.lexsort((word, row))  # words are numbered item by item
    row, length, word = row[order], length[order], word[order]
    item = index.items_of(word)
    opens = np.ones(len(row), bool)
    opens[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
    fresh = length.copy()  # words that the n-gram adds to those before it
    fresh[1:] = np.where(opens[1:], length[1:], np.minimum(length[1:], word[1:] - word[:-1]))
    covered = np.add.reduceat(fresh, np.flatnonzero(opens)) / index.words_of(item[opens])
    key = row[opens] * np.int64(index.items) + item[opens]
    return covered[np.searchsorted(key, rows * np.int64(index.items) + items)]


def _in_characters(texts: pa.Array, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Characters before each byte of its text: int64; rows rise."""
    offsets, data = text_buffers(texts)
    before = np.empty(len(points), np.int64)
    characters_before(offsets, data, rows, points, before)
    return before
