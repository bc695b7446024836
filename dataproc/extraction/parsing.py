"""A page's bytes to blocks of text and the elements around them, in one pass, without a tree.

Tags are mended as the HTML standard says, where it matters for text: what a start tag closes (paragraphs, items, rows,
cells, headings, options), what an end tag may close and where its search ends, links that nest in nothing, markup that
ends a picture left open. The stack of open elements is `DEEPEST` high; what nests deeper is read, and belongs to the
element at the top. For each element the stack holds where the last one of its name, the last scope and the last barrier
are, so that no tag searches: each costs what it closes, and each element is closed once.

Left out: elements that the standard moves in front of a table, and formatting elements as elements (a link counts from
its start tag to the next `a` or `/a`).

Memory: the page's bytes and a quarter for text; 240 bytes a block and 40 an element, of which there are at most
`MOST_BLOCKS` each: text beyond belongs to the last block.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction import class_words as c
from corpusmill.dataproc.extraction import names as n
from corpusmill.dataproc.extraction.formulas import (
    annotation,
    is_display,
    write_formula,
)
from corpusmill.dataproc.extraction.marks import (
    DATA,
    MOST_MARKS,
    TITLE,
    head_element,
    mark,
)
from corpusmill.dataproc.extraction.markup import (
    behind_bogus,
    behind_comment,
    byte_word,
    end_of_raw,
    hash_of,
    number_of,
    read_attributes,
    read_name,
    stands,
    tag_of,
    words_of,
)
from corpusmill.dataproc.extraction.stack import (
    close,
    close_implied,
    end_block,
    end_link,
    end_tag,
    line_break,
    push,
)
from corpusmill.dataproc.extraction.states import (
    BARRIER,
    BLOCKS,
    BOLD_FROM,
    DEEPEST,
    ELEMENTS,
    FOREIGN,
    HIDING,
    INLINE,
    ITEMS,
    LINK_FROM,
    LINKS,
    MARKS,
    MASK,
    MATH_FROM,
    MATH_WAITS,
    MOST_BLOCKS,
    PRE,
    SCOPE,
    SHOWING,
    STACK_COLUMNS,
    STATES,
    TAG,
    TOP,
)
from corpusmill.dataproc.extraction.writing import (
    BEGUN,
    NOTHING,
    PENDING,
    SKIPPING,
    WRITTEN,
    write_text,
)
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

_A, _B, _STRONG, _SCRIPT, _BR, _IMG, _OL = (n.TAGS[name] for name in ("a", "b", "strong", "script", "br", "img", "ol"))
_TITLE, _META, _LINK, _HTML, _TIME = (n.TAGS[name] for name in ("title", "meta", "link", "html", "time"))
_SVG, _MATH, _ANNOTATION, _BLOCKQUOTE, _BODY = (
    n.TAGS[name] for name in ("svg", "math", "annotation", "blockquote", "body")
)
_CODE = c.PRE_BIT | c.BIT["CODE"]
"""Where names of line numbers mean them: elsewhere a gutter is a matter of layout."""

_ENCLOSING = np.zeros(n.TAG_NUMBERS, np.int64)
for _name, _bit in c.ENCLOSING.items():
    if _name in n.TAGS:
        _ENCLOSING[n.TAGS[_name]] = _bit
for _names, _kind in (
    ("ul ol menu dir", "list"), ("h1 h2 h3 h4 h5 h6", "heading"), ("listing xmp", "pre"),
    ("fieldset label legend", "label"),
):  # fmt: skip
    for _name in _names.split():
        if _name in n.TAGS:
            _ENCLOSING[n.TAGS[_name]] |= c.ENCLOSING[_kind]
_TEX, _DISPLAY, _TRUE, _LD = map(byte_word, ("math/tex", "display", "true", "application/ld+json"))
_LATEX, _UNTIL = map(byte_word, ("latex", "until-found"))


class Parsed(NamedTuple):
    """Blocks, elements and marks of a page, the text `out` that blocks are places in, and whether it hides anything."""

    out: np.ndarray
    blocks: np.ndarray
    elements: np.ndarray
    marks: np.ndarray
    hiding: bool


@kernel_step
def _raw_element(data, tag, key, position, values, out, marks, state, stack):
    """An element whose content is not markup, which begins at `position`; gives the position behind its end tag."""
    stop = np.int64(len(data))
    end = end_of_raw(data, position, stop, key, tag == _SCRIPT)
    if tag == _TITLE:
        mark(marks, state, TITLE, position, end, np.int64(0), np.int64(0))
    elif tag == _SCRIPT and values[n.TYPE, 0] >= 0:
        if stands(data, values[n.TYPE, 0], values[n.TYPE, 1], _TEX):
            display = False
            for at in range(values[n.TYPE, 0] + len(_TEX), min(values[n.TYPE, 1], values[n.TYPE, 0] + 40)):
                display |= stands(data, at, values[n.TYPE, 1], _DISPLAY)
            if not stack[state[TOP], MASK] & c.GONE_BIT:
                write_formula(data, position, end, np.int64(display), out, state)
        elif stands(data, values[n.TYPE, 0], values[n.TYPE, 1], _LD):
            mark(marks, state, DATA, position, end, np.int64(0), np.int64(0))
    return behind_bogus(data, end, stop)


@kernel_step
def _own_mask(data, tag, enclosing, values):
    """(mask, hash of the classes) of an element: what its names say, what it encloses, whether it is seen."""
    own = np.int64(0)
    classes = np.int64(0)
    for place in _NAMING:
        if values[place, 0] >= 0:
            own |= words_of(data, values[place, 0], values[place, 1])
    own &= ~np.int64(c.STYLE_HIDDEN)
    if values[n.CLASS, 0] >= 0:
        classes = hash_of(data, values[n.CLASS, 0], values[n.CLASS, 1])
    own |= _ENCLOSING[tag]
    if own & c.RENDERED or n.FLAGS[tag] & n.GONE or (own & c.LINE_NUMBERS and enclosing & _CODE):
        own |= c.GONE_BIT
    if values[n.STYLE, 0] >= 0 and words_of(data, values[n.STYLE, 0], values[n.STYLE, 1]) & c.STYLE_HIDDEN:
        own |= c.HIDDEN_BIT
    if values[n.HIDDEN_ATTRIBUTE, 0] >= 0:
        if not stands(data, values[n.HIDDEN_ATTRIBUTE, 0], values[n.HIDDEN_ATTRIBUTE, 1], _UNTIL):
            own |= c.HIDDEN_BIT
    if values[n.ARIA_HIDDEN, 0] >= 0 and stands(data, values[n.ARIA_HIDDEN, 0], values[n.ARIA_HIDDEN, 1], _TRUE):
        own |= c.ARIA_BIT
    if tag == _SVG or tag == _MATH:
        own |= c.FOREIGN_BIT
    if tag == _MATH:
        own |= c.MATH_BIT
    return own, classes


_NAMING = (n.CLASS, n.ID, n.ROLE, n.ITEMPROP, n.NAME, n.DATA_TESTID, n.DATA_COMPONENT, n.DATA_MODULE, n.DATA_TEST_ID)


@kernel_step
def _blank_waits(state):
    """The bytes of white space that the next character will write before itself."""
    return np.int64(state[PENDING] != NOTHING and state[WRITTEN] > state[BEGUN])


@kernel_step
def _formatting(data, tag, values, state):
    """Links and bold text, which are not elements here."""
    if tag == _A:
        end_link(state)
        if values[n.HREF, 0] >= 0:
            state[LINK_FROM] = state[WRITTEN] + _blank_waits(state)
            state[LINKS] += 1
        if values[n.CLASS, 0] >= 0:
            state[INLINE] |= words_of(data, values[n.CLASS, 0], values[n.CLASS, 1])
        if values[n.REL, 0] >= 0:
            state[INLINE] |= words_of(data, values[n.REL, 0], values[n.REL, 1])
    elif tag == _B or tag == _STRONG:
        if state[BOLD_FROM] < 0:
            state[BOLD_FROM] = state[WRITTEN] + _blank_waits(state)


@kernel_step
def _start_tag(data, position, key, values, out, blocks, elements, marks, stack, last_open, state):
    """A start tag, whose name ends at `position`; gives the position behind it, or behind what it holds."""
    stop = np.int64(len(data))
    tag = tag_of(key)
    position, closed = read_attributes(data, position, stop, values)
    if position > stop:
        return stop
    flags = n.FLAGS[tag]
    foreign = stack[state[TOP], FOREIGN]
    if foreign >= 0:
        if flags & n.BLOCK:
            close(foreign, out, blocks, elements, stack, last_open, state)
            closed = False
        elif closed:
            return position
        elif tag == _ANNOTATION:
            return annotation(data, position, values, out, state)
    if flags & n.RAW and (stack[state[TOP], FOREIGN] < 0 or tag == _SCRIPT):
        return _raw_element(data, tag, key, position, values, out, marks, state, stack)
    if tag == _META or tag == _LINK or tag == _HTML or tag == _TIME:
        head_element(data, tag, values, marks, state)
    if flags & n.IGNORED:
        return position
    if flags & n.FORMATTING:
        _formatting(data, tag, values, state)
        return position
    if flags & n.BLOCK:
        close_implied(tag, flags, out, blocks, elements, stack, last_open, state)
        end_block(out, blocks, stack, state)
    if flags & n.VOID:
        if tag == _BR:
            line_break(out, blocks, stack, state)
        elif tag == _IMG and values[n.ALT, 0] >= 0 and values[n.CLASS, 0] >= 0:
            if stands(data, values[n.CLASS, 0], values[n.CLASS, 1], _LATEX) and not state[SKIPPING]:
                write_formula(data, values[n.ALT, 0], values[n.ALT, 1], np.int64(0), out, state)
        return position
    own, classes = _own_mask(data, tag, stack[state[TOP], MASK], values)
    if tag == _MATH and not closed:
        state[MATH_FROM] = -1
        if values[n.ALTTEXT, 0] >= 0 and not stack[state[TOP], MASK] & c.GONE_BIT:
            write_formula(data, values[n.ALTTEXT, 0], values[n.ALTTEXT, 1], is_display(data, values), out, state)
            own |= c.GONE_BIT
        else:
            state[MATH_FROM] = state[WRITTEN]
            state[MATH_WAITS] = state[PENDING]
    if tag == _BLOCKQUOTE or not (closed and foreign >= 0):
        push(tag, own, classes, out, blocks, elements, stack, last_open, state)
    if tag == _OL and values[n.START, 0] >= 0 and stack[state[TOP], TAG] == _OL:
        stack[state[TOP], ITEMS] = max(number_of(data, values[n.START, 0], values[n.START, 1]) - 1, 0)
    return position


@kernel
def parse_page(data, showing, out, blocks, elements, marks, stack, last_open, values, state):
    """Reads a page; `state` has BLOCKS, ELEMENTS and MARKS at the end. `showing`: hidden text is read, too."""
    state[:] = 0
    state[SHOWING] = showing
    state[LINK_FROM] = -1
    state[BOLD_FROM] = -1
    state[MATH_FROM] = -1
    last_open[:] = -1
    stack[0, :] = 0
    stack[0, SCOPE : BARRIER + 1] = 0
    stack[0, FOREIGN] = -1
    stack[0, PRE] = -1
    stack[0, TAG] = _BODY
    elements[0, :] = 0
    elements[0, b.PARENT] = -1
    state[ELEMENTS] = 1
    stop = np.int64(len(data))
    position = np.int64(0)
    while position < stop:
        begin = position
        while position < stop and data[position] != 0x3C:
            position += 1
        if position > begin:
            write_text(data, begin, position, out, state)
        if position >= stop:
            break
        following = data[position + 1] if position + 1 < stop else np.uint8(0)
        if 0x61 <= (following | 0x20) <= 0x7A:
            key, end = read_name(data, position + 1, stop)
            position = _start_tag(data, end, key, values, out, blocks, elements, marks, stack, last_open, state)
        elif following == 0x2F and position + 2 < stop:
            letter = data[position + 2] | 0x20
            if 0x61 <= letter <= 0x7A:
                key, end = read_name(data, position + 2, stop)
                end, _ = read_attributes(data, end, stop, values)
                if end <= stop:
                    end_tag(tag_of(key), out, blocks, elements, stack, last_open, state)
                position = min(end, stop)
            else:
                position = behind_bogus(data, position + 2, stop)
        elif following == 0x21:
            position = behind_comment(data, position, stop)
        elif following == 0x3F:
            position = behind_bogus(data, position + 1, stop)
        else:
            write_text(data, position, position + 1, out, state)
            position += 1
    end_block(out, blocks, stack, state)
    while state[TOP] > 0:
        close(state[TOP], out, blocks, elements, stack, last_open, state)
    elements[0, b.LAST] = state[BLOCKS]


def parse(html: bytes, showing: bool = False) -> Parsed:
    """The blocks, elements and marks of a page in UTF-8."""
    data = np.frombuffer(html, np.uint8)
    rows = min(int(np.count_nonzero(data == 0x3C)) + 2, MOST_BLOCKS)
    out = np.empty(len(data) + len(data) // 4 + 64, np.uint8)
    blocks = np.empty((rows, b.BLOCK_COLUMNS), np.int64)
    elements = np.empty((rows, b.ELEMENT_COLUMNS), np.int64)
    marks = np.empty((MOST_MARKS, 5), np.int64)
    stack = np.empty((DEEPEST, STACK_COLUMNS), np.int64)
    last_open = np.empty(n.TAG_NUMBERS, np.int64)
    values = np.empty((len(n.ATTRIBUTES), 2), np.int64)
    state = np.empty(STATES, np.int64)
    parse_page(data, int(showing), out, blocks, elements, marks, stack, last_open, values, state)
    return Parsed(out, blocks[: state[BLOCKS]], elements[: state[ELEMENTS]], marks[: state[MARKS]], bool(state[HIDING]))
