"""Markup read byte by byte: names, attributes, comments, and elements whose content is not markup.

Each function begins at a position and gives one behind it that is larger, and none looks back, so a page is read once,
whatever is left open in it. Attributes are places of their values in the page, by the numbers of `names.ATTRIBUTES`;
the first of several of one name counts.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction.class_words import STATE_BITS, STEPS, SYMBOL
from corpusmill.dataproc.extraction.names import (
    ATTRIBUTE_KEYS,
    ATTRIBUTE_PLACES,
    FNV_SEED,
    FNV_STEP,
    OTHERS,
    SLOT_MASK,
    TAG_KEYS,
    TAG_PLACES,
)
from corpusmill.dataproc.kernels.compiling import kernel_step

LT, GT, SLASH, EQUALS, DASH, BANG = 0x3C, 0x3E, 0x2F, 0x3D, 0x2D, 0x21

_ENDS_NAME = np.zeros(256, np.bool_)
_ENDS_NAME[[9, 10, 12, 13, 32, SLASH, GT]] = True
_ENDS_ATTRIBUTE = _ENDS_NAME.copy()
_ENDS_ATTRIBUTE[EQUALS] = True
_BLANK = np.zeros(256, np.bool_)
_BLANK[[9, 10, 12, 13, 32]] = True
_LOWER = np.array([code | 0x20 if 0x41 <= code <= 0x5A else code for code in range(256)], np.uint8)
_SHIFT = np.uint64(20)
_CAPITAL = np.zeros(256, np.bool_)
_CAPITAL[65:91] = True
_SMALL = np.zeros(256, np.bool_)
_SMALL[97:123] = True


@kernel_step
def read_name(data, position, stop):
    """(key, position behind it) of a tag's name."""
    key = FNV_SEED
    while position < stop and not _ENDS_NAME[data[position]]:
        key = (key ^ np.uint64(_LOWER[data[position]])) * FNV_STEP
        position += 1
    return key, position


@kernel_step
def tag_of(key):
    """The number of the element of that name."""
    slot = (key >> _SHIFT) & SLOT_MASK
    while TAG_PLACES[slot] >= 0:
        if TAG_KEYS[slot] == key:
            return TAG_PLACES[slot]
        slot = (slot + np.uint64(1)) & SLOT_MASK
    return np.int64(OTHERS) + np.int64(key >> np.uint64(58))


@kernel_step
def _attribute_of(key):
    slot = (key >> _SHIFT) & SLOT_MASK
    while ATTRIBUTE_PLACES[slot] >= 0:
        if ATTRIBUTE_KEYS[slot] == key:
            return ATTRIBUTE_PLACES[slot]
        slot = (slot + np.uint64(1)) & SLOT_MASK
    return np.int64(-1)


@kernel_step
def read_attributes(data, position, stop, values):
    """(position behind ">", whether "/" stands before it); `values` int64 (attributes, 2): places, -1 where absent.

    The position is `stop` + 1 where the tag does not end, and is then no tag.
    """
    values[:, 0] = -1
    closed = False
    while position < stop:
        byte = data[position]
        if byte == GT:
            return position + 1, closed
        if byte == SLASH:
            closed = True
            position += 1
            continue
        if _BLANK[byte]:
            position += 1
            continue
        closed = False
        key = (FNV_SEED ^ np.uint64(_LOWER[byte])) * FNV_STEP  # the first may be "="
        position += 1
        while position < stop and not _ENDS_ATTRIBUTE[data[position]]:
            key = (key ^ np.uint64(_LOWER[data[position]])) * FNV_STEP
            position += 1
        while position < stop and _BLANK[data[position]]:
            position += 1
        begin = position
        end = position
        if position < stop and data[position] == EQUALS:
            position += 1
            while position < stop and _BLANK[data[position]]:
                position += 1
            if position >= stop:
                break
            quote = data[position]
            if quote == 0x22 or quote == 0x27:
                position += 1
                begin = position
                while position < stop and data[position] != quote:
                    position += 1
                end = position
                position += 1
            else:
                begin = position
                while position < stop and not _BLANK[data[position]] and data[position] != GT:
                    position += 1
                end = position
        place = _attribute_of(key)
        if place >= 0 and values[place, 0] < 0:
            values[place, 0] = begin
            values[place, 1] = end
    return stop + 1, closed


