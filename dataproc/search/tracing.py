"""Where a passage comes from: its longest stretches that stand in an index, the rarest first (OLMoTrace's question).

A stretch is maximal: with the word before or after it, it occurs nowhere in the index. It has a least number of words;
a word is what stands between white space, and in scripts without spaces a letter with its marks.

In a segment, stretches are found from left to right by searches backwards, from the end of a window of the least number
of words to its beginning. A search that ends early says that no stretch goes across the place where it ended, so the
next window begins behind it: text that is not there is passed over in leaps. Where a whole window occurs, its end is
pushed on by doubling and halving. Cost: about a step of a search for each byte of a passage that is not there, and
logarithmically many for each byte of one that is.

Then every segment is asked once more, for how often it holds what the others found, and a few for documents. Liu et
al., OLMoTrace, 2025, has the question; Li, BWT construction and search at the terabase scale, 2024, has leaps by a
least length.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from unicodedata import category

import numpy as np

from corpusmill.dataproc.search.index import Hit, SearchIndex, hits
from corpusmill.dataproc.search.segment import Rows, Segment
from corpusmill.dataproc.text.unicode_tables import UNSPACED, load_tables


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of a passage that stands in the index.

    Attributes:
        start, end: where it is in the passage's UTF-8, in bytes.
        text: what it says.
        words: how many words.
        occurrences: in the whole index.
        hits: some of them.
    """

    start: int
    end: int
    text: str
    words: int
    occurrences: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What an index holds of a passage.

    Attributes:
        words: of the passage.
        covered: words of it that lie in a stretch.
        stretches: the rarest first, of equally rare ones the longest.
    """

    words: int
    covered: int
    stretches: tuple[Stretch, ...] = field(default=())


def trace_passage(index: SearchIndex, passage: str, words: int, documents: int) -> Trace:
    """The maximal stretches of a passage that stand in an index.

    Args:
        words: the least number of words of a stretch; a passage of fewer is looked for as a whole.
        documents: occurrences that are named for each stretch.
    """
    places = word_places(passage)
    words = min(words, len(places))
    if not words:
        return Trace(words=0, covered=0)
    text = passage.encode()
    spans: set[tuple[int, int]] = set()
    for matches in index.ask(lambda segment: maximal_spans(segment, text, places, words)):
        spans.update(matches)
    kept = without_contained(spans)
    named = _count(index, text, places, kept, documents)
    covered = np.zeros(len(places), np.bool_)
    for first, last in kept:
        covered[first:last] = True
    ordered = sorted(named, key=lambda stretch: (stretch.occurrences, stretch.start - stretch.end, stretch.start))
    return Trace(words=len(places), covered=int(covered.sum()), stretches=tuple(ordered))


def word_places(passage: str) -> np.ndarray:
    """Where each word begins and ends in the passage's UTF-8 (int64 of shape (words, 2))."""
    classes, _ = load_tables()
    places: list[list[int]] = []
    byte, in_word, alone = 0, False, False
    for character in passage:
        size = len(character.encode())
        if character.isspace():
            in_word = False
        elif in_word and category(character).startswith("M"):
            places[-1][1] = byte + size
        else:
            unspaced = bool(classes[ord(character)] & UNSPACED)
            if in_word and not alone and not unspaced:
                places[-1][1] = byte + size
            else:
                places.append([byte, byte + size])
            in_word, alone = True, unspaced
        byte += size
    return np.array(places, np.int64).reshape(-1, 2)


def maximal_spans(segment: Segment, text: bytes, places: np.ndarray, words: int) -> list[tuple[int, int]]:
    """(first word, word after the last) of the spans of at least so many words that occur in a segment and are part of
    no longer one that does.

    Args:
        places: of `word_places`.
    """
    pattern = segment.encoded(text)
    starts, ends = places[:, 0].tolist(), places[:, 1].tolist()
    count = len(starts)

    def first_word(first: int, after: int) -> int:
        """The first word, `first` at least, from which the text up to the end of word `after - 1` occurs."""
        begin, end = starts[first], ends[after - 1]
        left, _ = segment.extend(pattern[begin:end], end - begin, segment.all_rows())
        return bisect_left(starts, begin + left)

    spans: list[tuple[int, int]] = []
    first, after = 0, words
    while first + words <= count:
        after = max(after, first + words)
        reached = first_word(first, after)
        if reached > first:
            first = reached
            continue
        step, failing = words, count + 1
        while after < count and failing > count:
            tried = min(count, after + step)
            if first_word(first, tried) > first:
                failing = tried
            else:
                after, step = tried, 2 * step
        while failing <= count and failing - after > 1:
            tried = (after + failing) // 2
            if first_word(first, tried) > first:
                failing = tried
            else:
                after = tried
        spans.append((first, after))
        if after == count:
            break
        after += 1
        first = first_word(first, after)
    return spans


def without_contained(spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that lie in no other, in order."""
    kept: list[tuple[int, int]] = []
    for first, last in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or last > kept[-1][1]:
            kept.append((first, last))
    return kept


def _count(
    index: SearchIndex, text: bytes, places: np.ndarray, spans: Sequence[tuple[int, int]], documents: int
) -> list[Stretch]:
    """The stretches of spans, each counted in every segment, with the first of its documents."""
    if not spans:
        return []
    bounds = [(int(places[first, 0]), int(places[last - 1, 1])) for first, last in spans]
    rows = list(index.ask(lambda segment: [segment.rows(text[start:end]) for start, end in bounds]))
    named = _first_hits(index, rows, [end - start for start, end in bounds], documents)
    return [
        Stretch(
            start=start,
            end=end,
            text=text[start:end].decode(),
            words=last - first,
            occurrences=sum(len(of_segment[number]) for of_segment in rows),
            hits=tuple(named[number]),
        )
        for number, ((first, last), (start, end)) in enumerate(zip(spans, bounds, strict=True))
    ]


def _first_hits(
    index: SearchIndex, rows: Sequence[Sequence[Rows]], lengths: Sequence[int], most: int
) -> list[list[Hit]]:
    """The first occurrences of each stretch; opens the segments that have them.

    Args:
        rows: by segment and stretch.
        lengths: bytes of each stretch.
        most: occurrences of a stretch.
    """
    named: list[list[Hit]] = [[] for _ in lengths]
    for number, of_segment in enumerate(rows):
        wanted = [at for at, ranges in enumerate(of_segment) if len(ranges) and len(named[at]) < most]
        if not wanted:
            continue
        with index.open(number) as segment:
            for at in wanted:
                low = of_segment[at].low
                taken = Rows(low, min(of_segment[at].high, low + most - len(named[at])))
                named[at].extend(hit for _, hit in hits(segment, taken, lengths[at]))
    return named
