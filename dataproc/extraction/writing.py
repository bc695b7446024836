"""Text as a reader sees it: references decoded, white space as HTML has it, written to one buffer.

White space collapses to one blank, is dropped at the edges of a block, and is kept in `pre`. A line break of the source
between two ideographs or kana is no blank (CSS Text 3, section 4.1.3). A no-break space is a blank; soft hyphens, byte
order marks and control characters are dropped; joiners are kept, since Persian and the scripts of India need them.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction.entities import BOUNDS, CHARACTERS, named_reference, numeric_reference
from corpusmill.dataproc.kernels.compiling import kernel_step

WRITTEN, BEGUN, PENDING, SKIPPING, PREFORMATTED, PRE_BEGUN, BREAKS = range(7)
"""Places of `state`: bytes written; where the block begins; what white space waits; whether text is skipped; whether
white space is kept; whether a `pre` has just begun; line breaks of the block."""
WRITING_STATES = 7

NOTHING, BLANK, NEWLINE, BREAK = range(4)
"""What waits for the next character: a blank, a blank with a line break of the source in it, a line break."""

_PLAIN, _SPACE, _REFERENCE, _RARE, _DROPPED = range(5)
_KIND = np.zeros(256, np.uint8)
_KIND[:32] = _DROPPED
_KIND[127] = _DROPPED
_KIND[[9, 10, 12, 13, 32]] = _SPACE
_KIND[0x26] = _REFERENCE
_KIND[[0xC2, 0xEF]] = _RARE  # what may begin U+00A0, U+00AD, U+FEFF


@kernel_step
def _is_wide(first, second):
    """Whether a character is an ideograph, kana or full-width, by the first two of its three bytes."""
    return 0xE3 <= first <= 0xE9 or (first == 0xEF and (second == 0xBC or second == 0xBD))


@kernel_step
def _settle(out, state, first, second):
    """Writes the white space that waits, before a character of the bytes `first`, `second`, ..."""
    waiting = state[PENDING]
    written = state[WRITTEN]
    state[PENDING] = NOTHING
    if written == state[BEGUN]:
        return
    if waiting == BREAK:
        out[written] = 0x0A
        state[WRITTEN] = written + 1
        return
    if out[written - 1] == 0x0A:
        return
    if waiting == NEWLINE and written >= state[BEGUN] + 3 and _is_wide(first, second):
        if _is_wide(out[written - 3], out[written - 2]):
            return
    out[written] = 0x20
    state[WRITTEN] = written + 1


@kernel_step
def write_code(code, out, state):
    """Writes a code point; white space and what is dropped as if it stood in the source."""
    if code == 0x20 or code == 0xA0 or 9 <= code <= 13:
        if state[PREFORMATTED]:
            out[state[WRITTEN]] = 0x20 if code == 0xA0 or code == 13 else code
            state[WRITTEN] += 1
        else:
            state[PENDING] = max(state[PENDING], BLANK)
        return
    if code < 0x20 or 0x7F <= code < 0xA0 or code == 0xAD or code == 0xFEFF:
        return
    if code < 0x80:
        first = code
    elif code < 0x800:
        first = 0xC0 | (code >> 6)
    elif code < 0x10000:
        first = 0xE0 | (code >> 12)
    else:
        first = 0xF0 | (code >> 18)
    if state[PENDING]:
        _settle(out, state, first, np.int64(0x80) | ((code >> 6) & 0x3F))
    written = state[WRITTEN]
    out[written] = first
    written += 1
    if code >= 0x10000:
        out[written] = 0x80 | ((code >> 12) & 0x3F)
        written += 1
    if code >= 0x800:
        out[written] = 0x80 | ((code >> 6) & 0x3F)
        written += 1
    if code >= 0x80:
        out[written] = 0x80 | (code & 0x3F)
        written += 1
    state[WRITTEN] = written


@kernel_step
def _write_reference(data, position, stop, out, state):
    """Writes what the reference at `position`, which is "&", stands for; gives the position behind it."""
    if position + 1 < stop and data[position + 1] == 0x23:
        code, size = numeric_reference(data, position + 2, stop)
        if size:
            write_code(code, out, state)
            return position + 2 + size
    else:
        place, size = named_reference(data, position + 1, stop)
        if size:
            at = BOUNDS[place]
            end = BOUNDS[place + 1]
            first = np.int64(CHARACTERS[at])
            if end - at == 1:
                write_code(first, out, state)
                return position + 1 + size
            if end - at == 2 and first == 0xC2:
                write_code(np.int64(CHARACTERS[at + 1]), out, state)
                return position + 1 + size
            if state[PENDING]:
                _settle(out, state, first, np.int64(CHARACTERS[at + 1]))
            for place in range(at, end):
                out[state[WRITTEN]] = CHARACTERS[place]
                state[WRITTEN] += 1
            return position + 1 + size
    if state[PENDING]:
        _settle(out, state, np.int64(0x26), np.int64(0))
    out[state[WRITTEN]] = 0x26
    state[WRITTEN] += 1
    return position + 1


@kernel_step
def _write_space(data, position, stop, out, state):
    """White space at `position`; gives the position behind it."""
    if not state[PREFORMATTED]:
        waiting = state[PENDING]
        while position < stop and _KIND[data[position]] == _SPACE:
            if data[position] == 0x0A:
                waiting = max(waiting, NEWLINE)
            position += 1
        state[PENDING] = max(waiting, BLANK)
        return position
    byte = data[position]
    if byte == 0x0D:
        byte = np.uint8(0x0A)
        if position + 1 < stop and data[position + 1] == 0x0A:
            position += 1
    out[state[WRITTEN]] = byte
    state[WRITTEN] += 1
    return position + 1


@kernel_step
def write_text(data, start, stop, out, state):
    """Writes the text data[start:stop], which holds no markup."""
    if state[SKIPPING]:
        return
    position = start
    if state[PRE_BEGUN]:
        state[PRE_BEGUN] = 0
        if position < stop and data[position] == 0x0D:
            position += 1
        if position < stop and data[position] == 0x0A:
            position += 1
    while position < stop:
        byte = data[position]
        kind = _KIND[byte]
        if kind == _PLAIN:
            if state[PENDING]:
                following = np.int64(data[position + 1]) if position + 1 < stop else np.int64(0)
                _settle(out, state, np.int64(byte), following)
            written = state[WRITTEN]
            while position < stop:
                byte = data[position]
                if _KIND[byte] != _PLAIN:
                    break
                out[written] = byte
                written += 1
                position += 1
            state[WRITTEN] = written
        elif kind == _SPACE:
            position = _write_space(data, position, stop, out, state)
        elif kind == _REFERENCE:
            position = _write_reference(data, position, stop, out, state)
        elif kind == _DROPPED:
            position += 1
        else:
            position = _write_rare(data, position, stop, out, state)


@kernel_step
def _write_rare(data, position, stop, out, state):
    """A character that begins with C2 or EF, which may be one that is not written as it is."""
    first = np.int64(data[position])
    second = np.int64(data[position + 1]) if position + 1 < stop else np.int64(0)
    if first == 0xC2:
        if 0x80 <= second < 0xC0:
            write_code(second, out, state)
            return position + 2
    elif second == 0xBB and position + 2 < stop and data[position + 2] == 0xBF:
        return position + 3
    if state[PENDING]:
        _settle(out, state, first, second)
    out[state[WRITTEN]] = first
    state[WRITTEN] += 1
    return position + 1


@kernel_step
def write_byte(byte, out, state):
    """Writes one byte of ASCII that is no white space, whatever is skipped."""
    if state[PENDING]:
        _settle(out, state, np.int64(byte), np.int64(0))
    out[state[WRITTEN]] = byte
    state[WRITTEN] += 1
