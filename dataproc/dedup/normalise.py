"""Texts made alike before they are compared for equality: case, white space and punctuation, each by choice.

    punctuation   punctuation and symbols (general categories P*, S*) are left out
    case          each character becomes the first of its lower case (`str.lower`; only U+0130 has two)
    space         every run of white space (`str.isspace`) becomes one blank; those at the ends go

Whatever is chosen, texts are brought into NFC first: those that are canonically equivalent are one text then. All are
done in one pass, in this order, so "Hello,  World!" and "hello world" are one text under all three. Cost: about
200 MB/s a core. Memory: three times the batch's text at the most, of which the pages that are written are taken.
"""

from collections.abc import Sequence

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.canonical import to_nfc
from corpusmill.dataproc.text.unicode_tables import PUNCTUATION, SPACE, load_tables

NORMALISATIONS = ("case", "space", "punctuation")

_BLANK = np.uint8(0x20)


@kernel_part
def _write(code, out, position):
    """Writes a code point as UTF-8; returns the position after it."""
    if code < 0x80:
        out[position] = code
        return position + 1
    if code < 0x800:
        out[position] = 0xC0 | (code >> 6)
        out[position + 1] = 0x80 | (code & 0x3F)
        return position + 2
    if code < 0x10000:
        out[position] = 0xE0 | (code >> 12)
        out[position + 1] = 0x80 | ((code >> 6) & 0x3F)
        out[position + 2] = 0x80 | (code & 0x3F)
        return position + 3
    out[position] = 0xF0 | (code >> 18)
    out[position + 1] = 0x80 | ((code >> 12) & 0x3F)
    out[position + 2] = 0x80 | ((code >> 6) & 0x3F)
    out[position + 3] = 0x80 | (code & 0x3F)
    return position + 4


@kernel
def _normalise(offsets, data, classes, lower, case, space, punctuation, bounds, out):
    """Fills `out` and `bounds`, int64 (N + 1,)."""
    position = np.int64(0)
    for document in range(offsets.shape[0] - 1):
        at, stop = offsets[document], offsets[document + 1]
        begin = position
        blank = False  # white space was met since the last character that was kept
        while at < stop:
            code, length = decode(data, at, stop)
            at += length
            flags = classes[code]
            if punctuation and flags & PUNCTUATION:
                continue
            if space and flags & SPACE:
                blank = True
                continue
            if blank and position > begin:
                out[position] = _BLANK
                position += 1
            blank = False
            position = _write(np.int64(lower[code]) if case else code, out, position)
        bounds[document + 1] = position


def normalised(offsets: np.ndarray, data: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The normalised texts: (offsets int64 (N + 1,), bytes uint8).

    Args:
        offsets, data: as from `documents.text_buffers`.
        names: some of `NORMALISATIONS`.

    Raises UserError for an unknown name.
    """
    for name in names:
        if name not in NORMALISATIONS:
            raise UserError(f"unknown normalisation '{name}'", hint=f"use some of {', '.join(NORMALISATIONS)}")
    offsets, data, _ = to_nfc(offsets, data)
    tables = load_tables()
    bounds = np.zeros(len(offsets), np.int64)
    out = np.empty(3 * int(offsets[-1] - offsets[0]), np.uint8)  # a byte that is no UTF-8 becomes a U+FFFD of three
    _normalise(
        read_only(offsets, np.int64),
        read_only(data, np.uint8),
        tables.classes,
        tables.lower,
        *("case" in names, "space" in names, "punctuation" in names),
        bounds,
        out,
    )
    return bounds, out[: bounds[-1]]
