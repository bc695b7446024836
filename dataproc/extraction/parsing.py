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

# ruff: noqa: SIM102, SIM109, SIM110, SIM905 - plain comparisons and loops are what numba compiles best

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction import class_words as c
from corpusmill.dataproc.extraction import names as n
from corpusmill.dataproc.extraction.markup import (
    behind_bogus,
    behind_comment,
    end_of_raw,
    hash_of,
    read_attributes,
    read_name,
    stands,
    tag_of,
    words_of,
)
from corpusmill.dataproc.extraction.writing import (
    BEGUN,
    BLANK,
    BREAK,
    BREAKS,
    NOTHING,
    PENDING,
    PRE_BEGUN,
    PREFORMATTED,
    SKIPPING,
    WRITING_STATES,
    WRITTEN,
    write_byte,
    write_text,
)
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

DEEPEST = 512
MOST_BLOCKS = 1 << 18
MOST_MARKS = 256

(
    TOP, BEYOND, BLOCKS, ELEMENTS, MARKS, LINK_FROM, BOLD_FROM, LINKED, LINKS, BOLD, INLINE, ITEM_WAITS, ROWS, CELLS,
    SHOWING, MATH_FROM, HEADLINE,
) = range(WRITING_STATES, WRITING_STATES + 17)  # fmt: skip
STATES = WRITING_STATES + 17

(
    TAG, BEFORE, SCOPE, SPECIAL, BARRIER, ELEMENT, MASK, OWN, PATH, CLASSES, BLOCK, ITEMS, ROW, CELL, PRE, DEPTH, LISTS,
    FOREIGN, QUOTES,
) = range(19)  # fmt: skip
"""Columns of the stack. BEFORE is the place of the last open element of the same tag; SCOPE, SPECIAL, BARRIER, BLOCK
and FOREIGN are places of the last open element of that kind, this one included, -1 where there is none."""
STACK_COLUMNS = 19

TITLE, META, LINK, PAGE_LANGUAGE, DATA, TIME = range(6)
"""Kinds of marks: (kind, begin, end, begin of the second, its end)."""

_P, _LI, _DD, _DT, _A, _BUTTON = (n.TAGS[name] for name in ("p", "li", "dd", "dt", "a", "button"))
_TABLE, _TR, _PRE, _SCRIPT, _BR, _HR = (n.TAGS[name] for name in ("table", "tr", "pre", "script", "br", "hr"))
_TITLE, _META, _LINK, _HTML, _B, _STRONG = (n.TAGS[name] for name in ("title", "meta", "link", "html", "b", "strong"))
_SVG, _MATH, _ANNOTATION, _IMG, _OL, _UL = (n.TAGS[name] for name in ("svg", "math", "annotation", "img", "ol", "ul"))
_OPTION, _TIME, _H1, _H6, _BLOCKQUOTE, _TD = (
    n.TAGS[name] for name in ("option", "time", "h1", "h6", "blockquote", "td")
)
_TH, _CAPTION, _SELECT, _BODY = (n.TAGS[name] for name in ("th", "caption", "select", "body"))
_HIDDEN_HARD = c.LINE_NUMBERS | c.RENDERED

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

WANTED_META = (
    "author article:author dc.creator dcterms.creator parsely-author sailthru.author byl citation_author og:title"
    " twitter:title dc.title headline og:url article:published_time datepublished date dc.date dc.date.issued"
    " dcterms.created dcterms.date parsely-pub-date sailthru.date pubdate publishdate publish-date publication_date"
    " citation_publication_date og:article:published_time"
).split()


