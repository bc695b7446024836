"""One pass over one document: its characters, words, stretches, lines, paragraphs and sentences, counted and keyed.

All units of a text that the filter rules speak of, read in a single walk over its UTF-8 bytes:

    character   a code point
    word        see `dataproc.text.words`
    stretch     a maximal run of characters other than white space (what Python's `str.split()` gives)
    line        ends at a newline or at the end of the text; a carriage return before the newline is no part of it
    text line   a line that holds more than white space, without the white space at its ends
    paragraph   a maximal run of text lines with no blank line between them
    sentence    ends at a run of TERMINAL marks followed by white space or the end (closing quotes and brackets may
                come between) or, where a mark is not ASCII, by anything: no space follows 。

The scan writes plain counts into one row of an int64 matrix, and 64-bit keys and sizes of words, text lines and
paragraphs into scratch arrays, from which `dataproc.text.repetition` finds what repeats. Two different lines (or words)
of a document share a key with probability 2^-64.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from typing import NamedTuple

import numba
import numpy as np

from dataproc.text.counts import Count
from dataproc.text.unicode_tables import ALONE, LETTER, MARK, NUMBER, PUNCTUATION, SPACE, TERMINAL, UNSPACED
from dataproc.text.words import WORD, decode

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's list (Rae et al. 2021, appendix A1.1): English. Looked for in lower case."""

BULLETS = "-*•‣⁃◦●○■□▪▫▶◀–·∙"
"""What a bullet line begins with: the sets of datatrove, NeMo Curator, dolma and DCLM together."""

CLOSERS = "\"')]}”’»」』）】》〉"
"""What may stand between the last mark of a sentence and the white space after it."""

SHORT_LINE = 30
"""A text line of at most so many characters is short (FineWeb)."""


def _packed(word: str) -> int:
    return int.from_bytes(word.encode("ascii"), "big")


_STOP_WORDS = np.array([_packed(word) for word in STOP_WORDS], np.uint64)
_LONGEST_STOP_WORD = max(map(len, STOP_WORDS))
_LOREM, _IPSUM = _packed("lorem"), _packed("ipsum")
_BULLETS = np.array([ord(mark) for mark in BULLETS], np.int64)
_CLOSERS = np.array([ord(mark) for mark in CLOSERS], np.int64)
_XML_HEADER = np.frombuffer(b"<?xml version=", np.uint8)
_XML_HEADER_WITHIN = 100

_SEED = 0xCBF29CE484222325
_STEP = 0x9E3779B97F4A7C15
_END, _NEWLINE, _CARRIAGE_RETURN, _HASH_MARK, _DOT, _LESS_THAN, _CURLY_BRACKET = -1, 10, 13, 35, 46, 60, 123
_ELLIPSIS = 0x2026


class Units(NamedTuple):
    """Scratch for the units of one document: arrays with room for bytes // 2 + 2 of each.

    `word_ends[i]` is how many characters are in the words before word i, so that word_ends[j] - word_ends[i] is the
    length of the words i … j - 1.
    """

    word_keys: np.ndarray
    word_ends: np.ndarray
    line_keys: np.ndarray
    line_sizes: np.ndarray
    paragraph_keys: np.ndarray
    paragraph_sizes: np.ndarray


@numba.njit(cache=True, nogil=True)
def make_units(longest):
    """Scratch for documents of up to `longest` bytes: 24 bytes a byte, of which only what units need is touched."""
    room = longest // 2 + 2
    return Units(
        np.empty(room, np.uint64),
        np.empty(room, np.int64),
        np.empty(room, np.uint64),
        np.empty(room, np.int64),
        np.empty(room, np.uint64),
        np.empty(room, np.int64),
    )


