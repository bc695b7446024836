"""Where a document may be cut: places before bytes, at characters, at lines, or between tokens; and within one file.

All units come down to one form: a byte for each place of a document, 1 where it may be cut. Loops without a branch make
such marks and count them, a vector at a time, so a document that is cut is read five times or so, at several GB/s each,
and any other not at all. Tokens are walked one by one, 2 ns each, because the place of one depends on those before it.

Memory: a byte for each byte of the longest document.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel

UNITS = ("character", "line", "token")
CHARACTER, LINE, TOKEN = range(3)


class Files(NamedTuple):
    """Document d has files that begin at its bytes `begins[bounds[d] : bounds[d + 1]]`; none there: it is one file."""

    bounds: np.ndarray
    begins: np.ndarray


class Tokens(NamedTuple):
    """Document d has the ids `values[offsets[d] : offsets[d + 1]]`; `lengths` and `starts` describe each id's bytes."""

    offsets: np.ndarray
    values: np.ndarray
    lengths: np.ndarray
    starts: np.ndarray


NO_TOKENS = Tokens(*(read_only(np.zeros(0), dtype) for dtype in (np.int64, np.int32, np.int64, np.bool_)))


@kernel
def mark_text(text, unit, begins, marks):
    """Sets marks[p], uint8 (bytes + 1,), where a document may be cut before its byte p at a character or a line."""
    size = text.shape[0]
    if unit == LINE:
        below = marks[1:]
        for place in range(size):
            below[place] = text[place] == 0x0A
        for file in range(begins.shape[0]):
            marks[begins[file]] = 1
    else:
        for place in range(size):
            marks[place] = (text[place] & 0xC0) != 0x80
    marks[0] = marks[size] = 1


@kernel
def mark_tokens(ids, lengths, starts, marks):
    """As `mark_text`, where a token and a character begin. False when the ids have not as many bytes as the text."""
    size = marks.shape[0] - 1
    marks[:] = 0
    place = 0
    for token in ids:
        if token < 0 or token >= lengths.shape[0] or place + lengths[token] > size:
            return False
        marks[place] = starts[token]
        place += lengths[token]
    marks[0] = marks[size] = 1
    return place == size


@kernel
def draw_place(marks, uniform):
    """The place of a mark, uniform over all of them. Whole blocks are counted first, a vector at a time."""
    total = 0
    for mark in marks:
        total += mark
    left = np.int64(uniform * total)
    start = 0
    while start + 256 <= marks.shape[0]:
        count = 0
        for mark in marks[start : start + 256]:
            count += mark
        if left < count:
            break
        left -= count
        start += 256
    while True:
        left -= marks[start]
        if left < 0:
            return start
        start += 1


@kernel
def tokens_before(ids, lengths, place):
    """How many tokens end at byte `place` or before it; one of them, or the document, begins there."""
    count = 0
    begin = 0
    while begin < place:
        begin += lengths[ids[count]]
        count += 1
    return count


def file_begins(files: pa.Array | None, offsets: np.ndarray, data: np.ndarray) -> Files:
    """The files of each document, checked against its text."""
    documents = len(offsets) - 1
    bounds = np.zeros(documents + 1, np.int64)
    if files is None:
        return Files(read_only(bounds, np.int64), read_only(bounds[:0], np.int64))
    if len(files) != documents:
        raise ValueError(f"{len(files)} lists of files for {documents} documents")
    counts = pc.fill_null(pc.list_value_length(files), 0).to_numpy(zero_copy_only=False)
    np.cumsum(counts, out=bounds[1:])
    begins = read_only(files.flatten().cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
    row = np.repeat(np.arange(documents), counts)
    leading = np.zeros(len(begins), bool)
    leading[bounds[:-1][counts > 0]] = True
    size = np.diff(offsets)[row]
    outside = (begins < 0) | ((begins >= size) & (begins > 0))
    inside = np.zeros(len(begins), bool)
    checked = ~outside & (size > 0)
    inside[checked] = (data[(offsets[row] + begins)[checked]] & 0xC0) == 0x80
    for wrong, why in (
        (leading & (begins != 0), "is the first and not 0"),
        (outside, "lies outside the document"),
        (~leading & (np.diff(begins, prepend=-1) <= 0), "does not rise"),
        (inside, "lies inside a character"),
    ):
        if wrong.any():
            at = int(np.argmax(wrong))
            raise UserError(
                f"the file offset {begins[at]} {why}", f"row {row[at]}", "use the byte at which each file begins"
            )
    return Files(read_only(bounds, np.int64), begins)
