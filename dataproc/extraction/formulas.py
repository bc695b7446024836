"""Formulas as TeX: what MathML, its annotations, scripts and pictures hold of it, between signs of the dollar."""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction import names as n
from corpusmill.dataproc.extraction.markup import byte_word, stands
from corpusmill.dataproc.extraction.states import (
    MATH_FROM,
    MATH_WAITS,
)
from corpusmill.dataproc.extraction.writing import (
    BEGUN,
    NOTHING,
    PENDING,
    SKIPPING,
    WRITTEN,
    write_byte,
    write_text,
)
from corpusmill.dataproc.kernels.compiling import kernel_step

MOST_FORMULA_BYTES = 1 << 16
_BLOCK_WORD, _X_TEX = byte_word("block"), byte_word("application/x-tex")


@kernel_step
def write_formula(data, begin, end, display, out, state):
    """A formula's TeX between signs of the dollar."""
    while begin < end and data[begin] <= 0x20:
        begin += 1
    while end > begin and data[end - 1] <= 0x20:
        end -= 1
    if begin >= end or end - begin > MOST_FORMULA_BYTES:
        return
    skipping = state[SKIPPING]
    state[SKIPPING] = 0
    for _ in range(1 + display):
        write_byte(np.uint8(0x24), out, state)
    write_text(data, begin, end, out, state)
    state[PENDING] = NOTHING
    for _ in range(1 + display):
        write_byte(np.uint8(0x24), out, state)
    state[SKIPPING] = skipping


@kernel_step
def is_display(data, values):
    place = values[n.DISPLAY, 0]
    return np.int64(place >= 0 and stands(data, place, values[n.DISPLAY, 1], _BLOCK_WORD))


@kernel_step
def annotation(data, position, values, out, state):
    """An annotation of a formula, up to the next end tag, gives the position there.

    TeX takes the place of the formula's own text; other annotations are left out.
    """
    stop = np.int64(len(data))
    end = position
    while end < stop and not (data[end] == 0x3C and end + 1 < stop and data[end + 1] == 0x2F):
        end += 1
    if values[n.ENCODING, 0] >= 0 and stands(data, values[n.ENCODING, 0], values[n.ENCODING, 1], _X_TEX):
        if state[MATH_FROM] >= state[BEGUN]:
            state[WRITTEN] = state[MATH_FROM]
            state[PENDING] = state[MATH_WAITS]
            write_formula(data, position, end, np.int64(0), out, state)
        state[MATH_FROM] = -1
    return end
