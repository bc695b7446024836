"""RefinedWeb's rules for lines in one pass: cut phrases of navigation from short lines, judge what is left, copy or
drop.

A line here reaches to the newline that ends it and includes it, so what is dropped leaves no blank line, what is kept
is byte for byte what it was, and the bytes of both add up to what came in.

Phrases are cut to the end (a cut may bring two halves of another one together): "items in cart" by taking the end of
what is written so far back whenever it is the phrase, the two that stand at an end of the line by moving that end. So
any line costs a number of steps that is linear in its length.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_in_place, kernel_step
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.rewriting.citation_marks import copy_bytes
from corpusmill.dataproc.rewriting.line_units import last_character, measure_line, trim
from corpusmill.dataproc.text.unicode_tables import LETTER, NUMBER, SPACE

WORDS_WITH_PHRASES = 10
"""In a line of more words a phrase is no navigation."""

COUNTED = (
    "likes",
    "shares",
    "comments",
    "retweets",
    "reposts",
    "quotes",
    "bookmarks",
    "upvotes",
    "downvotes",
    "downloads",
    "views",
    "followers",
)
"""What a counter counts, after DCLM."""

WORDS, REMOVED_WORDS, CHANGED_LINES = range(3)
"""Columns of `counts`."""

_ITEMS, _READ_MORE, _SIGN_IN, _COUNTED = range(4)
_PHRASES = ("items in cart", "read more", "sign-in", *COUNTED)
_PHRASE_DATA = np.frombuffer("".join(_PHRASES).encode(), np.uint8)
_PHRASE_BOUNDS = np.cumsum([0, *map(len, _PHRASES)]).astype(np.int64)
_LOWER = np.array([code | 0x20 if 0x41 <= code <= 0x5A else code for code in range(256)], np.uint8)
_BLANK, _DOT, _COMMA, _UNDERSCORE, _ELLIPSIS = 0x20, 0x2E, 0x2C, 0x5F, 0x2026


@kernel_step
def _stands(data, start, stop, position, phrase):
    """The bytes of the phrase if it begins at `position`, in any case, inside data[start:stop]; else 0."""
    first = _PHRASE_BOUNDS[phrase]
    size = _PHRASE_BOUNDS[phrase + 1] - first
    if position < start or position + size > stop:
        return np.int64(0)
    for place in range(size):
        if _LOWER[data[np.uint64(position + place)]] != _PHRASE_DATA[np.uint64(first + place)]:
            return np.int64(0)
    return size


@kernel_step
def _copy_without_items(data, start, stop, out, written, begin):
    """Copies data[start:stop] to `out` at `begin` without "items in cart" and a blank before it; gives the end."""
    size = _PHRASE_BOUNDS[_ITEMS + 1]
    end = begin
    for position in range(start, stop):
        byte = data[np.uint64(position)]
        out[np.uint64(end)] = byte
        end += 1
        if byte | 0x20 == 0x74 and _stands(written, begin, end, end - size, np.int64(_ITEMS)):  # the t of "cart"
            end -= size
            if end > begin and written[np.uint64(end - 1)] == _BLANK:
                end -= 1
    return end


@kernel_step
def _cut_ends(data, start, stop, classes):
    """(start, stop) of data[start:stop] without "sign-in" before and "read more..." behind it, and without blanks."""
    while True:
        start, stop = trim(data, start, stop, classes)
        sign_in = _stands(data, start, stop, start, np.int64(_SIGN_IN))
        start += sign_in
        if sign_in:
            continue
        end = stop
        while end > start:
            place, code = last_character(data, start, end)
            if code != _DOT and code != _ELLIPSIS:
                break
            end = place
        read_more = _PHRASE_BOUNDS[_READ_MORE + 1] - _PHRASE_BOUNDS[_READ_MORE]
        if not _stands(data, start, end, end - read_more, np.int64(_READ_MORE)):
            return start, stop
        stop = end - read_more


_BEFORE, _NUMBER, _UNIT, _BETWEEN, _AFTER = range(5)


@kernel_step
def _is_counter(data, start, stop, classes):
    """Whether data[start:stop] is a number and one of `COUNTED`: "3 likes", "1.2K views", with signs around it."""
    state = _BEFORE
    position = start
    while position < stop:
        code, length = decode(data, position, stop)
        flags = classes[code]
        in_word = flags & (LETTER | NUMBER) != 0 or code == _UNDERSCORE
        if state == _BEFORE:
            if flags & NUMBER:
                state = _NUMBER
            elif in_word:
                return False
        elif state == _BETWEEN and flags & SPACE == 0:
            length = np.int64(0)
            for phrase in range(_COUNTED, _PHRASE_BOUNDS.shape[0] - 1):
                length = max(length, _stands(data, start, stop, position, phrase))
            if length == 0:
                return False
            state = _AFTER
        elif state == _AFTER:
            if in_word:
                return False
        elif flags & SPACE:
            state = _BETWEEN
        elif state == _UNIT:
            return False
        elif flags & NUMBER == 0 and code != _COMMA and code != _DOT:
            lower = code | 0x20
            if lower != 0x6B and lower != 0x6D and lower != 0x62:  # k, m, b
                return False
            state = _UNIT
        position += length
    return state == _AFTER


@kernel_step
def _is_prose(data, start, stop, classes, lower):
    """Whether at most half of the characters are in upper case, not all are numerals, and it is no counter."""
    characters = uppers = numerals = np.int64(0)
    position = start
    while position < stop:
        byte = data[np.uint64(position)]
        if byte < 128:
            uppers += np.int64(byte >= 0x41 and byte <= 0x5A)
            numerals += np.int64(byte >= 0x30 and byte <= 0x39)
            position += 1
        else:
            code, length = decode(data, position, stop)
            uppers += np.int64(lower[code] != code)
            numerals += np.int64(classes[code] & NUMBER != 0)
            position += length
        characters += 1
    if 2 * uppers > characters or numerals == characters:
        return False
    return numerals == 0 or not _is_counter(data, start, stop, classes)


@kernel_in_place
def rewrite_lines(offsets, data, spared, classes, lower, fewest_words, bounds, out, written, counts):
    """Writes the kept lines of all texts to `out`.

    Args:
        offsets, data: the texts, as from `documents.text_buffers`.
        spared: uint8 (N,), 1 for texts that are copied as they are, with all numbers 0.
        classes, lower: of `unicode_tables.load_tables()`.
        fewest_words: of a line, int64.
        bounds: int64 (N + 1,) of zeros, filled with where each text lies in `out`.
        out: uint8 with room for all bytes that come in.
        written: the same array, read-only: so that what reads texts and what is written is compiled once.
        counts: int64 (N, 3) of zeros, filled.
    """
    position = np.int64(0)
    for document in range(offsets.shape[0] - 1):
        place, stop = offsets[document], offsets[document + 1]
        all_words = removed_words = changed_lines = np.int64(0)
        while place < stop:
            left, changed = np.int64(0), False
            line_stop = following = stop
            if not spared[document]:
                line_stop, following, text_start, text_stop, words, _ = measure_line(data, place, stop, classes)
                first, last, left = text_start, text_stop, words
                if words <= WORDS_WITH_PHRASES:
                    end = _copy_without_items(data, text_start, text_stop, out, written, position)
                    first, last = _cut_ends(written, position, end, classes)
                    changed = last - first < text_stop - text_start
                    if changed:
                        _, _, _, _, left, _ = measure_line(written, first, last, classes)
                    else:
                        first, last = text_start, text_stop
                if text_start < text_stop and (
                    left < fewest_words
                    or first == last
                    or not _is_prose(written if changed else data, first, last, classes, lower)
                ):
                    left = np.int64(-1)
                all_words += words
                removed_words += words - max(left, 0)
                changed_lines += np.int64(changed or left < 0)
            if changed and left >= 0:
                position, _ = copy_bytes(written, first, last, out, position, True)
                place = line_stop
            if left >= 0:
                position, _ = copy_bytes(data, place, following, out, position, True)
            place = following
        row = np.uint64(document)
        counts[row, WORDS] = all_words
        counts[row, REMOVED_WORDS] = removed_words
        counts[row, CHANGED_LINES] = changed_lines
        bounds[document + 1] = position
