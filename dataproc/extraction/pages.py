"""A page as the model sees it: parsed, and its blocks as rows of numbers."""

from html import unescape
from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.extraction.blocks import BEGIN, END, TAG, WORDS
from corpusmill.dataproc.extraction.clusters import table_bits
from corpusmill.dataproc.extraction.containers import SUMS
from corpusmill.dataproc.extraction.features import FEATURES, write_features
from corpusmill.dataproc.extraction.marks import DATA, META, TITLE
from corpusmill.dataproc.extraction.names import TAG_NUMBERS, TAGS
from corpusmill.dataproc.extraction.parsing import Parsed, parse
from corpusmill.dataproc.extraction.second import SECOND, write_second

SEEN_WORDS = 5
"""A page in which no block of so many words is seen shows what it hides, as its scripts would."""


class Seen(NamedTuple):
    """A page and its numbers: `matrix` float32 (blocks, FEATURES + SECOND); the other arrays are scratch.

    `is_article`: whether the page calls itself one, by `og:type` or JSON-LD."""

    page: Parsed
    matrix: np.ndarray
    numbers: np.ndarray
    cluster_sums: np.ndarray
    sums: np.ndarray
    nearest: np.ndarray
    is_article: bool


def look_at(html: bytes, *, showing: bool = False) -> Seen:
    """A page in UTF-8, with its first features; `showing`: with what it hides."""
    page = parse(html, showing)
    if page.hiding and not showing and not (page.blocks[:, WORDS] >= SEEN_WORDS).any():
        page = parse(html, showing=True)
    count = len(page.blocks)
    bits = table_bits(count)
    kinds = _kinds(html, page)
    seen = Seen(
        page,
        np.empty((count, FEATURES + SECOND), np.float32),
        np.empty((3, count), np.int32),
        np.empty((3, count, 4), np.int64),
        np.empty((count + 1, SUMS), np.int64),
        np.empty((count, 2), np.int64),
        bool(kinds[0] == _SAID[0][1] or kinds[1] == _DATA[0][1]),
    )
    slots = np.empty(1 << bits, np.int32)
    write_features(
        kinds,
        page.blocks,
        page.elements,
        bits,
        slots,
        seen.numbers,
        seen.cluster_sums,
        seen.sums,
        seen.nearest,
        seen.matrix,
    )
    return seen


def _kinds(html: bytes, page: Parsed) -> np.ndarray:
    """float32 (3,): the kind of page by `og:type`, and by JSON-LD, 0 where it is not said or not known; and the first
    heading that stands in the page's title, -1 where there is none."""
    kinds = np.zeros(3, np.float32)
    titles = []
    for kind, begin, end, begin2, end2 in page.marks.tolist():
        if kind == TITLE:
            titles.append(html[begin : min(end, begin + _MOST_TITLE)])
        elif kind == META and html[begin:end] == b"og:title":
            titles.append(html[begin2 : min(end2, begin2 + _MOST_TITLE)])
        elif kind == META and html[begin:end].lower() == b"og:type":
            kinds[0] = next((number for word, number in _SAID if word in html[begin2:end2].lower()), 0)
        elif kind == DATA:
            data = html[begin : min(end, begin + _MOST_DATA)]
            kinds[1] = max(kinds[1], next((number for word, number in _DATA if word in data), 0))
    title = " ".join(unescape(b"\n".join(titles).decode("utf-8", "replace")).split()).encode()
    kinds[2] = _title_place(page, title)
    return kinds


def _title_place(page: Parsed, title: bytes) -> int:
    headings = np.flatnonzero(_HEADINGS[page.blocks[:, TAG]])[:_MOST_HEADINGS]
    for place in headings.tolist() if title else ():
        text = page.out[page.blocks[place, BEGIN] : page.blocks[place, END]].tobytes()
        if len(text) >= _SHORTEST_HEADING and text.replace(b"\n", b" ") in title:
            return int(place)
    return -1


_HEADINGS = np.zeros(TAG_NUMBERS, bool)
_HEADINGS[[TAGS[f"h{level}"] for level in range(1, 5)]] = True
_MOST_HEADINGS = 50
_SHORTEST_HEADING = 8
_MOST_TITLE = 1000


_SAID = ((b"article", 5), (b"blog", 4), (b"product", 3), (b"video", 2), (b"website", 1))
_DATA = (
    (b'Article"', 6),
    (b'BlogPosting"', 6),
    (b'QAPage"', 5),
    (b'DiscussionForumPosting"', 5),
    (b'Product"', 4),
    (b'CollectionPage"', 3),
    (b'ItemList"', 2),
    (b'WebSite"', 1),
)
_MOST_DATA = 1 << 16


def add_second(seen: Seen, scores: np.ndarray) -> None:
    """Fills the second features from the first model's scores, float32."""
    count = len(seen.page.blocks)
    if not count:
        return
    running, by_cluster = np.empty(count + 1, np.float64), np.empty((2, count), np.float64)
    write_second(
        scores,
        seen.page.blocks,
        seen.page.elements,
        seen.numbers,
        seen.cluster_sums,
        seen.sums,
        seen.nearest,
        running,
        by_cluster,
        np.empty(count, np.float64),
        seen.matrix,
        FEATURES,
    )