@numba.njit(cache=True, nogil=True)
def _is_among(code, codes):
    for other in codes:  # noqa: SIM110 - numba compiles no generator expression
        if code == other:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _starts_xml(data, position, stop):
    if position + _XML_HEADER.size > stop:
        return False
    for offset in range(_XML_HEADER.size):  # noqa: SIM110
        if data[position + offset] != _XML_HEADER[offset]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def scan(data, start, stop, classes, units, row):
    """Counts data[start:stop] into `row` (int64, by `Count`; all but what repeats) and fills `units`.

    How many words, text lines and paragraphs are in `units` is in `row`, too.
    """
    characters = letters = numbers = spaces = punctuations = hash_marks = ellipses = curly_brackets = newlines = 0
    words = longest_word = spaced_words = spaced_word_characters = unspaced = stop_words = stop_words_seen = lorems = 0
    stretches = alphabetic_stretches = longest_stretch = sentences = xml_headers = 0
    lines = line_characters = longest_line = text_lines = text_line_characters = paragraphs = paragraph_characters = 0
    bullet_lines = ellipsis_lines = terminal_lines = short_lines = 0

    word_size = word_flags = widest = word_characters = 0
    word_key = packed = previous_packed = np.uint64(0)
    alone = False
    stretch_size = stretch_letter = 0
    # The text of the open line is its characters text_start … text_stop - 1, and end_key is the key of just these.
    line_size = text_stop = dots = 0
    text_start = np.int64(-1)
    first_code = last_code = last_flags = previous_code = np.int64(0)
    line_key = end_key = paragraph_key = np.uint64(_SEED)
    paragraph_size = np.int64(-1)
    # Whether terminal marks wait for what comes after them, and whether one of them is not ASCII.
    waiting = wide = False

    position = start
    while position <= stop:
        if position < stop:
            code, length = decode(data, position, stop)
            flags = np.int64(classes[code])
            characters += 1
        else:  # a white space that closes all that is open, and counts for nothing
            code, length, flags = np.int64(_END), np.int64(1), np.int64(SPACE)

        if word_size and (flags & WORD == 0 or flags & ALONE or (alone and flags & MARK == 0)):
            units.word_keys[words] = word_key
            units.word_ends[words] = word_characters
            words += 1
            word_characters += word_size
            longest_word = max(longest_word, word_size)
            line_key = end_key = (line_key ^ word_key) * np.uint64(_STEP)
            if word_flags & UNSPACED == 0:
                spaced_words += 1
                spaced_word_characters += word_size
            if widest >= 128 or word_size > 8:
                packed = np.uint64(0)
            elif word_size <= _LONGEST_STOP_WORD:
                for number in range(_STOP_WORDS.size):
                    if packed == _STOP_WORDS[number]:
                        stop_words += 1
                        stop_words_seen |= 1 << number
            elif packed == np.uint64(_IPSUM) and previous_packed == np.uint64(_LOREM):
                lorems += 1
            previous_packed = packed
            word_size = 0

        if waiting and flags & TERMINAL == 0 and not (flags & PUNCTUATION and _is_among(code, _CLOSERS)):
            if wide or flags & SPACE:
                sentences += 1
            waiting = wide = False

        if flags & SPACE == 0:
            if text_start < 0:
                text_start = line_size
                first_code = code
                line_key = np.uint64(_SEED)
            stretch_size += 1
            line_size += 1
            if flags & WORD:
                if word_size == 0:
                    word_key = np.uint64(_SEED)
                    packed = np.uint64(0)
                    word_flags = widest = 0
                    alone = flags & ALONE != 0
                word_size += 1
                word_flags |= flags
                widest |= code
                word_key = (word_key ^ np.uint64(code)) * np.uint64(_STEP)
                packed = (packed << np.uint64(8)) | np.uint64(code | 0x20)  # the lower case of an ASCII letter
                letters += flags & LETTER
                numbers += (flags & NUMBER) // NUMBER
                unspaced += (flags & UNSPACED) // UNSPACED
                # Most text is runs of ASCII letters: what else follows in this word is read with nothing else in mind.
                begin = position + length
                ahead = begin
                digits = 0
                while ahead < stop and not alone:
                    byte = data[ahead]
                    if byte >= 128 or classes[byte] & WORD == 0:
                        break
                    digits += 1 if byte < 58 else 0
                    word_key = (word_key ^ np.uint64(byte)) * np.uint64(_STEP)
                    packed = (packed << np.uint64(8)) | np.uint64(byte | 0x20)
                    ahead += 1
                run = ahead - begin
                if run:
                    length += run
                    characters += run
                    word_size += run
                    stretch_size += run
                    line_size += run
                    numbers += digits
                    letters += run - digits
                    word_flags |= LETTER if run > digits else NUMBER
                    flags = np.int64(LETTER)
                    code = np.int64(0)  # any letter: no line begins here, and none ends with a mark
                stretch_letter |= word_flags & LETTER
                dots = 0
            else:
                line_key = end_key = (line_key ^ np.uint64(code)) * np.uint64(_STEP)
                punctuations += (flags & PUNCTUATION) // PUNCTUATION
                if code == _DOT:
                    dots = dots + 1 if text_stop == line_size - 1 else 1  # a white space parts two runs of dots
                    ellipses += 1 if dots % 3 == 0 else 0
                else:
                    dots = 0
                    hash_marks += 1 if code == _HASH_MARK else 0
                    curly_brackets += 1 if code == _CURLY_BRACKET else 0
                    ellipses += 1 if code == _ELLIPSIS else 0
                    if code == _LESS_THAN and characters + _XML_HEADER.size - 1 <= _XML_HEADER_WITHIN:
                        xml_headers |= 1 if _starts_xml(data, position, stop) else 0
                if flags & TERMINAL:
                    waiting = True
                    wide = wide or code >= 128
            last_code = code
            last_flags = flags
            text_stop = line_size
        else:
            if stretch_size:
                stretches += 1
                alphabetic_stretches += stretch_letter
                longest_stretch = max(longest_stretch, stretch_size)
                stretch_size = stretch_letter = 0
            if code != _NEWLINE and code != _END:
                spaces += 1
                line_key = (line_key ^ np.uint64(code)) * np.uint64(_STEP)
                line_size += 1
            else:
                if code == _NEWLINE:
                    spaces += 1
                    newlines += 1
                    if line_size and previous_code == _CARRIAGE_RETURN:
                        line_size -= 1
                if code == _NEWLINE or line_size:
                    lines += 1
                    line_characters += line_size
                    longest_line = max(longest_line, line_size)
                if text_start >= 0:
                    size = text_stop - text_start
                    units.line_keys[text_lines] = end_key
                    units.line_sizes[text_lines] = size
                    text_lines += 1
                    text_line_characters += size
                    short_lines += 1 if size <= SHORT_LINE else 0
                    bullet_lines += 1 if _is_among(first_code, _BULLETS) else 0
                    ellipsis_lines += 1 if last_code == _ELLIPSIS or dots >= 3 else 0
                    terminal_lines += (last_flags & TERMINAL) // TERMINAL
                    paragraph_size += 1 + size
                    paragraph_key = (paragraph_key ^ end_key) * np.uint64(_STEP)
                if paragraph_size >= 0 and (text_start < 0 or code == _END):
                    units.paragraph_keys[paragraphs] = paragraph_key
                    units.paragraph_sizes[paragraphs] = paragraph_size
                    paragraphs += 1
                    paragraph_characters += paragraph_size
                    paragraph_size = np.int64(-1)
                    paragraph_key = np.uint64(_SEED)
                line_size = text_stop = dots = 0
                text_start = np.int64(-1)
        previous_code = code
        position += length
    units.word_ends[words] = word_characters

    distinct_stop_words = 0
    for number in range(_STOP_WORDS.size):
        distinct_stop_words += (stop_words_seen >> number) & 1
    row[Count.BYTES] = stop - start
    row[Count.CHARACTERS] = characters
    row[Count.LETTERS] = letters
    row[Count.NUMBERS] = numbers
    row[Count.SPACES] = spaces
    row[Count.PUNCTUATIONS] = punctuations
    row[Count.HASH_MARKS] = hash_marks
    row[Count.ELLIPSES] = ellipses
    row[Count.CURLY_BRACKETS] = curly_brackets
    row[Count.NEWLINES] = newlines
    row[Count.INLINE_CHARACTERS] = characters - newlines
    row[Count.XML_HEADERS] = xml_headers
    row[Count.WORDS] = words
    row[Count.WORD_CHARACTERS] = word_characters
    row[Count.LONGEST_WORD] = longest_word
    row[Count.SPACED_WORDS] = spaced_words
    row[Count.SPACED_WORD_CHARACTERS] = spaced_word_characters
    row[Count.UNSPACED_CHARACTERS] = unspaced
    row[Count.SPACED_WORDS_OR_UNSPACED_CHARACTERS] = spaced_words + unspaced
    row[Count.STOP_WORDS] = stop_words
    row[Count.DISTINCT_STOP_WORDS] = distinct_stop_words
    row[Count.LOREM_IPSUMS] = lorems
    row[Count.STRETCHES] = stretches
    row[Count.ALPHABETIC_STRETCHES] = alphabetic_stretches
    row[Count.LONGEST_STRETCH] = longest_stretch
    row[Count.SENTENCES] = sentences
    row[Count.LINES] = lines
    row[Count.LINE_CHARACTERS] = line_characters
    row[Count.LONGEST_LINE] = longest_line
    row[Count.TEXT_LINES] = text_lines
    row[Count.TEXT_LINE_CHARACTERS] = text_line_characters
    row[Count.BULLET_LINES] = bullet_lines
    row[Count.ELLIPSIS_LINES] = ellipsis_lines
    row[Count.TERMINAL_LINES] = terminal_lines
    row[Count.SHORT_LINES] = short_lines
    row[Count.PARAGRAPHS] = paragraphs
    row[Count.PARAGRAPH_CHARACTERS] = paragraph_characters
