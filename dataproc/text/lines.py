"""Lines and paragraphs of a document, from its bitmaps: how they begin and end, and keys of what they say.

line        ends at a newline or at the end of the text; a carriage return before the newline is no part of it
text line   a line that holds more than white space, without the white space at its ends
paragraph   a maximal run of text lines with no blank line between them
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_step
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.bits import last_zero, next_one, next_zero, ones_between
from corpusmill.dataproc.text.counts import Count
from corpusmill.dataproc.text.units import CHAIN_SEED, CHAIN_STEP, bytes_key

BULLETS = "-*•●‣⁃◦○∙□■▪▫▶◀–·"
"""What a bullet line begins with: the sets of datatrove, dolma and DCLM, some of NeMo Curator's."""

CURATOR_BULLETS = "•‣⁃⁌⁍∙○●◘◦⦾⦿"
"""The twelve of NeMo Curator: neither "-" nor "*"."""

SHORT_LINE = 30
"""A text line of at most so many characters is short (FineWeb)."""

LONG_LINE = 200
"""A line of at least so many characters is long (mC4)."""

_ALL_BULLETS = np.array([ord(mark) for mark in dict.fromkeys(BULLETS + CURATOR_BULLETS)], np.int64)
_FIRST_BULLETS = np.array([ord(mark) for mark in "-*•●"], np.int64)
_COUNTS = np.array([[mark in BULLETS, mark in CURATOR_BULLETS] for mark in dict.fromkeys(BULLETS + CURATOR_BULLETS)])
_NEWLINE, _CARRIAGE_RETURN, _DOT = 10, 13, 46
_ELLIPSIS = (0xE2, 0x80, 0xA6)


@kernel_step
def count_lines(data, start, stop, bitmaps, units, row):
    """Lists the text lines and paragraphs of data[start:stop] by key and size, and counts lines."""
    size = stop - start
    foreign = row[Count.CHARACTERS] != size
    lines = line_characters = longest = long_lines = text_lines = text_characters = np.int64(0)
    ellipsis_lines = terminal_lines = terminal_raw = short_lines = short_raw = np.int64(0)
    paragraphs = paragraph_characters = np.int64(0)
    paragraph_key, paragraph_size = np.uint64(CHAIN_SEED), np.int64(-1)
    for number in range(_FIRST_BULLETS.size + 2):
        row[Count.DASH_LINES + number] = 0

    begin = np.int64(0)
    while begin < size:
        end = next_one(bitmaps.newlines, begin, size)
        characters = end - begin
        if foreign:
            characters -= ones_between(bitmaps.continuing, begin, end)
        raw = characters
        if end < size and end > begin and data[np.uint64(start + end - 1)] == _CARRIAGE_RETURN:
            characters -= 1
        lines += 1
        line_characters += characters
        longest = max(longest, characters)
        long_lines += np.int64(raw >= LONG_LINE)
        first = next_zero(bitmaps.spaces, begin, end)
        if first < end:
            last = last_zero(bitmaps.spaces, first, end) + 1  # after the text
            text_size = raw - (first - begin) - (end - last)
            if foreign:
                text_size += ones_between(bitmaps.continuing, begin, first)
                text_size += ones_between(bitmaps.continuing, last, end)
            key = bytes_key(data, start + first, start + last)
            place = np.uint64(text_lines)
            units.line_keys[place] = key
            units.line_sizes[place] = text_size
            text_lines += 1
            text_characters += text_size
            terminal = np.int64(next_one(bitmaps.terminals, last - 1, last) < last)
            terminal_lines += terminal
            terminal_raw += terminal * np.int64(last == end)
            short_lines += np.int64(text_size <= SHORT_LINE)
            short_raw += np.int64(raw <= SHORT_LINE)
            ellipsis_lines += np.int64(last - first >= 3 and _ends_in_ellipsis(data, start + last))
            _count_bullet(data, start + first, stop, row)
            paragraph_size += 1 + text_size
            paragraph_key = (paragraph_key ^ key) * np.uint64(CHAIN_STEP)
            paragraph_key ^= paragraph_key >> np.uint64(32)
        if paragraph_size >= 0 and (first >= end or end + 1 >= size):
            place = np.uint64(paragraphs)
            units.paragraph_keys[place] = paragraph_key
            units.paragraph_sizes[place] = paragraph_size
            paragraphs += 1
            paragraph_characters += paragraph_size
            paragraph_key, paragraph_size = np.uint64(CHAIN_SEED), np.int64(-1)
        begin = end + 1
    row[Count.LINES] = lines
    row[Count.LINE_CHARACTERS] = line_characters
    row[Count.LONGEST_LINE] = longest
    row[Count.LONG_LINES] = long_lines
    row[Count.TEXT_LINES] = text_lines
    row[Count.TEXT_LINE_CHARACTERS] = text_characters
    row[Count.ELLIPSIS_LINES] = ellipsis_lines
    row[Count.TERMINAL_LINES] = terminal_lines
    row[Count.TERMINAL_LINES_FINEWEB] = terminal_raw
    row[Count.SHORT_LINES] = short_lines
    row[Count.SHORT_LINES_FINEWEB] = short_raw
    row[Count.PARAGRAPHS] = paragraphs
    row[Count.PARAGRAPH_CHARACTERS] = paragraph_characters


@kernel_step
def _ends_in_ellipsis(data, stop):
    """Whether the text before `stop`, of 3 bytes or more, ends with "..." or "…"."""
    third, second, last = data[np.uint64(stop - 3)], data[np.uint64(stop - 2)], data[np.uint64(stop - 1)]
    dots = third == _DOT and second == _DOT and last == _DOT
    return dots or (third == _ELLIPSIS[0] and second == _ELLIPSIS[1] and last == _ELLIPSIS[2])


@kernel_step
def _count_bullet(data, position, stop, row):
    """Counts a text line by the bullet that it begins with at `position`, if it does."""
    byte = data[np.uint64(position)]
    if byte == _ALL_BULLETS[0]:
        row[Count.DASH_LINES] += 1
        row[Count.BULLET_LINES] += 1
    elif byte == _ALL_BULLETS[1]:
        row[Count.STAR_LINES] += 1
        row[Count.BULLET_LINES] += 1
    elif byte >= 128:
        code, _ = decode(data, position, stop)
        for number in range(2, _ALL_BULLETS.size):
            if code == _ALL_BULLETS[number]:
                if number < _FIRST_BULLETS.size:
                    row[Count.DASH_LINES + number] += 1
                row[Count.BULLET_LINES] += np.int64(_COUNTS[number, 0])
                row[Count.CURATOR_BULLET_LINES] += np.int64(_COUNTS[number, 1])
