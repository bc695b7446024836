"""What is kept of a block of text, of an element and of a mark: the columns of the parser's tables.

A block is a run of text between tags that break it. Its numbers are counted in one pass over its own bytes, when it
ends. A word is a run of letters and digits; in scripts that write no blanks two characters count as one.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction.names import FNV_SEED, FNV_STEP
from corpusmill.dataproc.kernels.compiling import kernel_step

(
    BEGIN, END, TAG, ELEMENT, DEPTH, MASK, NEAR, PATH, CLASSES, LINK_BYTES, LINKS, BOLD_BYTES, LINE_BREAKS, LIST_DEPTH,
    ITEM, ROW, CELL_NUMBER, PRE_ELEMENT, QUOTES, WORDS, CHARACTERS, SENTENCES, COMMAS, DIGITS, CAPITALS, SHORT, SIGNS,
    LAST_KIND, FIRST_KIND, HASH,
) = range(30)  # fmt: skip
"""Columns of `blocks`. ITEM: 0, or -1 for the first block of an item of a list, or the number of a numbered one.
LAST_KIND and FIRST_KIND say what the text ends and begins with: 1 the end of a sentence, 2 a comma, 3 a digit,
4 a capital, 5 a colon, 6 an ellipsis, 0 what else."""
BLOCK_COLUMNS = 30

PARENT, FIRST, LAST, ELEMENT_TAG, OWN_MASK = range(5)
"""Columns of `elements`: FIRST and LAST are the blocks inside of it, LAST excluded."""
ELEMENT_COLUMNS = 5

_OTHER, _LETTER, _CAPITAL, _DIGIT, _STOP, _COMMA, _SIGN, _COLON = range(8)
_KIND = np.zeros(256, np.uint8)
_KIND[97:123] = _LETTER
_KIND[65:91] = _CAPITAL
_KIND[48:58] = _DIGIT
_KIND[[0x21, 0x2E, 0x3F]] = _STOP
_KIND[0x2C] = _COMMA
_KIND[[0x3A, 0x3B]] = _COLON
_KIND[[0x7C, 0x2F, 0x3E, 0x40, 0x23, 0x5F, 0x7B, 0x7D, 0x3D, 0x2B, 0x2A, 0x24]] = _SIGN
_KIND[0x80:] = _LETTER
_ENDS = np.zeros(8, np.int64)
_ENDS[[_STOP, _COMMA, _DIGIT, _CAPITAL, _COLON]] = (1, 2, 3, 4, 5)


@kernel_step
def _is_cut(out, begin, end):
    """Whether a text ends with an ellipsis, of one character or of three dots, in brackets or not."""
    if end - begin > 3 and out[end - 1] == 0x5D:
        end -= 1
    if end - begin < 3:
        return False
    if out[end - 1] == 0x2E:
        return out[end - 2] == 0x2E and out[end - 3] == 0x2E
    return out[end - 1] == 0xA6 and out[end - 2] == 0x80 and out[end - 3] == 0xE2


@kernel_step
def measure(out, begin, end, block):
    """Counts the text out[begin:end] into the columns WORDS to HASH of a block."""
    words = np.int64(0)
    characters = np.int64(0)
    sentences = np.int64(0)
    commas = np.int64(0)
    digits = np.int64(0)
    capitals = np.int64(0)
    short = np.int64(0)
    signs = np.int64(0)
    wide = np.int64(0)
    run = np.int64(0)
    key = FNV_SEED
    last = np.int64(0)
    for position in range(begin, end):
        byte = out[position]
        key = (key ^ np.uint64(byte)) * FNV_STEP
        kind = _KIND[byte]
        if byte & 0xC0 != 0x80:
            characters += 1
        if 1 <= kind <= 3:
            run += 1
            capitals += kind == _CAPITAL
            digits += kind == _DIGIT
            if 0xE3 <= byte <= 0xE9:
                wide += 1
                if byte == 0xE3 and position + 2 < end and out[position + 1] == 0x80:
                    sentences += out[position + 2] == 0x82
                    commas += out[position + 2] == 0x81
            elif byte == 0xEF and position + 2 < end and out[position + 1] == 0xBC:
                commas += out[position + 2] == 0x8C
                sentences += out[position + 2] == 0x81 or out[position + 2] == 0x9F
        else:
            if run:
                words += 1
                short += run <= 3
                run = np.int64(0)
            sentences += kind == _STOP
            commas += kind == _COMMA
            signs += kind == _SIGN
        if byte > 0x20:
            last = np.int64(kind)
    if run:
        words += 1
        short += run <= 3
    block[WORDS] = max(words, wide // 2)
    block[CHARACTERS] = characters
    block[SENTENCES] = sentences
    block[COMMAS] = commas
    block[DIGITS] = digits
    block[CAPITALS] = capitals
    block[SHORT] = short
    block[SIGNS] = signs
    block[LAST_KIND] = 6 if _is_cut(out, begin, end) else _ENDS[last]
    block[FIRST_KIND] = _ENDS[_KIND[out[begin]]]
    block[HASH] = np.int64(key >> np.uint64(2))
