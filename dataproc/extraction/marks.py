"""What a page says of itself, marked while it is read: places of titles, of `meta`, of addresses, dates and JSON-LD."""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction import names as n
from corpusmill.dataproc.extraction.markup import byte_word, stands
from corpusmill.dataproc.extraction.states import MARKS
from corpusmill.dataproc.kernels.compiling import kernel_step

MOST_MARKS = 256
TITLE, META, LINK, PAGE_LANGUAGE, DATA, TIME = range(6)
"""Kinds of marks: (kind, begin, end, begin of the second, its end)."""
_META, _LINK, _HTML, _TIME = (n.TAGS[name] for name in ("meta", "link", "html", "time"))
_CANONICAL = byte_word("canonical")

WANTED_META = (
    "author article:author dc.creator dcterms.creator parsely-author sailthru.author byl citation_author og:title"
    " og:type twitter:title dc.title citation_title headline og:url article:published_time"
    " datepublished date dc.date dc.date.issued"
    " dcterms.created dcterms.date parsely-pub-date sailthru.date pubdate publishdate publish-date publication_date"
    " citation_publication_date og:article:published_time"
).split()
_META_KEYS = np.sort(np.array([n.name_key(name) for name in WANTED_META], np.uint64))


@kernel_step
def mark(marks, state, kind, begin, end, begin2, end2):
    """Keeps a mark, if there is room for it."""
    if state[MARKS] < len(marks):
        row = marks[state[MARKS]]
        row[0] = kind
        row[1] = begin
        row[2] = end
        row[3] = begin2
        row[4] = end2
        state[MARKS] += 1


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
def head_element(data, tag, values, marks, state):
    """Marks what a page says of itself."""
    if tag == _META:
        for place in (n.PROPERTY, n.NAME, n.ITEMPROP):
            begin = values[place, 0]
            end = values[place, 1]
            if begin >= 0 and values[n.CONTENT, 0] >= 0 and _is_wanted(data, begin, end):
                mark(marks, state, META, begin, end, values[n.CONTENT, 0], values[n.CONTENT, 1])
                return
    elif tag == _LINK:
        if values[n.REL, 0] >= 0 and values[n.HREF, 0] >= 0:
            if stands(data, values[n.REL, 0], values[n.REL, 1], _CANONICAL):
                mark(marks, state, LINK, values[n.HREF, 0], values[n.HREF, 1], np.int64(0), np.int64(0))
    elif tag == _HTML:
        for place in (n.LANG, n.XML_LANG):
            if values[place, 0] >= 0:
                mark(marks, state, PAGE_LANGUAGE, values[place, 0], values[place, 1], np.int64(0), np.int64(0))
                return
    elif tag == _TIME and values[n.DATETIME, 0] >= 0 and state[MARKS] < len(marks) // 2:  # room for what comes after
        mark(marks, state, TIME, values[n.DATETIME, 0], values[n.DATETIME, 1], np.int64(0), np.int64(0))
