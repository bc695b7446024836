"""Spans of repeated text in documents: moved to the borders of characters, measured, cut out.

A span is (row of the document, first byte, byte after the last), counted from the document's beginning; spans are
sorted by row and first byte and may overlap. Whoever found them does not matter here (`substring`, `lines`).

A substring is found byte by byte and may begin or end inside a character; such a span gives up the character's bytes,
so what is cut is at most three bytes shorter at either end than what was found, and what is left is valid UTF-8.

Cost: one pass over the bytes of cut documents, at the speed of copying. Memory: a copy of the batch's text.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel


class Spans(NamedTuple):
    """Spans of a batch of texts: int64 arrays of shape (S,), sorted by row and start.

    Attributes:
        rows: row of the text in the batch.
        starts, ends: bytes from the beginning of the text; end is exclusive.
    """

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@kernel
def _shrink(offsets, data, rows, starts, ends):
    """Moves starts forward and ends back, in place, to the borders of characters."""
    for span in range(rows.shape[0]):
        begin, stop = offsets[rows[span]], offsets[rows[span] + 1]
        start, end = begin + starts[span], begin + ends[span]
        while start < end and data[start] & 0xC0 == 0x80:
            start += 1
        while end > start and end < stop and data[end] & 0xC0 == 0x80:
            end -= 1
        starts[span], ends[span] = start - begin, end - begin


def to_characters(texts: pa.Array, spans: Spans) -> Spans:
    """The spans without the characters that they hold only in part; one may become empty, none is left out."""
    offsets, data = text_buffers(texts)
    starts, ends = spans.starts.astype(np.int64), spans.ends.astype(np.int64)
    _shrink(offsets, data, read_only(spans.rows, np.int64), starts, ends)
    return Spans(spans.rows, starts, ends)


@kernel
def _cut(offsets, data, rows, starts, ends, bounds, out):
    """Copies what no span covers to `out`, document by document; `bounds` (N + 1,) say where each comes to lie."""
    span = 0
    position = np.int64(0)
    for row in range(offsets.shape[0] - 1):
        place, stop = offsets[row], offsets[row + 1]
        while span < rows.shape[0] and rows[span] == row:
            start = offsets[row] + starts[span]
            if start > place:
                out[position : position + start - place] = data[place:start]
                position += start - place
            place = max(place, offsets[row] + ends[span])
            span += 1
        out[position : position + stop - place] = data[place:stop]
        position += stop - place
        bounds[row + 1] = position


def cut(texts: pa.Array, spans: Spans) -> pa.Array:
    """The texts (large_string) without what the spans cover, which must begin and end at borders of characters."""
    offsets, data = text_buffers(texts)
    bounds, out = np.zeros(len(texts) + 1, np.int64), np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    columns = (read_only(column, np.int64) for column in spans)
    _cut(offsets, data, *columns, bounds, out)
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(out[: bounds[-1]].copy())]
    return pa.LargeStringArray.from_buffers(len(texts), *buffers[1:])


def covered_bytes(documents: int, spans: Spans) -> np.ndarray:
    """Bytes of each document that some span covers, each byte once: int64 of shape (documents,)."""
    if not len(spans.rows):
        return np.zeros(documents, np.int64)
    # The furthest end so far, within a document: rows are put apart by more than any document is long.
    apart = np.int64(int(spans.ends.max()) + 1)
    shift = spans.rows * apart
    reached = np.maximum.accumulate(spans.ends + shift) - shift
    before = np.zeros(len(spans.rows), np.int64)
    before[1:] = np.where(spans.rows[1:] == spans.rows[:-1], reached[:-1], 0)
    fresh = np.maximum(spans.ends - np.maximum(spans.starts, before), 0)
    return np.bincount(spans.rows, fresh, minlength=documents).astype(np.int64)


@kernel
def _gather(data, starts, offsets, out):
    """Copies the stretches that begin at `starts` one after the other; `offsets` say where each comes to lie."""
    for row in range(starts.shape[0]):
        start, begin = starts[row], offsets[row]
        for byte in range(offsets[row + 1] - begin):
            out[begin + byte] = data[start + byte]


def gather_bytes(data: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of a byte array, one after the other: (offsets int64 of shape (R + 1,), bytes uint8)."""
    offsets = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    out = np.empty(int(offsets[-1]), np.uint8)
    _gather(read_only(data, np.uint8), read_only(starts, np.int64), offsets, out)
    return offsets, out


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
