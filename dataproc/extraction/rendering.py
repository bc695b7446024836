"""The text of the blocks that are kept, as a reader would copy it.

A block is a line; between lines of `pre`, items of a list and rows of a table there is no blank line, between all else
there is one. Items begin with "- ", or with their number; the cells of a row stand in one line, separated by " | ",
where each of them is one block and the row is no layout. What the page draws as quotation begins with "> ".
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.kernels.compiling import kernel_in_place, kernel_step

_DEEPEST_INDENT = 8
MARK_BYTES = 2 * _DEEPEST_INDENT + 24
"""What a block may have before and behind it."""
_MOST_BARS = 8
"""For cells between two that hold text; more empty ones are not counted."""
_LONG_CELL = 400
"""A longer cell is no cell of data."""


@kernel_step
def _write_number(number, text, at):
    digits = np.int64(1)
    while number >= 10**digits:
        digits += 1
    for place in range(digits):
        text[at + digits - 1 - place] = 0x30 + number % 10
        number //= 10
    return at + digits


@kernel_step
def _is_data_row(blocks, keep, first, count):
    """Whether the row that begins at block `first` has short cells of one block each, and two or more of them."""
    row = blocks[first, b.ROW]
    cell = np.int64(-1)
    cells = np.int64(0)
    place = first
    while place < count and blocks[place, b.ROW] == row:
        if keep[place]:
            if blocks[place, b.CELL_NUMBER] == cell or blocks[place, b.CHARACTERS] > _LONG_CELL:
                return False
            cell = blocks[place, b.CELL_NUMBER]
            cells += 1
        place += 1
    return cells > 1


@kernel_step
def _separator(last, block, data_row, text, at):
    """What stands between two blocks that are kept: a line break, two, or a bar for each cell from one to the next."""
    if data_row and last[b.ROW] == block[b.ROW]:
        for _ in range(min(block[b.CELL_NUMBER] - last[b.CELL_NUMBER], _MOST_BARS)):
            text[at] = 0x20
            text[at + 1] = 0x7C
            at += 2
        text[at] = 0x20
        return at + 1
    text[at] = 0x0A
    near = block[b.PRE_ELEMENT] >= 0 and last[b.PRE_ELEMENT] == block[b.PRE_ELEMENT]
    near |= block[b.ITEM] != 0 and last[b.LIST_DEPTH] > 0
    near |= block[b.ROW] > 0 and last[b.ROW] > 0 and block[b.CELL_NUMBER] > 0
    if near:
        return at + 1
    text[at + 1] = 0x0A
    return at + 2


@kernel_in_place
def write_kept(out, blocks, keep, text):
    """Writes the blocks of which `keep` bool (N,) is true into `text`; gives how many bytes that is."""
    at = np.int64(0)
    last = np.int64(-1)
    row = np.int64(-1)
    data_row = False
    count = np.int64(len(blocks))
    for place in range(count):
        if not keep[place]:
            continue
        block = blocks[place]
        if block[b.ROW] != row:
            row = block[b.ROW]
            data_row = row > 0 and _is_data_row(blocks, keep, np.int64(place), count)
        if last >= 0:
            at = _separator(blocks[last], block, data_row, text, at)
        if not (data_row and last >= 0 and blocks[last, b.ROW] == row):
            if block[b.ITEM] != 0:
                for _ in range(2 * min(max(block[b.LIST_DEPTH] - 1, 0), _DEEPEST_INDENT)):
                    text[at] = 0x20
                    at += 1
                if block[b.ITEM] > 0:
                    at = _write_number(block[b.ITEM], text, at)
                    text[at] = 0x2E
                else:
                    text[at] = 0x2D
                text[at + 1] = 0x20
                at += 2
            elif block[b.QUOTES] > 0 and block[b.PRE_ELEMENT] < 0:
                text[at] = 0x3E
                text[at + 1] = 0x20
                at += 2
        for position in range(block[b.BEGIN], block[b.END]):
            text[at] = out[position]
            at += 1
        last = np.int64(place)
    return at


def render(out: np.ndarray, blocks: np.ndarray, keep: np.ndarray) -> str:
    """The text of the blocks that are kept; "" if there are none."""
    size = int((blocks[keep, b.END] - blocks[keep, b.BEGIN] + MARK_BYTES).sum())
    text = np.empty(size, np.uint8)
    written = write_kept(out, blocks, keep, text)
    return text[:written].tobytes().decode("utf-8", "replace")
