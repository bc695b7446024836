"""Words and stretches of a document, from its bitmaps: where each begins and ends, what it is, and keys of words.

    word        see `dataproc.text.words`
    stretch     a maximal run of characters other than white space (what Python's `str.split()` gives)

First the places are listed, then gone through, so that neither loop has to remember where it is. A word of up to 16
bytes is two loads; its key, of 64 bits, is a bijection of the bytes for up to 8, so that common words never share one.

Stop words are looked for in lower case in a small table that has no collisions for its language. A word in ASCII is its
own key there (8 bytes at most: longer ones are not stop words); any other is the chain of its lower-case characters.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.hashing import MIX
from corpusmill.dataproc.kernels.loads import load64
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.bits import any_between, list_ones, low_bits, ones, ones_between
from corpusmill.dataproc.text.counts import Count

LONGEST_COUNTED = 255
"""Medians are of lengths up to this one; what is longer counts as this long."""

STOP_SLOTS = 64
LONGEST_STOP_WORD = 40
"""Bytes of the longest word, not in ASCII, that is looked for among stop words."""

CHAIN_SEED = 0xCBF29CE484222325
CHAIN_STEP = 0x9E3779B97F4A7C15
SLOT_SHIFT = 58

_ASCII_CASE = 0x2020202020202020
_NOT_ASCII = 0x8080808080808080
_KEPT = np.array([[(1 << 8 * min(n, 8)) - 1, (1 << 8 * max(n - 8, 0)) - 1] for n in range(17)], np.uint64)
"""(17, 2): which bits of two loads belong to a word of so many bytes."""


def _packed(word: str) -> int:
    return int.from_bytes(word.encode("ascii"), "little")


_LOREM, _IPSUM = _packed("lorem"), _packed("ipsum")
_HASH_MARK, _ELLIPSIS = _packed("#"), int.from_bytes("…".encode(), "little")
_CURATOR_SYMBOLS = np.array(
    [_HASH_MARK, _ELLIPSIS, *(int.from_bytes(m.encode(), "little") for m in ("...", "[...]", "(...)", "[…]"))],
    np.uint64,
)


class Units(NamedTuple):
    """Scratch for the units of one document: arrays with room for bytes // 2 + 2 of each.

    `starts` and `stops` hold bytes from the document's first; `word_ends[i]` is how many characters are in the words
    before word i, so that word_ends[j] - word_ends[i] is the length of the words i … j - 1.
    """

    starts: np.ndarray
    stops: np.ndarray
    word_keys: np.ndarray
    word_ends: np.ndarray
    line_keys: np.ndarray
    line_sizes: np.ndarray
    paragraph_keys: np.ndarray
    paragraph_sizes: np.ndarray
    lengths: np.ndarray


@kernel
def make_units(longest):
    """Scratch for documents of up to `longest` bytes: 28 bytes a byte, of which only what units need is touched."""
    room = longest // 2 + 2
    places, keys, sizes = np.empty((2, room), np.uint32), np.empty((3, room), np.uint64), np.empty((3, room), np.int64)
    return Units(
        places[0], places[1], keys[0], sizes[0], keys[1], sizes[1], keys[2], sizes[2],
        np.empty(LONGEST_COUNTED + 1, np.int64),
    )  # fmt: skip


@kernel_step
def bytes_key(data, position, stop):
    """A 64-bit key of data[position:stop]; different ones of up to 8 bytes never share one."""
    key = np.uint64(CHAIN_SEED)
    while position + 8 < stop:
        key = (key ^ load64(data, position)) * np.uint64(CHAIN_STEP)
        key ^= key >> np.uint64(32)
        position += 8
    key = (key ^ (load64(data, position) & _KEPT[stop - position, 0])) * np.uint64(MIX)
    return key ^ (key >> np.uint64(29)) ^ np.uint64(stop - position)


@kernel_step
def _folded(data, position, stop, lower):
    """The key under which a word that is not all ASCII stands among stop words, and under which "İle" is "ile"."""
    chain, packed, widest = np.uint64(CHAIN_SEED), np.uint64(0), np.int64(0)
    shift = np.uint64(0)
    while position < stop:
        code, length = decode(data, position, stop)
        small = np.int64(lower[np.uint64(code)])
        widest |= small
        chain = (chain ^ np.uint64(small)) * np.uint64(CHAIN_STEP)
        packed |= np.uint64(small) << shift if shift < 64 else np.uint64(0)
        shift += np.uint64(8)
        position += length
    return packed if widest < 128 and shift <= 64 else chain


@kernel_step
def count_words(data, start, stop, bitmaps, lower, stop_words, multiplier, units, row):
    """Lists and counts the words of data[start:stop].

    Args:
        stop_words: uint64 of shape (STOP_SLOTS,): the key of a stop word in the slot that `multiplier` gives it.
        multiplier: uint64; 0 for a language without stop words.
    """
    size = stop - start
    words = word_stops = np.int64(0)
    carry = np.uint64(0)
    position = np.int64(0)
    while position < size:
        block = np.uint64(position) >> np.uint64(6)
        word, breaks = bitmaps.words[block], bitmaps.breaks[block]
        before = (word << np.uint64(1)) | carry
        words = list_ones(word & (~before | breaks), position, units.starts, words)
        word_stops = list_ones(before & (~word | breaks), position, units.stops, word_stops)
        carry = word >> np.uint64(63)
        position += 64
    if word_stops < words:
        units.stops[np.uint64(word_stops)] = size

    lengths = units.lengths
    for length in range(LONGEST_COUNTED + 1):
        lengths[length] = 0
    foreign = row[Count.CHARACTERS] != size
    unspaced = row[Count.UNSPACED_CHARACTERS] > 0
    characters = longest = spaced = spaced_characters = alphabetic = hits = lorems = np.int64(0)
    seen = np.uint64(0)
    previous = np.uint64(0)
    for number in range(words):
        place = np.uint64(number)
        first = np.int64(units.starts[place])
        length = np.int64(units.stops[place]) - first
        begin = start + first
        low = load64(data, begin)
        key, folded = np.uint64(0), np.uint64(0)
        is_ascii = not foreign
        if length <= 8:
            low &= _KEPT[np.uint64(length), 0]
            key = (np.uint64(CHAIN_SEED) ^ low) * np.uint64(MIX)
            key = key ^ (key >> np.uint64(29)) ^ np.uint64(length)
            is_ascii = low & np.uint64(_NOT_ASCII) == 0
            folded = (low | np.uint64(_ASCII_CASE)) & _KEPT[np.uint64(length), 0]
        else:
            key = bytes_key(data, begin, begin + length)
        in_word = length
        if foreign and not is_ascii:
            in_word -= ones_between(bitmaps.continuing, first, first + length)
            folded = np.uint64(0)
            if length <= LONGEST_STOP_WORD and in_word < length:
                folded = _folded(data, begin, begin + length, lower)
        units.word_keys[place] = key
        units.word_ends[place] = characters
        characters += in_word
        longest = max(longest, np.int64(in_word))
        letter = (low & np.uint64(0xFF)) - np.uint64(65) < np.uint64(58)
        alphabetic += np.int64(letter or any_between(bitmaps.letters, first, first + length))
        if not unspaced or not any_between(bitmaps.unspaced, first, first + length):
            spaced += 1
            spaced_characters += in_word
            lengths[np.uint64(min(in_word, LONGEST_COUNTED))] += 1
        slot = (folded * multiplier) >> np.uint64(SLOT_SHIFT)
        hit = np.uint64(stop_words[slot] == folded) & np.uint64(folded != 0)
        hits += np.int64(hit)
        seen |= hit << slot
        lorems += np.int64(folded == np.uint64(_IPSUM) and previous == np.uint64(_LOREM))
        previous = folded
    units.word_ends[np.uint64(words)] = characters
    row[Count.WORDS] = words
    row[Count.WORD_CHARACTERS] = characters
    row[Count.LONGEST_WORD] = longest
    row[Count.SPACED_WORDS] = spaced
    row[Count.SPACED_WORD_CHARACTERS] = spaced_characters
    row[Count.TWICE_MEDIAN_WORD] = _twice_median(lengths, spaced)
    row[Count.ALPHABETIC_WORDS] = alphabetic
    row[Count.LOREM_IPSUMS] = lorems
    row[Count.STOP_WORDS] = hits if multiplier else np.int64(-1)
    row[Count.DISTINCT_STOP_WORDS] = ones(seen) if multiplier else np.int64(-1)


@kernel_step
def count_stretches(data, start, stop, bitmaps, units, row):
    """Lists and counts the stretches of data[start:stop]."""
    size = stop - start
    stretches = ends = np.int64(0)
    carry = np.uint64(0)
    position = np.int64(0)
    while position < size:
        block = np.uint64(position) >> np.uint64(6)
        inside = ~bitmaps.spaces[block]
        if size - position < 64:
            inside &= low_bits(size - position)
        before = (inside << np.uint64(1)) | carry
        stretches = list_ones(inside & ~before, position, units.starts, stretches)
        ends = list_ones(before & ~inside, position, units.stops, ends)
        carry = inside >> np.uint64(63)
        position += 64
    if ends < stretches:
        units.stops[np.uint64(ends)] = size

    lengths = units.lengths
    for length in range(LONGEST_COUNTED + 1):
        lengths[length] = 0
    foreign = row[Count.CHARACTERS] != size
    symbols = row[Count.HASH_MARKS] + row[Count.ELLIPSES] > 0
    longest = alphabetic = symbolic = symbolic_curator = np.int64(0)
    for number in range(stretches):
        place = np.uint64(number)
        first, last = np.int64(units.starts[place]), np.int64(units.stops[place])
        length = last - first
        if foreign:
            length -= ones_between(bitmaps.continuing, first, last)
        longest = max(longest, np.int64(length))
        lengths[np.uint64(min(length, LONGEST_COUNTED))] += 1
        byte = np.int64(data[np.uint64(start + first)]) | 32
        if byte >= 97 and byte <= 122:
            alphabetic += 1
        else:
            alphabetic += np.int64(any_between(bitmaps.letters, first, last))
            if last - first <= 8:
                whole = load64(data, start + first) & _KEPT[np.uint64(last - first), 0]
                for symbol in range(_CURATOR_SYMBOLS.size):
                    symbolic_curator += np.int64(whole == _CURATOR_SYMBOLS[symbol])
        if symbols:
            symbolic += np.int64(any_between(bitmaps.symbols, first, last))
    row[Count.STRETCHES] = stretches
    row[Count.ALPHABETIC_STRETCHES] = alphabetic
    row[Count.LONGEST_STRETCH] = longest
    row[Count.STRETCH_CHARACTERS] = row[Count.CHARACTERS] - row[Count.SPACES]
    row[Count.TWICE_MEDIAN_STRETCH] = _twice_median(lengths, stretches)
    row[Count.SYMBOL_STRETCHES_DOLMA] = symbolic
    row[Count.SYMBOL_STRETCHES_CURATOR] = symbolic_curator


@kernel_step
def _twice_median(lengths, count):
    """The two middle ones of `count` lengths added up, where lengths[n] are n long; 0 of none."""
    total = passed = np.int64(0)
    lower_middle, upper_middle = (count - 1) // 2, count // 2
    for length in range(LONGEST_COUNTED + 1):
        following = passed + lengths[np.uint64(length)]
        total += length * np.int64(passed <= lower_middle and lower_middle < following)
        total += length * np.int64(passed <= upper_middle and upper_middle < following)
        passed = following
    return total
