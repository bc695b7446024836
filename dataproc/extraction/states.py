"""Where the parser keeps what it knows: the places of its state, and the columns of the stack of open elements."""

from corpusmill.dataproc.extraction.writing import WRITING_STATES

DEEPEST = 512
MOST_BLOCKS = 1 << 17
(
    TOP, BEYOND, BLOCKS, ELEMENTS, MARKS, LINK_FROM, BOLD_FROM, LINKED, LINKS, BOLD, INLINE, ITEM_WAITS, ROWS, CELLS,
    SHOWING, MATH_FROM, HIDING, MATH_WAITS,
) = range(WRITING_STATES, WRITING_STATES + 18)  # fmt: skip
STATES = WRITING_STATES + 18

(
    TAG, BEFORE, SCOPE, SPECIAL, BARRIER, ELEMENT, MASK, OWN, PATH, CLASSES, BLOCK, ITEMS, ROW, CELL, PRE, DEPTH, LISTS,
    FOREIGN, QUOTES,
) = range(19)  # fmt: skip
"""Columns of the stack. BEFORE is the place of the last open element of the same tag; SCOPE, SPECIAL, BARRIER, BLOCK
and FOREIGN are places of the last open element of that kind, this one included, -1 where there is none."""
STACK_COLUMNS = 19
