"""A segment that is asked: how often a string occurs, where, in which documents, and what stands around it.

Memory: the directory, `cache_bytes` of records, and 12 bytes for each row that is located at a time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
import zstandard

from corpusmill.dataproc.search import steps
from corpusmill.dataproc.search.record_cache import CACHE_BYTES, RecordCache
from corpusmill.dataproc.search.records import RECORD
from corpusmill.dataproc.search.segment_file import (
    CONTEXT_EVERY,
    LARGEST_TEXT,
    PAGE_DOCUMENTS,
    PAGE_ROWS,
    Directory,
    RangeReader,
    damaged,
    read_directory,
    sample_width,
    unpacked_names,
)


@dataclass(frozen=True)
class Rows:
    """The rows of a string: `low` to `high`, one an occurrence."""

    low: int
    high: int

    def __len__(self) -> int:
        return self.high - self.low


@dataclass(frozen=True)
class Document:
    """A document of a segment: its number there, id and source, and where its text begins and ends in the segment's."""

    number: int
    id: str
    source: str
    start: int
    stop: int


class Segment:
    """An open segment, a context manager.

    Raises UserError, whatever is asked of it, where the file is damaged.
    """

    def __init__(self, path: str, cache_bytes: int = CACHE_BYTES) -> None:
        self._reader = RangeReader(path)
        try:
            self.directory: Directory = read_directory(self._reader)
            self._set_up(cache_bytes)
        except BaseException:
            self._reader.close()
            raise

    def _set_up(self, cache_bytes: int) -> None:
        directory = self.directory
        if not _adds_up(directory):
            raise damaged(self._reader.path, "its counts do not add up")
        arrays = directory.arrays
        self._records = RecordCache(self._reader, directory, cache_bytes)
        self._alphabet = np.frombuffer(directory.alphabet, np.uint8)
        self._symbols = np.full(256, steps.ABSENT, np.uint8)
        self._symbols[self._alphabet] = np.arange(len(self._alphabet))
        self._firsts = np.concatenate([[1], 1 + np.cumsum(arrays["symbol_counts"].astype(np.int64))])
        self._seen = np.zeros(256, np.int64)
        self._rows_place = int(arrays["record_sizes"].sum(dtype=np.int64))
        row_bytes = 4 * (directory.text_bytes // CONTEXT_EVERY + 1)
        self._name_places = self._rows_place + row_bytes + np.concatenate([[0], np.cumsum(arrays["name_sizes"])])
        self._page: tuple[int, Any] = (-1, None)

    def __enter__(self) -> "Segment":
        return self

    def __exit__(self, *details: object) -> None:
        self._reader.close()

    @property
    def reads(self) -> int:
        """Records that were read until now."""
        return self._records.reads

    def encoded(self, text: bytes) -> np.ndarray:
        """A string as the segment's symbols."""
        return self._symbols[np.frombuffer(text, np.uint8)]

    def all_rows(self) -> Rows:
        """The rows of the empty string."""
        return Rows(0, self.directory.text_bytes + 1)

    def extend(self, pattern: np.ndarray, index: int, rows: Rows) -> tuple[int, Rows]:
        """Takes the symbols before `index` as long as the pattern occurs: (how many are left, rows of what occurs).

        Args:
            pattern: of `encoded`.
            rows: of pattern[index:].
        """
        records, low, high = self._records, rows.low, rows.high
        while True:
            index, low, high, record = steps.extend(
                records.data,
                records.starts,
                records.stops,
                self._firsts,
                self.directory.primary,
                pattern,
                index,
                low,
                high,
            )
            if record < 0:
                return index, Rows(low, high)
            records.load(record)

    def rows(self, text: bytes) -> Rows:
        """The rows of a string, none where it does not occur."""
        pattern = self.encoded(text)
        left, rows = self.extend(pattern, len(pattern), self.all_rows())
        return Rows(0, 0) if left else rows

    def positions(self, rows: Rows) -> np.ndarray:
        """Where the text of each row begins (int64, in the order of the rows)."""
        records = self._records
        indices = np.arange(rows.low, rows.high)
        taken = np.zeros(len(indices), np.int64)
        every, done = self.directory.locate_every, 0
        width, rice = sample_width(self.directory.text_bytes, every), every.bit_length() - 1
        while True:
            done, record = steps.locate(
                records.data,
                records.starts,
                records.stops,
                self._firsts,
                self.directory.primary,
                rice,
                width,
                indices,
                taken,
                done,
                self._seen,
            )
            if record < 0:
                break
            records.load(record)
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.directory.text_bytes:
            raise damaged(self._reader.path, "it points outside the text")
        return indices

    def text(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of the segment's text."""
        sampled = -(-stop // CONTEXT_EVERY) * CONTEXT_EVERY
        if sampled > self.directory.text_bytes:
            row, sampled = 0, self.directory.text_bytes
        else:
            row = self._sampled_row(sampled // CONTEXT_EVERY)
        symbols, index, records = np.zeros(sampled - start, np.uint8), sampled - start, self._records
        while True:
            row, index, record = steps.extract(
                records.data,
                records.starts,
                records.stops,
                self._firsts,
                self.directory.primary,
                row,
                symbols,
                index,
                self._seen,
            )
            if record < 0:
                return self._alphabet[symbols[: stop - start]].tobytes()
            records.load(record)

    def _sampled_row(self, number: int) -> int:
        """The row of text position `number * CONTEXT_EVERY`."""
        page = number // PAGE_ROWS
        rows = self.directory.text_bytes // CONTEXT_EVERY + 1
        size = 4 * min(PAGE_ROWS, rows - page * PAGE_ROWS)
        content = self._reader.read(self._rows_place + 4 * page * PAGE_ROWS, size)
        if xxhash.xxh3_64_intdigest(content) != int(self.directory.arrays["row_checksums"][page]):
            raise damaged(self._reader.path, f"the checksum of page {page} of its rows is wrong")
        row = int(np.frombuffer(content, "<u4")[number % PAGE_ROWS])
        return min(row, self.directory.text_bytes)

    def document_numbers(self, positions: np.ndarray) -> np.ndarray:
        """Distinct numbers of the documents that positions lie in, sorted; reads the page of each."""
        starts = self.directory.arrays["name_starts"].astype(np.int64)
        ordered = np.sort(positions)
        pages = np.searchsorted(starts, ordered, "right") - 1
        numbers = []
        for page in np.unique(pages).tolist():
            begins, _, _ = self._names(page)
            within = ordered[pages == page]
            numbers.append(np.unique(np.searchsorted(begins, within, "right") - 1) + page * PAGE_DOCUMENTS)
        return np.concatenate(numbers) if numbers else np.zeros(0, np.int64)

    def document(self, position: int) -> Document:
        """The document that a position of the text lies in."""
        firsts = self.directory.arrays["name_starts"]
        page = int(np.searchsorted(firsts, position, "right")) - 1
        starts, ids, sources = self._names(page)
        row = int(np.searchsorted(starts, position, "right")) - 1
        if row + 1 < len(starts):
            after = int(starts[row + 1])
        else:
            after = int(firsts[page + 1]) if page + 1 < len(firsts) else self.directory.text_bytes
        number = page * PAGE_DOCUMENTS + row
        return Document(number, ids[row], sources[row], int(starts[row]), after - 1)

    def _names(self, page: int) -> tuple[np.ndarray, list[str], list[str]]:
        """A page of names; the last one that was read is kept."""
        if self._page[0] != page:
            start, stop = (int(place) for place in self._name_places[page : page + 2])
            content = self._reader.read(start, stop - start)
            if xxhash.xxh3_64_intdigest(content) != int(self.directory.arrays["name_checksums"][page]):
                raise damaged(self._reader.path, f"the checksum of page {page} of its names is wrong")
            count = min(PAGE_DOCUMENTS, self.directory.documents - page * PAGE_DOCUMENTS)
            try:
                self._page = (page, unpacked_names(content, count))
            except (ValueError, IndexError, zstandard.ZstdError) as error:
                raise damaged(self._reader.path, f"page {page} of its names cannot be read ({error})") from error
        names: tuple[np.ndarray, list[str], list[str]] = self._page[1]
        return names


def _adds_up(directory: Directory) -> bool:
    """Whether the arrays of a directory are as long as its facts say, and its counts are those of its text."""
    arrays, size = directory.arrays, directory.text_bytes
    lengths = {
        "record_sizes": size // RECORD + 1,
        "record_checksums": size // RECORD + 1,
        "row_checksums": -(-(size // CONTEXT_EVERY + 1) // PAGE_ROWS),
        "name_sizes": -(-directory.documents // PAGE_DOCUMENTS),
        "name_checksums": -(-directory.documents // PAGE_DOCUMENTS),
        "name_starts": -(-directory.documents // PAGE_DOCUMENTS),
        "symbol_counts": len(directory.alphabet),
    }
    every, counts = directory.locate_every, arrays["symbol_counts"]
    return (
        all(len(arrays[name]) == length for name, length in lengths.items())
        and 0 < directory.primary <= size <= LARGEST_TEXT
        and every > 0
        and every & (every - 1) == 0
        and int(counts.max(initial=0)) <= size
        and int(counts.sum()) == size
    )
