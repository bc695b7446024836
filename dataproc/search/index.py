"""A search index: segments that are asked in turn, and what they say together.

Each thread has one segment open at a time, so memory is that of a few segments (`segment.py`), however large the index
is, and a query takes time in proportion to the number of segments. Everything is exact: counts are of all occurrences,
overlapping ones included, and a damaged segment is an error. Answers do not depend on the number of threads.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.search.case_variants import variants
from corpusmill.dataproc.search.record_cache import CACHE_BYTES
from corpusmill.dataproc.search.segment import Rows, Segment

THREADS = 2
"""That ask segments side by side, unless somebody says otherwise; each has memory for its segment."""

LOCATED_AT_A_TIME = 1 << 16
MOST_VARIANTS = 1 << 14

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Query:
    """What is looked for: a string of any script, and whether case matters."""

    text: str
    ignore_case: bool = False

    def __post_init__(self) -> None:
        if not self.text:
            raise UserError("the text to search for is empty", hint="give a text")


@dataclass(frozen=True, kw_only=True)
class Count:
    """How often a string occurs, and in how many documents (None where that was not asked)."""

    occurrences: int
    documents: int | None = None


@dataclass(frozen=True, kw_only=True)
class Hit:
    """An occurrence: the document's id and source, and where it begins and ends in the document's text, in bytes."""

    id: str
    source: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Context:
    """An occurrence and the text around it, of its document."""

    hit: Hit
    before: str
    text: str
    after: str


class SearchIndex:
    """An index over the segments at these paths or URLs, asked by so many threads."""

    def __init__(self, segments: Sequence[str], threads: int = THREADS, cache_bytes: int = CACHE_BYTES) -> None:
        self.paths = list(segments)
        self._threads = threads
        self._cache_bytes = cache_bytes

    def open(self, number: int) -> Segment:
        """A segment by its number."""
        return Segment(self.paths[number], self._cache_bytes)

    def ask(self, question: Callable[[Segment], Answer]) -> Iterator[Answer]:
        """What a function says of each segment, in their order."""

        def answer(number: int) -> Answer:
            with self.open(number) as segment:
                return question(segment)

        if self._threads == 1 or len(self.paths) < 2:
            yield from map(answer, range(len(self.paths)))
            return
        with ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(answer, range(len(self.paths)))

    def count(self, query: Query, documents: bool = False) -> Count:
        """How often it occurs.

        Args:
            documents: also in how many documents, for which every occurrence is located (80 microseconds each).
        """

        def counts(segment: Segment) -> tuple[int, int]:
            ranges = rows_of(segment, query)
            return sum(map(len, ranges)), count_documents(segment, ranges) if documents else 0

        occurrences = in_documents = 0
        for here, documents_here in self.ask(counts):
            occurrences += here
            in_documents += documents_here
        return Count(occurrences=occurrences, documents=in_documents if documents else None)

    def find(self, query: Query, limit: int) -> list[Hit]:
        """The first `limit` occurrences in the order of the index: by segment, then by the text that follows."""
        return [hit for _, _, hit in self._hits(query, limit)]

    def contexts(self, query: Query, limit: int, around: int) -> list[Context]:
        """As `find`, with `around` bytes of text on both sides, less where the document begins or ends."""
        return [_context(segment, begin, hit, around) for segment, begin, hit in self._hits(query, limit)]

    def _hits(self, query: Query, limit: int) -> Iterator[tuple[Segment, int, Hit]]:
        """(segment, where the document begins in its text, occurrence)."""
        left = limit
        length = len(query.text.encode())
        for number in range(len(self.paths)):
            with self.open(number) as segment:
                for rows in rows_of(segment, query):
                    taken = Rows(rows.low, min(rows.high, rows.low + left))
                    left -= len(taken)
                    for begin, hit in hits(segment, taken, length):
                        yield segment, begin, hit
            if not left:
                return


def hits(segment: Segment, rows: Rows, length: int) -> list[tuple[int, Hit]]:
    """(where the document begins in the segment's text, occurrence) of each row, in the order of the text."""
    occurrences = []
    for position in np.sort(segment.positions(rows)).tolist():
        document = segment.document(position)
        start = position - document.start
        occurrences.append(
            (document.start, Hit(id=document.id, source=document.source, start=start, end=start + length))
        )
    return occurrences


def rows_of(segment: Segment, query: Query) -> list[Rows]:
    """The rows that begin with what is looked for, in disjoint ranges."""
    if not query.ignore_case:
        rows = segment.rows(query.text.encode())
        return [rows] if len(rows) else []
    ranges = [segment.all_rows()]
    for character in reversed(query.text):
        longer = []
        for variant in variants(character):
            pattern = segment.encoded(variant)
            for rows in ranges:
                left, extended = segment.extend(pattern, len(pattern), rows)
                if not left:
                    longer.append(extended)
        if len(longer) > MOST_VARIANTS:
            raise UserError(
                f"this occurs in more than {MOST_VARIANTS:,} spellings of upper and lower case",
                where=query.text,
                hint="search without --ignore-case",
            )
        ranges = sorted(longer, key=lambda rows: rows.low)
    return ranges


def count_documents(segment: Segment, ranges: Sequence[Rows]) -> int:
    """In how many documents rows lie. Memory: a bit a document of the segment, and the positions of 65,536 rows."""
    seen = np.zeros(segment.directory.documents, np.bool_)
    for rows in ranges:
        for low in range(rows.low, rows.high, LOCATED_AT_A_TIME):
            some = Rows(low, min(rows.high, low + LOCATED_AT_A_TIME))
            seen[segment.document_numbers(segment.positions(some))] = True
    return int(np.count_nonzero(seen))


def _context(segment: Segment, begin: int, hit: Hit, around: int) -> Context:
    document = segment.document(begin)
    start, end = begin + hit.start, begin + hit.end
    first, last = max(begin, start - around), min(document.stop, end + around)
    text = segment.text(first, last)
    before, after = text[: start - first], text[end - first :]
    return Context(
        hit=hit,
        before=_without_torn_start(before).decode("utf-8", "replace"),
        text=text[start - first : end - first].decode("utf-8", "replace"),
        after=after.decode("utf-8", "ignore"),
    )


def _without_torn_start(text: bytes) -> bytes:
    """Without the bytes that continue a character whose beginning was cut off."""
    start = 0
    while start < len(text) and text[start] & 0xC0 == 0x80:
        start += 1
    return text[start:]
