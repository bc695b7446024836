"""Names of elements and attributes as the tokeniser looks them up, and what the HTML standard says of each element.

A name is known by its FNV-1a hash of 64 bits over lower-case letters, computed while it is read. Elements that the
standard knows have a number; all others share 64 numbers by their hash, so that an end tag finds its start tag. What
matters of an element for text is a set of flags: whether it breaks text, has content, what its tags close.
"""

import numpy as np

FNV_SEED = np.uint64(0xCBF29CE484222325)
FNV_STEP = np.uint64(0x100000001B3)

BLOCK, VOID, RAW, FORMATTING, SPECIAL, SCOPE, CLOSES_P, GONE, LIST_BARRIER, HEADING, IGNORED, CELL, SECTION = (
    1 << bit for bit in range(13)
)
"""BLOCK breaks text; RAW holds text that is neither markup nor content; FORMATTING nests by itself, and is not kept on
the stack; SPECIAL, SCOPE and CLOSES_P are the standard's terms; GONE is content that no reader sees; LIST_BARRIER ends
the search for an open list item; IGNORED tags build the page and nothing else; SECTION parts of a table."""

_FLAGS: dict[str, int] = {}


def _mark(flags: int, names: str) -> None:
    for name in names.split():
        _FLAGS[name] = _FLAGS.get(name, 0) | flags


_mark(BLOCK | SPECIAL | CLOSES_P, "address article aside blockquote center details dir div dl fieldset figcaption")
_mark(
    BLOCK | SPECIAL | CLOSES_P, "figure footer form header hgroup main menu nav ol p pre section summary ul listing xmp"
)
_mark(BLOCK | SPECIAL | CLOSES_P | HEADING, "h1 h2 h3 h4 h5 h6")
_mark(BLOCK | CLOSES_P, "dialog search")
_mark(BLOCK | SPECIAL | CLOSES_P, "li dd dt table")
_mark(BLOCK | SPECIAL | SCOPE, "caption td th object")
_mark(BLOCK | SPECIAL, "tr button")
_mark(BLOCK | SPECIAL | SECTION, "tbody thead tfoot")
_mark(BLOCK, "legend audio video canvas label-block")
_mark(SCOPE, "table marquee template")
_mark(CELL, "td th")
_mark(VOID | BLOCK | CLOSES_P, "hr")
_mark(VOID, "br img image input wbr area base basefont bgsound col embed frame keygen link meta param source track")
_mark(RAW, "script style textarea title iframe noembed noframes noscript")
_mark(FORMATTING, "a b big code em font i s small strike strong tt u nobr")
_mark(GONE | SPECIAL, "template")
_mark(GONE, "annotation-xml svg select datalist optgroup option audio video canvas object rp")
_mark(IGNORED, "html head body frameset colgroup")
_mark(0, "math annotation semantics span label time cite q sub sup mark abbr ruby rt kbd samp var picture")
_mark(0, "foreignobject ins del dfn bdi bdo data output progress meter map slot")
for _name, _flags in _FLAGS.items():
    if _flags & SPECIAL and _name not in ("address", "div", "p", "li", "dd", "dt"):
        _FLAGS[_name] |= LIST_BARRIER
del _FLAGS["label-block"]

NAMES = tuple(sorted(_FLAGS))
TAGS = {name: number for number, name in enumerate(NAMES)}
"""Numbers of the elements that are known."""
OTHERS = len(NAMES)
TAG_NUMBERS = OTHERS + 64
FLAGS = np.array([_FLAGS[name] for name in NAMES] + [0] * 64, np.int64)

ATTRIBUTES = (
    "class id href hidden style role type alt alttext encoding display itemprop rel name property content datetime"
    " aria-hidden lang xml:lang data-testid data-component data-module data-test-id start"
).split()
"""Attributes that are looked at; a name's number is its place."""
(
    CLASS, ID, HREF, HIDDEN_ATTRIBUTE, STYLE, ROLE, TYPE, ALT, ALTTEXT, ENCODING, DISPLAY, ITEMPROP, REL, NAME,
    PROPERTY, CONTENT, DATETIME, ARIA_HIDDEN, LANG, XML_LANG, DATA_TESTID, DATA_COMPONENT, DATA_MODULE, DATA_TEST_ID,
    START,
) = range(len(ATTRIBUTES))  # fmt: skip

SLOTS = 1024
SLOT_MASK = np.uint64(SLOTS - 1)


def name_key(name: str) -> np.uint64:
    """The hash of a lower-case name, as kernels compute it."""
    key = int(FNV_SEED)
    for byte in name.encode():
        key = (key ^ byte) * int(FNV_STEP) & 0xFFFFFFFFFFFFFFFF
    return np.uint64(key)


def slot_table(names: "tuple[str, ...] | list[str]") -> tuple[np.ndarray, np.ndarray]:
    """(keys, places) of a table with open addressing; a free slot has the place -1."""
    keys, places = np.zeros(SLOTS, np.uint64), np.full(SLOTS, -1, np.int64)
    for place, name in enumerate(names):
        key = name_key(name)
        slot = int(key) >> 20 & (SLOTS - 1)
        while places[slot] >= 0:
            slot = slot + 1 & (SLOTS - 1)
        keys[slot], places[slot] = key, place
    return keys, places


TAG_KEYS, TAG_PLACES = slot_table(NAMES)
ATTRIBUTE_KEYS, ATTRIBUTE_PLACES = slot_table(ATTRIBUTES)
