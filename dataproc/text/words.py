"""What a word is, and the kernel that hashes words: the base of shingles, stop words and n-grams.

A word is a maximal run of letters, marks and numbers; a Han or kana character, with the marks that follow it, is a word
of its own. So "don't" is two words, "snake_case" two, "３个苹果" four, and a Thai phrase written without spaces is one.
White space, punctuation, symbols, emoji and format characters only separate words.

UTF-8 is decoded in the kernel. Arrow text is valid UTF-8, yet nothing here relies on it: a byte that starts no whole
sequence inside the document counts as one U+FFFD, so no read goes past `stop` and no table index past U+10FFFF.

Cost: about 150 MB/s a core for `word_hashes`. Two different words have the same 64-bit hash with probability 2^-64.
"""

import numba
import numpy as np

from dataproc.text.unicode_tables import ALONE, LETTER, MARK, NUMBER

REPLACEMENT = 0xFFFD
WORD = LETTER | MARK | NUMBER

_SEED = 0xCBF29CE484222325
_STEP = 0x9E3779B97F4A7C15
_MIX = 0xD6E8FEB86659FD93


@numba.njit(cache=True, nogil=True)
def decode(data, position, stop):
    """(code point, bytes) of the character at `position` < `stop`, both int64; a malformed byte is (U+FFFD, 1)."""
    first = np.int64(data[position])
    if first < 0x80:
        return first, np.int64(1)
    if first < 0xC2 or first > 0xF4:
        return np.int64(REPLACEMENT), np.int64(1)
    length = np.int64(2) if first < 0xE0 else (np.int64(3) if first < 0xF0 else np.int64(4))
    if position + length > stop:
        return np.int64(REPLACEMENT), np.int64(1)
    code = first & (np.int64(0x7F) >> length)
    for offset in range(1, length):
        following = np.int64(data[position + offset])
        if following & 0xC0 != 0x80:
            return np.int64(REPLACEMENT), np.int64(1)
        code = (code << 6) | (following & 0x3F)
    if code > 0x10FFFF:
        return np.int64(REPLACEMENT), np.int64(1)
    return code, length


@numba.njit(cache=True, nogil=True)
def mix(value):
    """Spreads 64 bits over 64 bits: a bijection (xor-shift and multiply, twice)."""
    value ^= value >> np.uint64(32)
    value *= np.uint64(_MIX)
    value ^= value >> np.uint64(32)
    value *= np.uint64(_MIX)
    return value ^ (value >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def word_hashes(data, start, stop, classes, lower, out):
    """Hashes the lower-cased words of data[start:stop] in order into `out`; returns how many there are.

    Args:
        data: UTF-8 bytes, uint8.
        start, stop: the document's bytes, int64.
        classes, lower: of `unicode_tables.load_tables()`.
        out: uint64 with room for stop - start entries; half of that (rounded up) is what can be needed.
    """
    count = 0
    in_word = False
    alone = False  # the open word began with a Han or kana character: only marks may extend it
    code_hash = np.uint64(0)
    position = start
    while position < stop:
        code, length = decode(data, position, stop)
        position += length
        flags = classes[code]
        if flags & WORD == 0:
            if in_word:
                out[count] = mix(code_hash)
                count += 1
                in_word = False
            continue
        if in_word and (flags & ALONE != 0 or (alone and flags & MARK == 0)):
            out[count] = mix(code_hash)
            count += 1
            in_word = False
        if not in_word:
            in_word = True
            alone = flags & ALONE != 0
            code_hash = np.uint64(_SEED)
        code_hash = (code_hash ^ np.uint64(lower[code])) * np.uint64(_STEP)
    if in_word:
        out[count] = mix(code_hash)
        count += 1
    return count
