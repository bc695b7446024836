"""A cheap look at a page before it is parsed: what nests too deep, or has too many attributes, for any parser.

Parsers of HTML follow a standard that has them walk the stack of open elements at most tags, and compare each attribute
with those before it: time grows with the square of both. 40,000 nested `div` (440 KB) took resiliparse 17 seconds, a
tag with 300,000 attributes more than two minutes; at the limits here it is a fifth of a second. No page that was
written for people comes near them. What passes and is slow all the same is the watch's to end (`dataproc.watching`).

Cost: a count of tags and where they end; an earlier, dearer form took 3 % of what resiliparse then takes. Only a page
with more tags than `MOST_DEEP`, or with `LONG_TAG` bytes in which no tag ends, is looked at tag by tag.
"""

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

MOST_TAGS = 6_000_000
"""What our own extractor reads in two seconds; 60 MB of a table of figures has fewer. Others are slower by far: what
takes them too long is the watch's to end."""
MOST_DEEP = 4096
MOST_ATTRIBUTES = 4096
MOST_ROOTS = 256
"""Tags of `html` and of `body`: the attributes of all of them end up on one element."""
LONG_TAG = 2 * MOST_ATTRIBUTES

CLOSED_BY_THE_NEXT = frozenset(
    "area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr "  # noqa: SIM905 - void elements
    "caption colgroup dd dt li optgroup option p rb rp rt rtc tbody td tfoot th thead tr html head body".split()
)
"""Elements that end by themselves, so that many without end tags do not nest."""
RAW_TEXT = frozenset(("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"))
FORMATTING = frozenset(["b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"])
"""Elements that parsers open again after whatever closed them: they are kept in a list, at most three alike."""
MOST_ALIKE = 3
_TAG = re.compile(r"<(?:(!--)|(/?)([a-z][^\s/>]*))")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


def refusal(html: str) -> str | None:
    """Why a page should not be given to a parser; None for nearly all."""
    if reason := too_many_tags(html):
        return reason
    many = html.count("<") > MOST_DEEP
    long = _has_long_tag(html)
    if not many and not long:
        return None
    lowered = html.lower()
    if long and _has_many_attributes(lowered):
        return f"a tag with more than {MOST_ATTRIBUTES:,} attributes"
    if many and any(lowered.count(f"<{root}") > MOST_ROOTS for root in ("html", "body")):
        return f"more than {MOST_ROOTS} tags of html or body"
    if many and _nests_deeper(lowered, MOST_DEEP):
        return f"elements nested, or left open, more than {MOST_DEEP:,} deep"
    return None


def too_many_tags(html: str) -> str | None:
    """Why a page has more tags than any extractor should be given; None for nearly all."""
    return f"more than {MOST_TAGS:,} tags" if html.count("<") > MOST_TAGS else None


def _has_long_tag(html: str) -> bool:
    """Whether there may be a tag with very many attributes: somewhere no tag ends for long."""
    data = np.frombuffer(html.encode("utf-8", "surrogatepass"), np.uint8)
    ends = np.flatnonzero(data == ord(">"))
    return int(np.diff(ends, prepend=-1, append=len(data)).max()) > LONG_TAG


def _tags(lowered: str) -> Iterator[re.Match[str]]:
    """Tags of a page in order, but for those inside comments and scripts."""
    at = 0
    while tag := _TAG.search(lowered, at):
        at = tag.end()
        comment, closing, name = tag.groups()
        if not comment:
            yield tag
        if comment or (name in RAW_TEXT and not closing):
            at = lowered.find("-->" if comment else f"</{name}", at)
            if at < 0:
                return


def _has_many_attributes(lowered: str) -> bool:
    last = 0
    for tag in _tags(lowered):
        if tag.start() < last:
            continue
        last = lowered.find(">", tag.end())
        last = len(lowered) if last < 0 else last
        if last - tag.start() > LONG_TAG:
            bare = _QUOTED.sub("", lowered[tag.start() : last])
            if max(len(bare.split()), bare.count("="), bare.count("/")) > MOST_ATTRIBUTES:
                return True
    return False


def _nests_deeper(lowered: str, limit: int) -> bool:
    """Whether more elements than `limit` are open at some place, or more different ones of formatting are left open.
    One pass: each element is opened and closed once."""
    stack: list[str] = []
    formatting = _Formatting()
    is_open = Counter[str]()
    for tag in _tags(lowered):
        _, closing, name = tag.groups()
        if name in FORMATTING:
            if closing:
                formatting.close(name)
            else:
                formatting.open(name, lowered[tag.start() : tag.start() + LONG_TAG].partition(">")[0])
        elif closing:
            while is_open[name]:
                last = stack.pop()
                is_open[last] -= 1
                if last == name:
                    break
        elif name not in CLOSED_BY_THE_NEXT:
            stack.append(name)
            is_open[name] += 1
        if max(len(stack), formatting.size) > limit:
            return True
    return False


class _Formatting:
    """The formatting elements that were opened and not closed, alike ones counted up to three times."""

    def __init__(self) -> None:
        self.size = 0
        self._tags: dict[str, list[str]] = {}
        self._alike = Counter[str]()

    def open(self, name: str, tag: str) -> None:
        self._tags.setdefault(name, []).append(tag)
        self._alike[tag] += 1
        self.size += self._alike[tag] <= MOST_ALIKE

    def close(self, name: str) -> None:
        if tags := self._tags.get(name):
            tag = tags.pop()
            self.size -= self._alike[tag] <= MOST_ALIKE
            self._alike[tag] -= 1
