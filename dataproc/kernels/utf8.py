"""UTF-8, a character at a time."""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_in_place

REPLACEMENT = 0xFFFD


@kernel_in_place
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
