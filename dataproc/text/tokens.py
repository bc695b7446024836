"""Tokens of a document: its words, and the runs of punctuation marks and symbols between them, in order.

Word splitters such as spaCy's, which datatrove uses, give punctuation as words of its own. A run of the same ASCII mark
("---", "...") is one token, as are two such runs of the same length the same token.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_step
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.bits import lowest
from corpusmill.dataproc.text.units import bytes_key


@kernel_step
def list_tokens(data, start, stop, bitmaps, units, token_keys, token_ends):
    """Fills keys and ends of the tokens of data[start:stop], whose words are in `units`; returns how many there are."""
    size = stop - start
    tokens = word = characters = np.int64(0)
    carry = np.uint64(0)
    position = np.int64(0)
    while position < size:
        block = np.uint64(position) >> np.uint64(6)
        inside = bitmaps.words[block]
        before = (inside << np.uint64(1)) | carry
        word_starts = inside & (~before | bitmaps.breaks[block])
        carry = inside >> np.uint64(63)
        bits = word_starts | bitmaps.mark_starts[block]
        while bits != 0:
            place = lowest(bits)
            token = np.uint64(tokens)
            token_ends[token] = characters
            if (word_starts >> np.uint64(place)) & np.uint64(1):
                token_keys[token] = units.word_keys[np.uint64(word)]
                characters += units.word_ends[np.uint64(word + 1)] - units.word_ends[np.uint64(word)]
                word += 1
            else:
                first = start + position + place
                last = _mark_stop(data, first, stop)
                token_keys[token] = bytes_key(data, first, last)
                characters += last - first if data[np.uint64(first)] < 128 else 1
            tokens += 1
            bits &= bits - np.uint64(1)
        position += 64
    token_ends[np.uint64(tokens)] = characters
    return tokens


@kernel_step
def _mark_stop(data, first, stop):
    """Where the mark at `first`, or the run of the same ASCII mark that begins there, ends."""
    byte = data[np.uint64(first)]
    if byte >= 128:
        _, length = decode(data, first, stop)
        return first + length
    last = first + 1
    while last < stop and data[np.uint64(last)] == byte:
        last += 1
    return last