@kernel_step
def stands(data, position, stop, word):
    """Whether the bytes of `word`, in lower case, begin at `position`, in any case."""
    if position + len(word) > stop:
        return False
    for place in range(len(word)):
        if _LOWER[data[position + place]] != word[place]:
            return False
    return True


@kernel_step
def behind_comment(data, position, stop):
    """The position behind a comment or a declaration, which begins at `position` with "<!"."""
    position += 2
    if position + 1 >= stop or data[position] != DASH or data[position + 1] != DASH:
        return behind_bogus(data, position, stop)
    position += 2
    if position < stop and data[position] == GT:
        return position + 1
    if position + 1 < stop and data[position] == DASH and data[position + 1] == GT:
        return position + 2
    while position < stop:
        while position < stop and data[position] != GT:
            position += 1
        if position < stop and data[position - 1] == DASH and data[position - 2] == DASH:
            return position + 1
        if position < stop and data[position - 1] == BANG and data[position - 2] == DASH and data[position - 3] == DASH:
            return position + 1
        position += 1
    return stop


@kernel_step
def behind_bogus(data, position, stop):
    """The position behind the next ">"."""
    while position < stop and data[position] != GT:
        position += 1
    return min(position + 1, stop)


@kernel_step
def end_of_raw(data, position, stop, key, script):
    """The position of the end tag "</name" that ends raw text, by the name's key; `stop` if there is none.

    In a script that holds `<!--` and then `<script`, the next end tag is the inner one's, as the standard has it.
    """
    escaped = False
    inner = False
    while position < stop:
        if data[position] != LT:
            if escaped and data[position] == GT and data[position - 1] == DASH and data[position - 2] == DASH:
                escaped = False
                inner = False
            position += 1
            continue
        begin = position
        position += 1
        if position >= stop:
            break
        byte = data[position]
        if byte == SLASH:
            found, end = read_name(data, position + 1, min(stop, position + 12))
            if found == key and end < stop and _ENDS_NAME[data[end]]:
                if not inner:
                    return begin
                inner = False
        elif script and byte == BANG:
            if position + 2 < stop and data[position + 1] == DASH and data[position + 2] == DASH:
                escaped = True
                position += 1  # so that "<!-->" ends at once
        elif escaped and (byte | 0x20) == 0x73:
            found, end = read_name(data, position, min(stop, position + 12))
            if found == key:
                inner = True
    return stop


@kernel_step
def words_of(data, begin, end):
    """The categories of the words in data[begin:end], as `class_words` has them."""
    state = np.int64(STEPS[0, 0])
    bits = np.int64(0)
    before = np.int64(0)
    for position in range(begin, end):
        byte = data[position]
        symbol = SYMBOL[byte]
        if symbol == 0:
            if before == 0:
                continue
        elif _CAPITAL[byte] and position > begin and _SMALL[data[position - 1]]:
            state = np.int64(STEPS[state, 0])
            bits |= STATE_BITS[state]
        state = np.int64(STEPS[state, symbol])
        bits |= STATE_BITS[state]
        before = symbol
    if before != 0:
        bits |= STATE_BITS[np.int64(STEPS[state, 0])]
    return bits


@kernel_step
def number_of(data, begin, end):
    """The whole number that data[begin:end] begins with, of up to nine digits; 0 where there is none."""
    number = np.int64(0)
    position = begin
    while position < min(end, begin + 9) and 0x30 <= data[position] <= 0x39:
        number = number * 10 + np.int64(data[position]) - 0x30
        position += 1
    return number


@kernel_step
def hash_of(data, begin, end):
    """A hash of data[begin:end], of 62 bits, so that it is a plain int64."""
    key = FNV_SEED
    for position in range(begin, end):
        key = (key ^ np.uint64(data[position])) * FNV_STEP
    return np.int64(key >> np.uint64(2))


def byte_word(word: str) -> np.ndarray:
    """A word as kernels compare it."""
    return np.frombuffer(word.encode(), np.uint8)