def _word(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


_TEX, _DISPLAY, _BLOCK_WORD, _TRUE = map(_word, ("math/tex", "display", "block", "true"))
_LD, _CANONICAL, _X_TEX, _LATEX, _UNTIL = map(
    _word, ("application/ld+json", "canonical", "application/x-tex", "latex", "until-found")
)


class Parsed(NamedTuple):
    """Blocks, elements and marks of a page, and the text `out` that blocks are places in."""

    out: np.ndarray
    blocks: np.ndarray
    elements: np.ndarray
    marks: np.ndarray


@kernel_step
def _end_block(out, blocks, stack, state):
    """Ends the block, if there is text in it; its element is the last open one that breaks text."""
    begin = state[BEGUN]
    end = state[WRITTEN]
    top = stack[state[TOP], BLOCK]
    pre = stack[state[TOP], PRE]
    blank = True
    for position in range(begin, end):
        if out[position] > 0x20:
            blank = False
            break
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
    if state[LINK_FROM] >= 0:
        state[LINK_FROM] = state[WRITTEN]
    if state[BOLD_FROM] >= 0:
        state[BOLD_FROM] = state[WRITTEN]


@kernel_step
def _look_at_top(stack, state):
    """Whether text is written, and as it stands, follows from the element at the top."""
    mask = stack[state[TOP], MASK]
    state[SKIPPING] = np.int64(mask & c.GONE_BIT != 0 or (mask & c.HIDDEN_BIT != 0 and state[SHOWING] == 0))
    state[PREFORMATTED] = np.int64(mask & c.PRE_BIT != 0)


@kernel_step
def _close(place, out, blocks, elements, stack, last_open, state):
    """Closes all open elements from that place of the stack on."""
    if place <= 0:
        return
    if stack[state[TOP], BLOCK] >= place:
        _end_block(out, blocks, stack, state)
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
    _look_at_top(stack, state)


@kernel_step
def _push(tag, own, classes, out, blocks, elements, stack, last_open, state):
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
        _look_at_top(stack, state)


@kernel_step
def _close_implied(tag, flags, out, blocks, elements, stack, last_open, state):
    """Closes what a start tag ends by standing there."""
    top = state[TOP]
    scope = stack[top, SCOPE]
    if flags & n.CLOSES_P and last_open[_P] > scope and last_open[_P] > last_open[_BUTTON]:
        _close(last_open[_P], out, blocks, elements, stack, last_open, state)
    if tag == _LI:
        if last_open[_LI] > stack[state[TOP], BARRIER]:
            _close(last_open[_LI], out, blocks, elements, stack, last_open, state)
    elif tag == _DD or tag == _DT:
        item = max(last_open[_DD], last_open[_DT])
        if item > stack[state[TOP], BARRIER]:
            _close(item, out, blocks, elements, stack, last_open, state)
    elif flags & n.HEADING:
        top = state[TOP]
        if n.FLAGS[stack[top, TAG]] & n.HEADING:
            _close(top, out, blocks, elements, stack, last_open, state)
    elif tag == _BUTTON:
        if last_open[_BUTTON] > scope:
            _close(last_open[_BUTTON], out, blocks, elements, stack, last_open, state)
    elif tag == _OPTION:
        if stack[state[TOP], TAG] == _OPTION:
            _close(state[TOP], out, blocks, elements, stack, last_open, state)
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
            _close(place, out, blocks, elements, stack, last_open, state)


_SECTIONS = tuple(n.TAGS[name] for name in ("tbody", "thead", "tfoot"))


@kernel_step
def _end_link(state):
    if state[LINK_FROM] >= 0:
        state[LINKED] += state[WRITTEN] - min(state[LINK_FROM], state[WRITTEN])
        state[LINK_FROM] = -1


@kernel_step
def _end_bold(state):
    if state[BOLD_FROM] >= 0:
        state[BOLD] += state[WRITTEN] - min(state[BOLD_FROM], state[WRITTEN])
        state[BOLD_FROM] = -1


@kernel_step
def _end_tag(tag, out, blocks, elements, stack, last_open, state):
    """An end tag: closes its element if that is open where the standard looks for it."""
    flags = n.FLAGS[tag]
    if flags & n.FORMATTING:
        if tag == _A:
            _end_link(state)
        elif tag == _B or tag == _STRONG:
            _end_bold(state)
        return
    if flags & (n.IGNORED | n.VOID):
        if tag == _BR:
            _line_break(out, blocks, stack, state)
        return
    if state[BEYOND] > 0:
        state[BEYOND] -= 1
        if flags & n.BLOCK:
            _end_block(out, blocks, stack, state)
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
        _close(place, out, blocks, elements, stack, last_open, state)
    elif flags & n.BLOCK:
        _end_block(out, blocks, stack, state)


@kernel_step
def _line_break(out, blocks, stack, state):
    """`br`: a line break, and the second of two ends the block."""
    if state[SKIPPING]:
        return
    if state[PREFORMATTED]:
        out[state[WRITTEN]] = 0x0A
        state[WRITTEN] += 1
    elif state[PENDING] == BREAK:
        _end_block(out, blocks, stack, state)
    elif state[WRITTEN] > state[BEGUN]:
        state[PENDING] = BREAK
        state[BREAKS] += 1


@kernel_step
def _write_formula(data, begin, end, display, out, state):
    """A formula's TeX between signs of the dollar."""
    while begin < end and data[begin] <= 0x20:
        begin += 1
    while end > begin and data[end - 1] <= 0x20:
        end -= 1
    if begin >= end or end - begin > 1 << 16:
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
def _mark(marks, state, kind, begin, end, begin2, end2):
    if state[MARKS] < len(marks):
        mark = marks[state[MARKS]]
        mark[0] = kind
        mark[1] = begin
        mark[2] = end
        mark[3] = begin2
        mark[4] = end2
        state[MARKS] += 1


_META_KEYS = np.sort(np.array([n.name_key(name) for name in WANTED_META], np.uint64))


@kernel_step
def _is_wanted(data, begin, end):
    key = n.FNV_SEED
    if end - begin > 40:
        return False
    for position in range(begin, end):
        byte = data[position]
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        key = (key ^ np.uint64(byte)) * n.FNV_STEP
    for wanted in _META_KEYS:
        if wanted == key:
            return True
    return False


@kernel_step
def _head_element(data, tag, values, marks, state):
    """Marks what a page says of itself."""
    if tag == _META:
        for place in (n.PROPERTY, n.NAME, n.ITEMPROP):
            begin = values[place, 0]
            end = values[place, 1]
            if begin >= 0 and values[n.CONTENT, 0] >= 0 and _is_wanted(data, begin, end):
                _mark(marks, state, META, begin, end, values[n.CONTENT, 0], values[n.CONTENT, 1])
                return
    elif tag == _LINK:
        if values[n.REL, 0] >= 0 and values[n.HREF, 0] >= 0:
            if stands(data, values[n.REL, 0], values[n.REL, 1], _CANONICAL):
                _mark(marks, state, LINK, values[n.HREF, 0], values[n.HREF, 1], np.int64(0), np.int64(0))
    elif tag == _HTML:
        for place in (n.LANG, n.XML_LANG):
            if values[place, 0] >= 0:
                _mark(marks, state, PAGE_LANGUAGE, values[place, 0], values[place, 1], np.int64(0), np.int64(0))
                return
    elif tag == _TIME and values[n.DATETIME, 0] >= 0:
        _mark(marks, state, TIME, values[n.DATETIME, 0], values[n.DATETIME, 1], np.int64(0), np.int64(0))


@kernel_step
def _raw_element(data, tag, key, position, values, out, marks, state, stack):
    """An element whose content is no markup, which begins at `position`; gives the position behind its end tag."""
    stop = np.int64(len(data))
    end = end_of_raw(data, position, stop, key, tag == _SCRIPT)
    if tag == _TITLE:
        _mark(marks, state, TITLE, position, end, np.int64(0), np.int64(0))
    elif tag == _SCRIPT and values[n.TYPE, 0] >= 0:
        if stands(data, values[n.TYPE, 0], values[n.TYPE, 1], _TEX):
            display = False
            for at in range(values[n.TYPE, 0] + len(_TEX), min(values[n.TYPE, 1], values[n.TYPE, 0] + 40)):
                display |= stands(data, at, values[n.TYPE, 1], _DISPLAY)
            if not stack[state[TOP], MASK] & c.GONE_BIT:
                _write_formula(data, position, end, np.int64(display), out, state)
        elif stands(data, values[n.TYPE, 0], values[n.TYPE, 1], _LD):
            _mark(marks, state, DATA, position, end, np.int64(0), np.int64(0))
    return behind_bogus(data, end, stop)


@kernel_step
def _own_mask(data, tag, values):
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
    if own & _HIDDEN_HARD or n.FLAGS[tag] & n.GONE:
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
    """Links and bold text, which are no elements here."""
    if tag == _A:
        _end_link(state)
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
            _close(foreign, out, blocks, elements, stack, last_open, state)
            closed = False
        elif closed:
            return position
        elif tag == _ANNOTATION and values[n.ENCODING, 0] >= 0 and state[MATH_FROM] >= 0:
            return _annotation(data, position, key, values, out, state)
    if flags & n.RAW and (stack[state[TOP], FOREIGN] < 0 or tag == _SCRIPT):
        return _raw_element(data, tag, key, position, values, out, marks, state, stack)
    if tag == _META or tag == _LINK or tag == _HTML or tag == _TIME:
        _head_element(data, tag, values, marks, state)
    if flags & n.IGNORED:
        return position
    if flags & n.FORMATTING:
        _formatting(data, tag, values, state)
        return position
    if flags & n.BLOCK:
        _close_implied(tag, flags, out, blocks, elements, stack, last_open, state)
        _end_block(out, blocks, stack, state)
    if flags & n.VOID:
        if tag == _BR:
            _line_break(out, blocks, stack, state)
        elif tag == _IMG and values[n.ALT, 0] >= 0 and values[n.CLASS, 0] >= 0:
            if stands(data, values[n.CLASS, 0], values[n.CLASS, 1], _LATEX) and not state[SKIPPING]:
                _write_formula(data, values[n.ALT, 0], values[n.ALT, 1], np.int64(0), out, state)
        return position
    own, classes = _own_mask(data, tag, values)
    if tag == _MATH and not closed:
        if values[n.ALTTEXT, 0] >= 0 and not stack[state[TOP], MASK] & c.GONE_BIT:
            _write_formula(data, values[n.ALTTEXT, 0], values[n.ALTTEXT, 1], _is_display(data, values), out, state)
            own |= c.GONE_BIT
        else:
            state[MATH_FROM] = state[WRITTEN]
    if tag == _BLOCKQUOTE or not (closed and foreign >= 0):
        _push(tag, own, classes, out, blocks, elements, stack, last_open, state)
    return position


@kernel_step
def _is_display(data, values):
    place = values[n.DISPLAY, 0]
    return np.int64(place >= 0 and stands(data, place, values[n.DISPLAY, 1], _BLOCK_WORD))


@kernel_step
def _annotation(data, position, key, values, out, state):
    """An annotation of a formula: where it is TeX, it takes the place of the formula's own text."""
    stop = np.int64(len(data))
    end = end_of_raw(data, position, stop, key, False)
    if stands(data, values[n.ENCODING, 0], values[n.ENCODING, 1], _X_TEX) and state[MATH_FROM] >= state[BEGUN]:
        state[WRITTEN] = state[MATH_FROM]
        if state[WRITTEN] > state[BEGUN] and out[state[WRITTEN] - 1] > 0x20:
            state[PENDING] = BLANK if state[PENDING] else NOTHING
        _write_formula(data, position, end, np.int64(0), out, state)
    state[MATH_FROM] = -1
    return behind_bogus(data, end, stop)


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
                    _end_tag(tag_of(key), out, blocks, elements, stack, last_open, state)
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
    _end_block(out, blocks, stack, state)
    while state[TOP] > 0:
        _close(state[TOP], out, blocks, elements, stack, last_open, state)
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
    return Parsed(out, blocks[: state[BLOCKS]], elements[: state[ELEMENTS]], marks[: state[MARKS]])
