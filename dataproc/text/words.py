"""What a word is, and the kernel that hashes words: the base of shingles, stop words and n-grams.

A word is a maximal run of letters, marks and numbers. In scripts without spaces between words (`UNSPACED`) it is an
orthographic unit instead: a letter with the marks that follow it. So "don't" is two words, "snake_case" two, "３个苹果"
four, and "ภาษาไทย" seven. White space, punctuation, symbols, emoji and format characters only separate words. (The
filters, which count words as the papers' tools do, let a run of Thai be one: `dataproc.text.bitmaps`.)

Shingles take an underscore for a letter (`identifier_word_hashes`), as Unicode's own word boundaries do (UAX 29,
ExtendNumLet), and `\\w` of regular expressions: an identifier of code is one word, and who recomputes a similarity by
`\\w+` gets ours in every script whose words have no marks.

UTF-8 is decoded in the kernel. Arrow text is valid UTF-8, yet nothing here relies on it: a byte that starts no whole
sequence inside the document counts as one U+FFFD, so no read goes past `stop` and no table index past U+10FFFF.

ASCII takes a way of its own, without branches that depend on the text: at each byte the hash so far is written where
the next word's would go, and the number of words grows by one when a word ends there. What bounds this is the chain of
one multiplication a byte, so stretches of 512 ASCII bytes are hashed in two lanes, the second one from the first
separator after their middle.

Cost: about 1 GB/s a core for `word_hashes` on real text of which 10 % of the bytes are not ASCII, 1.4 GB/s on ASCII,
0.4 on text that is mostly not. Two different words have the same 64-bit hash with probability 2^-64.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.kernels.hashing import mix
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.unicode_tables import LETTER, MARK, NUMBER, UNSPACED

WORD = LETTER | MARK | NUMBER

_SEED = 0xCBF29CE484222325
_STEP = 0x9E3779B97F4A7C15
_LANE = 256
"""Bytes of a lane, about: long enough for what a stretch costs at its ends, short enough to find most text in one."""

_ASCII = np.array([ord(chr(code).lower()) if chr(code).isalnum() else 0 for code in range(128)], np.uint64)
"""The lower case of each ASCII character of a word, 0 for one that separates words."""

_IDENTIFIERS = np.where(np.arange(128) == ord("_"), np.uint64(ord("_")), _ASCII)
"""The same, with the underscore among the letters."""


@kernel_part
def _step(byte, ascii_words, code_hash, in_word, count, out):
    """(hash, in_word, count) after one more ASCII byte; writes where the next word goes, whether one ends or not."""
    lower = ascii_words[np.uint64(byte)]
    is_word = np.int64(lower != 0)
    out[np.uint64(count)] = code_hash
    count += in_word & (is_word ^ 1)
    code_hash = (code_hash ^ lower) * np.uint64(_STEP) if is_word else np.uint64(_SEED)
    return code_hash, is_word, count


@kernel_part
def _second_lane(data, position, ascii_words):
    """Where the second lane of the 2 * _LANE bytes at `position` begins, after a separator; 0 if there can be none."""
    high = np.uint8(0)
    for place in range(position, position + 2 * _LANE):
        high |= data[np.uint64(place)]
    if high < 0x80:
        for place in range(position + _LANE, position + _LANE + _LANE // 4):
            if ascii_words[np.uint64(data[np.uint64(place)])] == 0:
                return place + 1
    return np.int64(0)


@kernel
def word_hashes(data, start, stop, classes, lower, out):
    """Hashes the lower-cased words of data[start:stop] in order into `out`; returns how many there are.

    Args:
        data: UTF-8 bytes, uint8.
        start, stop: the document's bytes, int64.
        classes, lower: of `unicode_tables.load_tables()`.
        out: uint64 with room for (stop - start + 1) // 2 entries; those past the words are left with scratch.
    """
    return _hash_words(data, start, stop, classes, lower, _ASCII, out)


@kernel
def identifier_word_hashes(data, start, stop, classes, lower, out):
    """As `word_hashes`, but an underscore is a letter: snake_case is one word."""
    return _hash_words(data, start, stop, classes, lower, _IDENTIFIERS, out)


@kernel_part
def _hash_words(data, start, stop, classes, lower, ascii_words, out):
    count = np.int64(0)
    in_word = np.int64(0)
    alone = False  # the open word began with a character of such a script: only marks may extend it
    code_hash = np.uint64(_SEED)  # of the open word, the seed where none is open
    position = start
    while position < stop:
        if data[np.uint64(position)] < 0x80:
            if alone and in_word:
                out[count] = code_hash
                count += 1
                in_word = np.int64(0)
                code_hash = np.uint64(_SEED)
            alone = False
            while position + 2 * _LANE + 8 <= stop:  # so many more bytes leave room in `out` between the lanes
                second = _second_lane(data, position, ascii_words)
                if second == 0:
                    break
                first_bytes = second - position
                second_bytes = 2 * _LANE - first_bytes
                base = count + (first_bytes + 1) // 2 + 1  # past all words that the first lane can have
                second_count, second_hash, second_in_word = base, np.uint64(_SEED), np.int64(0)
                for place in range(second_bytes):
                    byte, other = data[np.uint64(position + place)], data[np.uint64(second + place)]
                    code_hash, in_word, count = _step(byte, ascii_words, code_hash, in_word, count, out)
                    second_hash, second_in_word, second_count = _step(
                        other, ascii_words, second_hash, second_in_word, second_count, out
                    )
                for place in range(second_bytes, first_bytes):
                    byte = data[np.uint64(position + place)]
                    code_hash, in_word, count = _step(byte, ascii_words, code_hash, in_word, count, out)
                for place in range(second_count - base):
                    out[np.uint64(count + place)] = out[np.uint64(base + place)]
                count += second_count - base
                code_hash, in_word = second_hash, second_in_word
                position += 2 * _LANE
            while position < stop and data[np.uint64(position)] < 0x80:
                byte = data[np.uint64(position)]
                code_hash, in_word, count = _step(byte, ascii_words, code_hash, in_word, count, out)
                position += 1
            continue
        code, length = decode(data, position, stop)
        position += length
        flags = classes[code]
        if in_word and (flags & WORD == 0 or (flags & MARK == 0 and (alone or flags & UNSPACED != 0))):
            out[count] = code_hash
            count += 1
            in_word = np.int64(0)
            code_hash = np.uint64(_SEED)
        if flags & WORD != 0:
            if not in_word:
                in_word = np.int64(1)
                alone = flags & UNSPACED != 0
            code_hash = (code_hash ^ np.uint64(lower[code])) * np.uint64(_STEP)
    if in_word:
        out[count] = code_hash
        count += 1
    for word in range(count):
        out[word] = mix(out[word])
    return count
