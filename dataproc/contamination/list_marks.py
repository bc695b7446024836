"""List marks: "1.", "(a)", "iv)", "①", "Q:", "一、" and line numbers do not count as words of an item.

A page that quotes an item may number its lines or its choices, and each mark would break the n-grams that it stands in.
So marks are blanked where words are read, in items and in documents alike:

    label and closer   up to three digits, one letter, or a Roman number of i, v, x, before . ) : ] and white space (or
                       before their wide forms), after white space; or in brackets, as "(a)" and "[12]"
    words              question, answer, problem, … with a number or without, before : at the start of a line
    enclosed           ①, ⑴, Ⓐ, ❶, ㈠ and the like
    Han                一、 to 十九、, 问：, 答： and 题： at the start of a line
    numbers of lines   a number before white space, | or :, on lines that follow each other and count upwards

A mark is taken for one by itself and what stands beside it, so that a sentence that ends in "in part a." loses its last
word in both texts, and the item is found all the same.

Cost: a look at each byte and the one before it, and a copy of the batch.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

_STRETCH = 4096
"""Bytes that are flagged at a time."""
_BLANK, _NEWLINE, _BAR, _COLON = 32, 10, 124, 58
_WORDS = ("question", "answer", "problem", "exercise", "solution", "option", "choice", "example", "step", "task", "ans")
_NAMES = np.zeros((len(_WORDS), 8), np.uint8)
for _number, _word in enumerate(_WORDS):
    _NAMES[_number, : len(_word)] = np.frombuffer(_word.encode(), np.uint8)
_SIZES = np.array([len(word) for word in _WORDS], np.int64)
_HAN = np.array([ord(numeral) for numeral in "一二三四五六七八九十"], np.int64)
_HAN_LABELS = np.array([ord(label) for label in "问問答题題"], np.int64)
_WIDE_COLON, _WIDE_BRACKET, _WIDE_DOT, _WIDE_COMMA = 0xFF1A, 0xFF09, 0xFF0E, 0x3001


@kernel_step
def _is_blank(byte):
    return byte == 32 or 9 <= byte <= 13


@kernel_step
def _is_digit(byte):
    return np.uint8(48) <= byte <= np.uint8(57)


@kernel_step
def _is_letter(byte):
    return np.uint8(97) <= byte | 0x20 <= np.uint8(122)


@kernel_step
def _is_roman(byte):
    low = byte | 0x20
    return low == 105 or low == 118 or low == 120


@kernel_step
def _three_bytes(data, position, stop):
    """The code point of three bytes of UTF-8 at `position`; 0 where there are none."""
    if position + 3 > stop or data[position] & 0xF0 != 0xE0:
        return np.int64(0)
    first, second, third = np.int64(data[position]), np.int64(data[position + 1]), np.int64(data[position + 2])
    return (first & 0xF) << 12 | (second & 0x3F) << 6 | third & 0x3F


@kernel_step
def _flag(data, start, stop, flags):
    """Writes to `flags` for each byte of data[start:stop] whether it ends a line or may begin a mark, 32 at a time.

    Nearly no byte of prose does. `data` has a byte before and one after.
    """
    for place in range(stop - start):
        before, byte = data[np.uint64(start + place - 1)], data[np.uint64(start + place)]
        after = data[np.uint64(start + place + 1)]
        low, low_after = byte | np.uint8(0x20), after | np.uint8(0x20)
        digit = (byte >= 48) & (byte <= 57)
        letter = (low >= 97) & (low <= 122)
        closes = (after == 46) | (after == 41) | (after == 58) | (after == 93) | (after >= 0xE3)
        roman = (low == 105) | (low == 118) | (low == 120)
        roman_after = (low_after == 105) | (low_after == 118) | (low_after == 120)
        opens = (before <= 32) | (before == 40) | (before == 91)
        label = (digit & (closes | ((after >= 48) & (after <= 57)))) | (letter & (closes | (roman & roman_after)))
        enclosed = (byte == 0xE2) & (((after >= 0x91) & (after <= 0x93)) | (after == 0x9D) | (after == 0x9E))
        enclosed |= (byte == 0xE3) & (after >= 0x88) & (after <= 0x8A)
        flags[np.uint64(place)] = (byte == _NEWLINE) | (opens & label) | enclosed


@kernel_step
def _next_flag(flags, place, count):
    """The first place from `place` on that is flagged; `count` where none is."""
    while place < count:
        if place + 64 <= count:
            high = np.uint8(0)
            for other in range(place, place + 64):
                high = max(high, flags[np.uint64(other)])
            if not high:
                place += 64
                continue
        for other in range(place, min(place + 64, count)):
            if flags[np.uint64(other)]:
                return np.int64(other)
        place += 64
    return np.int64(count)


@kernel_step
def _closer(data, position, stop, bracketed):
    """Whether what ends a mark stands at `position`."""
    if position >= stop:
        return False
    byte = data[position]
    if bracketed:
        return byte == 41 or byte == 93
    if byte == 46 or byte == 41 or byte == 58 or byte == 93:
        return position + 1 == stop or _is_blank(data[position + 1])
    code = _three_bytes(data, position, stop)
    return code in (_WIDE_COLON, _WIDE_BRACKET, _WIDE_DOT, _WIDE_COMMA)


@kernel_step
def _label_stop(data, position, stop):
    """Where digits, a letter or a Roman number end that may be a label; `position` if there is none."""
    end = position
    if _is_digit(data[position]):
        while end < stop and end < position + 4 and _is_digit(data[end]):
            end += 1
        return end if end - position <= 3 else position
    while end < stop and end < position + 5 and _is_roman(data[end]):
        end += 1
    if end > position and end - position <= 4 and (end == stop or not _is_letter(data[end])):
        return end
    return position + 1 if _is_letter(data[position]) else position


@kernel_step
def _named_stop(data, position, stop):
    """Where "question 3" or the like ends that stands before a colon; `position` if it does not."""
    for word in range(_SIZES.shape[0]):
        end = position + _SIZES[word]
        if data[position] | 0x20 != _NAMES[word, 0] or end >= stop:
            continue
        same = True
        for place in range(_SIZES[word]):
            same &= data[position + place] | 0x20 == _NAMES[word, place]
        if not same:
            continue
        while end < stop and data[end] == _BLANK:
            end += 1
        while end < stop and _is_digit(data[end]):
            end += 1
        if end < stop and (data[end] == _COLON or _three_bytes(data, end, stop) == _WIDE_COLON):
            return end
    if data[position] | 0x20 == 113 or data[position] | 0x20 == 97:  # Q1:, A1:
        end = position + 1
        while end < stop and _is_digit(data[end]):
            end += 1
        if end < stop and (data[end] == _COLON or (end > position + 1 and _closer(data, end, stop, False))):
            return end
    return position


@kernel_step
def _is_enclosed(code):
    return (
        0x2460 <= code <= 0x24FF
        or 0x2776 <= code <= 0x2793
        or 0x3220 <= code <= 0x3229
        or 0x3280 <= code <= 0x3289
        or 0x32B1 <= code <= 0x32BF
    )


@kernel_step
def _han_stop(data, position, stop):
    """Where a label of Han numerals, or one that names questions and answers, ends before its mark."""
    end, numerals, named = position, 0, False
    while end < stop and numerals < 4:
        code = _three_bytes(data, end, stop)
        numeral, label = False, False
        for other in _HAN:
            numeral |= code == other
        for other in _HAN_LABELS:
            label |= code == other
        if not (numeral or label):
            break
        named = named or label
        end += 3
        numerals += 1
    if end == position:
        return position
    while named and end < stop and _is_digit(data[end]):
        end += 1
    code = _three_bytes(data, end, stop)
    wide = code == _WIDE_COLON or (end < stop and data[end] == _COLON)
    if wide if named else (code in (_WIDE_COMMA, _WIDE_DOT, _WIDE_BRACKET)):
        return end
    return position


@kernel_step
def _blank_out(out, start, stop):
    for place in range(start, stop):
        out[place] = _BLANK


@kernel_step
def _line_number(data, position, stop):
    """(number, byte after it) at the start of a line; (-1, position) if there is none before white space, | or :."""
    end, number = position, np.int64(0)
    while end < stop and end < position + 6 and _is_digit(data[end]):
        number = number * 10 + np.int64(data[end]) - 48
        end += 1
    if end == position or (end < stop and not (_is_blank(data[end]) or data[end] == _BAR or data[end] == _COLON)):
        return np.int64(-1), position
    return number, end


@kernel
def _blank_marks(offsets, data, out):
    """Blanks the marks in `out`, a copy of the texts' bytes (out[place - offsets[0]] is data[place])."""
    base, flags = offsets[0], np.empty(_STRETCH, np.uint8)
    for row in range(offsets.shape[0] - 1):
        start, stop = offsets[row], offsets[row + 1]
        flagged, flagged_stop = start, start  # data[flagged:flagged_stop] has its flags
        numbered, number_start, number_end = np.int64(-2), start, start  # of the line before
        position = start
        at_line = True
        while position < stop:
            if not at_line and position + 1 < stop:
                if position >= flagged_stop:
                    flagged, flagged_stop = position, min(position + _STRETCH, stop - 1)
                    _flag(data, flagged, flagged_stop, flags)
                following = flagged + _next_flag(flags, position - flagged, flagged_stop - flagged)
                if following > position:
                    position = following
                    continue
            byte = data[position]
            if at_line and byte != _NEWLINE and _is_blank(byte):
                position += 1
                continue
            end = position
            if at_line and byte != _NEWLINE:
                number, number_stop = _line_number(data, position, stop)
                if number >= 0 and number == numbered + 1:
                    _blank_out(out, number_start - base, number_end - base)
                    _blank_out(out, position - base, number_stop - base)
                numbered = number if number >= 0 else np.int64(-2)
                number_start, number_end = position, number_stop
                if _is_letter(byte):
                    end = _named_stop(data, position, stop)
                elif byte >= 0xE4:
                    end = _han_stop(data, position, stop)
            at_line = byte == _NEWLINE
            if byte >= 0xE2 and _is_enclosed(_three_bytes(data, position, stop)):
                end = position + 3
            elif end == position and (_is_letter(byte) or _is_digit(byte)):
                before = data[position - 1] if position > start else np.uint8(_BLANK)
                opened = before == 40 or before == 91
                if opened:
                    opened = position - 1 == start or _is_blank(data[position - 2])
                if opened or _is_blank(before):
                    last = _label_stop(data, position, stop)
                    if last > position and _closer(data, last, stop, opened):
                        end = last
            if end > position:
                _blank_out(out, position - base, end - base)
                position = end
            else:
                position += 1


def without_list_marks(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texts with blanks in place of list marks: (offsets int64 (N + 1,), bytes uint8), each byte in its old place.

    Args:
        offsets, data: as from `buffers.text_buffers`.
    """
    out = np.array(data[int(offsets[0]) : int(offsets[-1])], np.uint8)
    _blank_marks(read_only(offsets, np.int64), read_only(data, np.uint8), out)
    return read_only(offsets - offsets[0], np.int64), read_only(out, np.uint8)
