"""Lines and their words, as the rules for lines see them: kernels shared by `c4_kernel` and `refinedweb_kernel`.

A *word* of a line is a stretch between white space, what Python's `str.split()` gives, which is what C4 and DCLM
count. Where a script puts no space between words that would make a whole line of Chinese or Thai one word, and every
rule on words would take it out. So a stretch that holds letters of such a script counts half a word for each of these
letters, rounded up over the line (ten characters say about as much as five words), and they end the run of characters
whose length the rule on overlong words looks at. Lines without such letters have exactly `len(line.split())` words.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_step
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.unicode_tables import SPACE, UNSPACED

_NEWLINE, _CARRIAGE_RETURN = 10, 13
_BLANK = np.array([chr(code).isspace() for code in range(128)], np.uint8)
_BREAK = np.array([len(f"a{chr(code)}b".splitlines()) > 1 for code in range(128)], np.uint8)


@kernel_step
def measure_line(data, start, stop, classes):
    """Reads one line of data[start:stop]; it ends where `str.splitlines` ends it.

    Returns:
        (line_stop, following, text_start, text_stop, words, longest), all int64: where the line's characters end and
        the next line begins; its text without white space at the ends (empty where there is none); its words, and the
        characters of the longest one.
    """
    position = start
    text_start = text_stop = np.int64(-1)
    words = unspaced = longest = run = np.int64(0)
    in_stretch = holds_unspaced = False
    line_stop = following = stop
    while position < stop:
        byte = data[np.uint64(position)]
        if byte < 128:
            length = np.int64(1)
            if _BLANK[np.uint64(byte)] == 0:
                if text_start < 0:
                    text_start = position
                begin = position
                while position < stop and data[np.uint64(position)] > 32 and data[np.uint64(position)] < 128:
                    position += 1
                position += np.int64(position == begin)  # a control character
                run += position - begin
                in_stretch = True
                text_stop = position
                continue
            is_space = True
            ends_line = _BREAK[np.uint64(byte)] != 0
        else:
            code, length = decode(data, position, stop)
            is_space = classes[code] & SPACE != 0
            ends_line = code == 0x85 or code == 0x2028 or code == 0x2029
            if not is_space:
                if text_start < 0:
                    text_start = position
                in_stretch = True
                text_stop = position + length
                if classes[code] & UNSPACED:
                    holds_unspaced = True
                    unspaced += 1
                    longest = max(longest, run)
                    run = np.int64(0)
                else:
                    run += 1
        if is_space and in_stretch:
            words += np.int64(not holds_unspaced)
            longest = max(longest, run)
            run = np.int64(0)
            in_stretch = holds_unspaced = False
        if ends_line:
            line_stop = position
            following = position + length
            if byte == _CARRIAGE_RETURN and following < stop and data[np.uint64(following)] == _NEWLINE:
                following += 1
            break
        position += length
    if in_stretch:
        words += np.int64(not holds_unspaced)
        longest = max(longest, run)
    if text_start < 0:
        text_start = text_stop = line_stop
    return line_stop, following, text_start, text_stop, words + (unspaced + 1) // 2, longest


@kernel_step
def last_character(data, start, stop):
    """(first byte, code point) of the last character of data[start:stop], which must not be empty."""
    position = stop - 1
    while position > start and stop - position < 4 and data[np.uint64(position)] & 0xC0 == 0x80:
        position -= 1
    code, length = decode(data, position, stop)
    if position + length != stop:  # malformed: the last byte stands for itself
        position = stop - 1
        code, length = decode(data, position, stop)
    return position, code


@kernel_step
def trim(data, start, stop, classes):
    """(start, stop) of data[start:stop] without the white space at its ends; costs what it takes off."""
    while start < stop:
        code, length = decode(data, start, stop)
        if classes[code] & SPACE == 0:
            break
        start += length
    while stop > start:
        position, code = last_character(data, start, stop)
        if classes[code] & SPACE == 0:
            break
        stop = position
    return start, stop
