"""First walk over a document: what its bytes are, 64 at a time, as one bitmap for each class, and characters counted.

All further walks (`dataproc.text.units`, `dataproc.text.lines`, `dataproc.text.marks`) look at these bitmaps and go
from one word or line to the next. All bytes of a character have its bits, so a stretch of bytes is a stretch of text,
and it holds as many characters as bytes that continue none.

Blocks of 64 ASCII bytes, most of all text, take no branch that depends on the text but for one step for each mark
(punctuation or symbol) to count it by itself. In other blocks each character that is not ASCII is decoded and looked
up, and its bits are added to those of the ASCII around it.

Cost: 0.5 ns a byte of English prose, 2 ns a byte where everything has to be decoded. Memory: one bit a byte and class.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.bits import BLOCK, bytes_between, low_bits, lowest, ones
from corpusmill.dataproc.text.counts import Count
from corpusmill.dataproc.text.unicode_tables import ALONE, LETTER, MARK, NUMBER, PUNCTUATION, SPACE, TERMINAL, UNSPACED
from corpusmill.dataproc.text.words import WORD

_ELLIPSIS = 0x2026
_ANGLE_BRACKETS = (0x27E8, 0x27E9)
_HASH_MARK, _CURLY_BRACKET = ord("#"), ord("{")
_BRACKETS = np.array([ord(mark) for mark in "()[]{}"], np.int64)
_CURATOR_MARKS = np.array([ord(mark) for mark in "?!,."], np.int64)


class Bitmaps(NamedTuple):
    """Bitmaps over a document, uint64 of shape (bytes // 64 + 2,), and `marks`, int64 of shape (128,).

    words         letters, marks and numbers
    breaks        the first byte of a word that follows on another one with nothing between (Han and kana)
    letters, spaces, newlines, terminals, unspaced    as in `dataproc.text.unicode_tables`
    symbols       "#" and "…"
    continuing    bytes of a character but its first
    mark_starts   the first byte of a punctuation mark or symbol, of ASCII ones only where the same does not go before
    marks         not a bitmap: how often each ASCII punctuation mark or symbol occurs
    """

    words: np.ndarray
    breaks: np.ndarray
    letters: np.ndarray
    spaces: np.ndarray
    newlines: np.ndarray
    terminals: np.ndarray
    unspaced: np.ndarray
    symbols: np.ndarray
    continuing: np.ndarray
    mark_starts: np.ndarray
    marks: np.ndarray


@kernel
def make_bitmaps(longest):
    """Bitmaps for documents of up to `longest` bytes."""
    bits = np.zeros((10, longest // BLOCK + 2), np.uint64)
    return Bitmaps(
        bits[0],
        bits[1],
        bits[2],
        bits[3],
        bits[4],
        bits[5],
        bits[6],
        bits[7],
        bits[8],
        bits[9],
        np.zeros(128, np.int64),
    )


@kernel_step
def _chosen(flags, flag, bits):
    """`bits` where `flags` has the flag, else none."""
    return bits if flags & flag else np.uint64(0)


@kernel_step
def classify(data, start, stop, classes, lower, bitmaps, row):
    """Fills `bitmaps` from data[start:stop] and counts its characters into `row`.

    Args:
        data: uint8, UTF-8, with 64 bytes or more behind `stop` that may be anything.
        start, stop: int64.
        classes, lower: of `unicode_tables.load_tables()`.
    """
    marks = bitmaps.marks
    for mark in range(128):
        marks[mark] = 0
    letters = numbers = capitals = spaces = newlines = punctuations = mark_runs = np.int64(0)
    ellipses = brackets = unspaced = alone = continuing = np.int64(0)
    # What a character that began in one block says of the next.
    over = over_words = over_letters = over_spaces = over_terminals = over_unspaced = over_symbols = np.uint64(0)
    over_breaks = np.uint64(0)
    alone_stop = np.int64(-1)  # where the last Han or kana character, with its marks, ended

    position = start
    block = np.int64(0)
    while position < stop:
        valid = low_bits(min(stop - position, np.int64(BLOCK)))
        upper = bytes_between(data, position, np.uint8(65), np.uint8(90)) & valid
        letter = (upper | bytes_between(data, position, np.uint8(97), np.uint8(122))) & valid
        digit = bytes_between(data, position, np.uint8(48), np.uint8(57)) & valid
        space = bytes_between(data, position, np.uint8(9), np.uint8(13))
        space = (space | bytes_between(data, position, np.uint8(28), np.uint8(32))) & valid
        newline = bytes_between(data, position, np.uint8(10), np.uint8(10)) & valid
        printable = bytes_between(data, position, np.uint8(33), np.uint8(126)) & valid
        terminal = bytes_between(data, position, np.uint8(33), np.uint8(33))
        terminal |= bytes_between(data, position, np.uint8(46), np.uint8(46))
        terminal = (terminal | bytes_between(data, position, np.uint8(63), np.uint8(63))) & valid
        symbol = bytes_between(data, position, np.uint8(35), np.uint8(35)) & valid
        foreign = bytes_between(data, position, np.uint8(128), np.uint8(255)) & valid
        word = letter | digit
        mark = printable & ~word

        capitals += ones(upper)
        letters += ones(letter)
        numbers += ones(digit)
        spaces += ones(space)
        newlines += ones(newline)
        punctuations += ones(mark)
        mark_starts = mark
        while mark != 0:
            number = lowest(mark)
            place = position + number
            byte = data[np.uint64(place)]
            marks[np.uint64(byte)] += 1
            repeats = np.uint64(place > start and data[np.uint64(place - 1)] == byte)
            mark_starts ^= repeats << np.uint64(number)
            mark &= mark - np.uint64(1)

        breaks, unspaced_bits, follow = over_breaks, over_unspaced, over
        if foreign != 0:
            rest = foreign & ~over
            word, letter, space = word | over_words, letter | over_letters, space | over_spaces
            terminal, symbol = terminal | over_terminals, symbol | over_symbols
            over = over_words = over_letters = over_spaces = over_terminals = over_unspaced = over_symbols = np.uint64(
                0
            )
            over_breaks = np.uint64(0)
            while rest != 0:
                place = lowest(rest)
                code, length = decode(data, position + place, stop)
                flags = np.int64(classes[np.uint64(code)])
                first = np.uint64(1) << np.uint64(place)
                whole = (np.uint64(1) << np.uint64(length)) - np.uint64(1)
                bits = whole << np.uint64(place)
                beyond = whole >> np.uint64(BLOCK - place) if place + length > BLOCK else np.uint64(0)
                rest &= ~bits
                follow |= bits & ~first
                over |= beyond
                continuing += length - 1
                if flags & WORD:
                    word |= bits
                    over_words |= beyond
                    letters += flags & LETTER
                    numbers += (flags & NUMBER) // NUMBER
                    letter |= _chosen(flags, LETTER, bits)
                    over_letters |= _chosen(flags, LETTER, beyond)
                    if flags & UNSPACED:
                        unspaced += 1
                        unspaced_bits |= bits
                        over_unspaced |= beyond
                    elif flags & LETTER:
                        capitals += np.int64(np.int64(lower[np.uint64(code)]) != code)
                    if flags & ALONE:
                        alone += 1
                    joins = flags & ALONE == 0 and (alone_stop != position + place or flags & MARK != 0)
                    breaks |= np.uint64(0) if joins else first
                    if flags & ALONE or (alone_stop == position + place and flags & MARK):
                        alone_stop = position + place + length
                        # An ASCII letter behind it is a word of its own; what is not ASCII will see to itself.
                        if place + length < BLOCK:
                            breaks |= (np.uint64(1) << np.uint64(place + length)) & ~foreign
                        elif data[np.uint64(alone_stop)] < 128:
                            over_breaks |= np.uint64(1) << np.uint64(place + length - BLOCK)
                elif flags & SPACE:
                    spaces += 1
                    space |= bits
                    over_spaces |= beyond
                elif flags & PUNCTUATION:
                    punctuations += 1
                    mark_starts |= first
                    if flags & TERMINAL:
                        terminal |= bits
                        over_terminals |= beyond
                    elif code == _ELLIPSIS:
                        ellipses += 1
                        symbol |= bits
                        over_symbols |= beyond
                    elif code == _ANGLE_BRACKETS[0] or code == _ANGLE_BRACKETS[1]:
                        brackets += 1
        else:
            over_breaks = np.uint64(0)

        place = np.uint64(block)
        bitmaps.words[place] = word
        bitmaps.breaks[place] = breaks
        bitmaps.letters[place] = letter
        bitmaps.spaces[place] = space
        bitmaps.newlines[place] = newline
        bitmaps.terminals[place] = terminal
        bitmaps.unspaced[place] = unspaced_bits
        bitmaps.symbols[place] = symbol
        bitmaps.continuing[place] = follow
        bitmaps.mark_starts[place] = mark_starts
        mark_runs += ones(mark_starts)
        position += BLOCK
        block += 1
    last = np.uint64(block)  # a stretch may be read across the last block
    bitmaps.words[last] = bitmaps.breaks[last] = bitmaps.letters[last] = bitmaps.spaces[last] = np.uint64(0)
    bitmaps.newlines[last] = bitmaps.terminals[last] = bitmaps.unspaced[last] = np.uint64(0)
    bitmaps.symbols[last] = bitmaps.continuing[last] = np.uint64(0)

    for number in range(_BRACKETS.size):
        brackets += marks[_BRACKETS[number]]
    spared = newlines
    for number in range(_CURATOR_MARKS.size):
        spared += marks[_CURATOR_MARKS[number]]
    characters = stop - start - continuing
    row[Count.BYTES] = stop - start
    row[Count.CHARACTERS] = characters
    row[Count.LETTERS] = letters
    row[Count.CAPITALS] = capitals
    row[Count.NUMBERS] = numbers
    row[Count.SPACES] = spaces
    row[Count.PUNCTUATIONS] = punctuations
    row[Count.MARK_RUNS] = mark_runs
    row[Count.HASH_MARKS] = marks[_HASH_MARK]
    row[Count.CURLY_BRACKETS] = marks[_CURLY_BRACKET]
    row[Count.BRACKETS] = brackets
    row[Count.ELLIPSES] = ellipses
    row[Count.NEWLINES] = newlines
    row[Count.INLINE_CHARACTERS] = characters - newlines
    row[Count.NOT_ALPHANUMERIC] = characters - letters - numbers
    row[Count.NOT_ALPHANUMERIC_CURATOR] = characters - letters - numbers - spared
    row[Count.UNSPACED_CHARACTERS] = unspaced
    row[Count.ALONE_CHARACTERS] = alone
