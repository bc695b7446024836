"""The stack of open elements: what opens, closes and is closed, and the blocks that end on the way.

For each entry the stack holds where the last element of its name, the last scope and the last barrier are, so that no
tag searches: each costs what it closes, and each element is closed once.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction import class_words as c
from corpusmill.dataproc.extraction import names as n
from corpusmill.dataproc.extraction.states import (
    BARRIER,
    BEFORE,
    BEYOND,
    BLOCK,
    BLOCKS,
    BOLD,
    BOLD_FROM,
    CELL,
    CELLS,
    CLASSES,
    DEEPEST,
    DEPTH,
    ELEMENT,
    ELEMENTS,
    FOREIGN,
    HIDING,
    INLINE,
    ITEM_WAITS,
    ITEMS,
    LINK_FROM,
    LINKED,
    LINKS,
    LISTS,
    MASK,
    MATH_FROM,
    OWN,
    PATH,
    PRE,
    QUOTES,
    ROW,
    ROWS,
    SCOPE,
    SHOWING,
    SPECIAL,
    STACK_COLUMNS,
    TAG,
    TOP,
)
from corpusmill.dataproc.extraction.writing import (
    BEGUN,
    BREAK,
    BREAKS,
    NOTHING,
    PENDING,
    PRE_BEGUN,
    PREFORMATTED,
    SKIPPING,
    WRITTEN,
)
from corpusmill.dataproc.kernels.compiling import kernel_step

_P, _LI, _DD, _DT, _A, _BUTTON = (n.TAGS[name] for name in ("p", "li", "dd", "dt", "a", "button"))
_TABLE, _TR, _PRE, _BR, _B, _STRONG = (n.TAGS[name] for name in ("table", "tr", "pre", "br", "b", "strong"))
_SVG, _MATH, _OL, _UL, _OPTION, _H1 = (n.TAGS[name] for name in ("svg", "math", "ol", "ul", "option", "h1"))
_H6, _BLOCKQUOTE, _TD, _TH, _CAPTION = (n.TAGS[name] for name in ("h6", "blockquote", "td", "th", "caption"))
_SECTIONS = tuple(n.TAGS[name] for name in ("tbody", "thead", "tfoot"))


@kernel_step
def _is_blank(out, begin, end):
    """Whether there is nothing in a text but white space and zero-width spaces."""
    position = begin
    while position < end:
        if out[position] > 0x20:
            if position + 2 >= end or out[position] != 0xE2 or out[position + 1] != 0x80 or out[position + 2] != 0x8B:
                return False
            position += 2
        position += 1
    return True


@kernel_step
def end_block(out, blocks, stack, state):
    """Ends the block, if there is text in it; its element is the last open one that breaks text."""
    begin = state[BEGUN]
    end = state[WRITTEN]
    top = stack[state[TOP], BLOCK]
    pre = stack[state[TOP], PRE]
    blank = _is_blank(out, begin, end)
    while end > begin and out[end - 1] <= 0x20:
        end -= 1
    if state[LINK_FROM] >= 0:
        state[LINKED] += end - min(state[LINK_FROM], end)
    if state[BOLD_FROM] >= 0:
        state[BOLD] += end - min(state[BOLD_FROM], end)
    if not blank:
        if state[BLOCKS] < len(blocks):
            block = blocks[state[BLOCKS]]
            state[BLOCKS] += 1
            block[b.BEGIN] = begin
        else:
            block = blocks[state[BLOCKS] - 1]
            begin = block[b.BEGIN]
        block[b.END] = end
        block[b.TAG] = stack[top, TAG]
        block[b.ELEMENT] = stack[top, ELEMENT]
        block[b.DEPTH] = stack[top, DEPTH]
        block[b.MASK] = stack[top, MASK] | state[INLINE]
        near = stack[top, OWN] | state[INLINE]
        if top > 0:
            above = stack[top - 1, BLOCK]
            near |= stack[above, OWN]
            if above > 0:
                near |= stack[stack[above - 1, BLOCK], OWN]
        block[b.NEAR] = near
        block[b.PATH] = stack[top, PATH]
        block[b.CLASSES] = stack[top, CLASSES]
        block[b.LINK_BYTES] = state[LINKED]
        block[b.LINKS] = state[LINKS]
        block[b.BOLD_BYTES] = state[BOLD]
        block[b.LINE_BREAKS] = state[BREAKS]
        block[b.LIST_DEPTH] = stack[top, LISTS]
        block[b.ITEM] = state[ITEM_WAITS]
        block[b.ROW] = stack[top, ROW]
        block[b.CELL_NUMBER] = stack[top, CELL]
        block[b.PRE_ELEMENT] = pre
        block[b.QUOTES] = stack[top, QUOTES]
        state[ITEM_WAITS] = 0
        if begin == state[BEGUN]:
            b.measure(out, begin, end, block)
        out[end] = 0x0A
        state[WRITTEN] = end + 1
    else:
        state[WRITTEN] = begin
    state[BEGUN] = state[WRITTEN]
    state[PENDING] = NOTHING
    state[BREAKS] = 0
    state[LINKED] = 0
    state[LINKS] = np.int64(state[LINK_FROM] >= 0)
    state[BOLD] = 0
    state[INLINE] = 0
    state[MATH_FROM] = -1
    if state[LINK_FROM] >= 0:
        state[LINK_FROM] = state[WRITTEN]
    if state[BOLD_FROM] >= 0:
        state[BOLD_FROM] = state[WRITTEN]


@kernel_step
def look_at_top(stack, state):
    """Whether text is written, and as it stands, follows from the element at the top."""
    mask = stack[state[TOP], MASK]
    state[SKIPPING] = np.int64(mask & c.GONE_BIT != 0 or (mask & c.HIDDEN_BIT != 0 and state[SHOWING] == 0))
    if mask & c.HIDDEN_BIT:
        state[HIDING] = 1
    state[PREFORMATTED] = np.int64(mask & c.PRE_BIT != 0)


@kernel_step
def close(place, out, blocks, elements, stack, last_open, state):
    """Closes all open elements from that place of the stack on."""
    if place <= 0:
        return
    if stack[state[TOP], BLOCK] >= place:
        end_block(out, blocks, stack, state)
    top = state[TOP]
    while top >= place:
        last_open[stack[top, TAG]] = stack[top, BEFORE]
        if stack[top, BLOCK] == top:
            elements[stack[top, ELEMENT], b.LAST] = state[BLOCKS]
        if n.FLAGS[stack[top, TAG]] & n.CELL:
            state[LINK_FROM] = -1
        top -= 1
    state[TOP] = top
    state[BEYOND] = 0
    if stack[top + 1, FOREIGN] >= place:
        state[MATH_FROM] = -1
    look_at_top(stack, state)


@kernel_step
def push(tag, own, classes, out, blocks, elements, stack, last_open, state):
    """Opens an element; text before it has ended if it breaks text."""
    if state[TOP] + 1 >= DEEPEST:
        state[BEYOND] += 1
        return
    flags = n.FLAGS[tag]
    top = state[TOP]
    place = top + 1
    entry = stack[place]
    for column in range(STACK_COLUMNS):
        entry[column] = stack[top, column]
    entry[TAG] = tag
    entry[BEFORE] = last_open[tag]
    last_open[tag] = place
    entry[OWN] = own
    entry[MASK] |= own
    entry[ITEMS] = 0
    if flags & n.SCOPE:
        entry[SCOPE] = place
    if flags & n.SPECIAL:
        entry[SPECIAL] = place
    if flags & n.LIST_BARRIER:
        entry[BARRIER] = place
    if entry[FOREIGN] < 0 and own & c.FOREIGN_BIT:
        entry[FOREIGN] = place
    if flags & n.BLOCK:
        entry[BLOCK] = place
        entry[DEPTH] += 1
        entry[PATH] = (entry[PATH] * 31 + tag + 1) & 0x3FFFFFFFFFFF
        entry[CLASSES] = (stack[top, CLASSES] * 7 + classes) & 0x3FFFFFFFFFFF
        if state[ELEMENTS] < len(elements):
            element = elements[state[ELEMENTS]]
            element[b.PARENT] = stack[top, ELEMENT]
            element[b.FIRST] = state[BLOCKS]
            element[b.LAST] = state[BLOCKS]
            element[b.ELEMENT_TAG] = tag
            element[b.OWN_MASK] = own
            entry[ELEMENT] = state[ELEMENTS]
            state[ELEMENTS] += 1
        if tag == _PRE:
            entry[PRE] = entry[ELEMENT]
            state[PRE_BEGUN] = 1
        elif tag == _OL or tag == _UL:
            entry[LISTS] += 1
        elif tag == _LI:
            parent = stack[top, BLOCK]
            if stack[parent, TAG] == _OL:
                stack[parent, ITEMS] += 1
                state[ITEM_WAITS] = stack[parent, ITEMS]
            else:
                state[ITEM_WAITS] = -1
        elif tag == _TR:
            state[ROWS] += 1
            entry[ROW] = state[ROWS]
        elif flags & n.CELL:
            state[CELLS] += 1
            entry[CELL] = state[CELLS]
        elif tag == _TABLE:
            entry[ROW] = 0
            entry[CELL] = 0
        elif tag == _BLOCKQUOTE:
            entry[QUOTES] += 1
    else:
        state[INLINE] |= own
    state[TOP] = place
    if own:
        look_at_top(stack, state)


@kernel_step
def close_implied(tag, flags, out, blocks, elements, stack, last_open, state):
    """Closes what a start tag ends by standing there."""
    top = state[TOP]
    scope = stack[top, SCOPE]
    if flags & n.CLOSES_P and last_open[_P] > scope and last_open[_P] > last_open[_BUTTON]:
        close(last_open[_P], out, blocks, elements, stack, last_open, state)
    if tag == _LI:
        if last_open[_LI] > stack[state[TOP], BARRIER]:
            close(last_open[_LI], out, blocks, elements, stack, last_open, state)
    elif tag == _DD or tag == _DT:
        item = max(last_open[_DD], last_open[_DT])
        if item > stack[state[TOP], BARRIER]:
            close(item, out, blocks, elements, stack, last_open, state)
    elif flags & n.HEADING:
        top = state[TOP]
        if n.FLAGS[stack[top, TAG]] & n.HEADING:
            close(top, out, blocks, elements, stack, last_open, state)
    elif tag == _BUTTON:
        if last_open[_BUTTON] > scope:
            close(last_open[_BUTTON], out, blocks, elements, stack, last_open, state)
    elif tag == _OPTION:
        if stack[state[TOP], TAG] == _OPTION:
            close(state[TOP], out, blocks, elements, stack, last_open, state)
    elif flags & n.CELL or tag == _TR or flags & n.SECTION:
        table = last_open[_TABLE]
        place = max(last_open[_TD], last_open[_TH])
        if not flags & n.CELL and last_open[_TR] > table:
            place = last_open[_TR]
        if flags & n.SECTION:
            for section in _SECTIONS:
                if last_open[section] > table:
                    place = last_open[section] if place < table else min(place, last_open[section])
        if place > table and table >= 0:
            close(place, out, blocks, elements, stack, last_open, state)


@kernel_step
def end_link(state):
    if state[LINK_FROM] >= 0:
        state[LINKED] += state[WRITTEN] - min(state[LINK_FROM], state[WRITTEN])
        state[LINK_FROM] = -1


@kernel_step
def end_bold(state):
    if state[BOLD_FROM] >= 0:
        state[BOLD] += state[WRITTEN] - min(state[BOLD_FROM], state[WRITTEN])
        state[BOLD_FROM] = -1


@kernel_step
def end_tag(tag, out, blocks, elements, stack, last_open, state):
    """An end tag: closes its element if that is open where the standard looks for it."""
    flags = n.FLAGS[tag]
    if flags & n.FORMATTING:
        if tag == _A:
            end_link(state)
        elif tag == _B or tag == _STRONG:
            end_bold(state)
        return
    if flags & (n.IGNORED | n.VOID):
        if tag == _BR:
            line_break(out, blocks, stack, state)
        return
    if state[BEYOND] > 0:
        state[BEYOND] -= 1
        if flags & n.BLOCK:
            end_block(out, blocks, stack, state)
        return
    place = last_open[tag]
    top = state[TOP]
    if flags & n.HEADING:
        for heading in range(_H1, _H6 + 1):
            place = max(place, last_open[heading])
    if tag == _TABLE or tag == _TR or flags & n.SECTION:
        open_there = place > 0 and (tag == _TABLE or place > last_open[_TABLE])
    elif flags & n.CELL or tag == _CAPTION:
        open_there = place > last_open[_TABLE]
    elif tag == _LI:
        open_there = place > stack[top, SCOPE] and place > max(last_open[_OL], last_open[_UL])
    elif flags & n.SCOPE or tag == _SVG or tag == _MATH:
        open_there = place > 0
    elif flags & n.BLOCK:
        open_there = place > stack[top, SCOPE]
    else:
        open_there = place > stack[top, SPECIAL]
    if open_there:
        close(place, out, blocks, elements, stack, last_open, state)
    elif flags & n.BLOCK:
        end_block(out, blocks, stack, state)


@kernel_step
def line_break(out, blocks, stack, state):
    """`br`: a line break, and the second of two ends the block."""
    if state[SKIPPING]:
        return
    if state[PREFORMATTED]:
        out[state[WRITTEN]] = 0x0A
        state[WRITTEN] += 1
    elif state[PENDING] == BREAK:
        end_block(out, blocks, stack, state)
    elif state[WRITTEN] > state[BEGUN]:
        state[PENDING] = BREAK
        state[BREAKS] += 1
