"""Marks of citations as an encyclopaedia has them: `[1]`, `[]`, `[edit]`, `[citation needed]`.

The definition is the expression `\\[\\d*]|\\[edit]|\\[citation needed]` of C4 (and datatrove, and DCLM): found from
left to right, each once, so that "[[1]2]" leaves "[2]". A digit is any of general category Nd, as for Python's `\\d`:
Arabic, Bengali and Burmese pages number their notes in their own.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_in_place, kernel_step
from corpusmill.dataproc.kernels.utf8 import decode

# fmt: off
ZEROS = (
    0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0,
    0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620,
    0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0,
    0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60,
    0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
)
# fmt: on
"""The zero of each set of decimal digits (Unicode 14); the other nine follow it."""

_ZEROS = np.array(ZEROS, np.int64)
_OPEN, _CLOSE = 0x5B, 0x5D
_EDIT = np.frombuffer(b"[edit]", np.uint8)
_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@kernel_step
def _begins(data, position, stop, word):
    if position + word.shape[0] > stop:
        return False
    for place in range(word.shape[0]):  # noqa: SIM110 - numba compiles no generator expression
        if data[position + place] != word[place]:
            return False
    return True


@kernel_step
def citation_bytes(data, position, stop):
    """Bytes of the mark that begins with the `[` at `position`, or 0."""
    if _begins(data, position, stop, _EDIT):
        return np.int64(_EDIT.shape[0])
    if _begins(data, position, stop, _NEEDED):
        return np.int64(_NEEDED.shape[0])
    place = position + 1
    while place < stop:
        code, length = decode(data, place, stop)
        if code == _CLOSE:
            return place + 1 - position
        zero = 0
        while zero < _ZEROS.size and (code < _ZEROS[zero] or code >= _ZEROS[zero] + 10):
            zero += 1
        if zero == _ZEROS.size:
            return np.int64(0)
        place += length
    return np.int64(0)


@kernel_step
def copy_bytes(data, start, stop, out, position, citations):
    """Copies data[start:stop] to `out` at `position`, forwards; returns (position after it, marks left out).

    `citations` says whether marks are copied, too. One function for both, and for all copies of this package: each loop
    that a kernel has is compiled anew in it.
    """
    count = np.int64(0)
    while start < stop:
        byte = data[np.uint64(start)]
        if byte == _OPEN and not citations:
            skipped = citation_bytes(data, start, stop)
            if skipped:
                start += skipped
                count += 1
                continue
        out[np.uint64(position)] = byte
        position += 1
        start += 1
    return position, count


@kernel_in_place
def remove_citations(offsets, data, spared, bounds, out, counts):
    """Writes all texts without marks to `out`; fills `bounds` (N + 1,) and `counts` (N,), both int64."""
    position = np.int64(0)
    for document in range(offsets.shape[0] - 1):
        row = np.uint64(document)
        position, counts[row] = copy_bytes(data, offsets[row], offsets[row + 1], out, position, spared[row] != 0)
        bounds[row + 1] = position
