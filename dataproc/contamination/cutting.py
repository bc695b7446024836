"""Takes contaminated stretches out of a text, as GPT-3 did: with a margin, and without the small pieces that are left.

GPT-3 (arXiv 2005.14165, appendix C) cut the n-gram and 200 characters on either side, threw pieces of fewer than 200
characters away, and gave documents up that came apart into more than 10 pieces. The margin takes along what an item
leaves around it: the question of an answer, the choices, the number of the exercise. Here the margin also reaches on to
the next border of a word, so that no half words are left, and what is left stays one document (ids are unique), its
pieces joined by a blank line, without white space where they were cut.

N-grams that lay together stay out: a piece holds no n-gram that was cut. Where two pieces meet, words stand side by
side that did not before, and may by chance make an n-gram anew.

Cost: one pass over the bytes of texts that are cut, and one copy of the batch where any is.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.unicode_tables import MARK, UNSPACED, load_tables
from corpusmill.dataproc.text.words import WORD

JOINT = b"\n\n"


class Cut(NamedTuple):
    """N texts after cutting.

    Attributes:
        texts: large_string; a text in which nothing is cut is the same byte for byte.
        pieces: int64 of shape (N,): pieces into which each text came apart, the small ones counted; 1 where nothing
            was cut.
        pieces_left: int64 of shape (N,): those of them that are in the text now.
    """

    texts: pa.Array
    pieces: np.ndarray
    pieces_left: np.ndarray


@kernel_part
def _before(data, place, begin):
    """The first byte of the character that ends at `place` > `begin`."""
    place -= 1
    while place > begin and data[place] & 0xC0 == 0x80:
        place -= 1
    return place


@kernel_part
def _inside_word(data, place, begin, stop, classes):
    """Whether the characters before and after `place` are of one word."""
    if place <= begin or place >= stop:
        return False
    before = classes[decode(data, _before(data, place, begin), stop)[0]]
    after = classes[decode(data, place, stop)[0]]
    if before & WORD == 0 or after & WORD == 0:
        return False
    return after & MARK != 0 or (before | after) & UNSPACED == 0


@kernel
def _widen(offsets, data, classes, margin, rows, starts, stops):
    """Moves starts back and stops on by `margin` characters and to the next border of a word, in place."""
    for span in range(rows.shape[0]):
        begin, end = offsets[rows[span]], offsets[rows[span] + 1]
        place = begin + starts[span]
        for _ in range(margin):
            if place <= begin:
                break
            place = _before(data, place, begin)
        while _inside_word(data, place, begin, end, classes):
            place = _before(data, place, begin)
        starts[span] = place - begin
        place = begin + stops[span]
        for _ in range(margin):
            if place >= end:
                break
            place += decode(data, place, end)[1]
        while _inside_word(data, place, begin, end, classes):
            place += decode(data, place, end)[1]
        stops[span] = place - begin


@kernel
def _merge(rows, starts, stops):
    """Joins spans of a text that overlap or touch, in place; returns how many are left. They are sorted."""
    count = 0
    for span in range(rows.shape[0]):
        if count and rows[count - 1] == rows[span] and starts[span] <= stops[count - 1]:
            stops[count - 1] = max(stops[count - 1], stops[span])
        else:
            rows[count], starts[count], stops[count] = rows[span], starts[span], stops[span]
            count += 1
    return count


@kernel_part
def _is_blank(byte):
    return byte == 32 or 9 <= byte <= 13


@kernel
def _cut(offsets, data, rows, starts, stops, least, joint, bounds, pieces, left, out):
    """Copies what no span covers to `out`, text by text; spans are sorted and do not overlap."""
    span = 0
    position = np.int64(0)
    for row in range(offsets.shape[0] - 1):
        begin, end = offsets[row], offsets[row + 1]
        if span >= rows.shape[0] or rows[span] != row:
            out[position : position + end - begin] = data[begin:end]
            position += end - begin
            bounds[row + 1] = position
            continue
        pieces[row] = left[row] = 0
        place = begin
        while True:
            more = span < rows.shape[0] and rows[span] == row
            first, last = place, begin + starts[span] if more else end
            if first > begin:
                while first < last and _is_blank(data[first]):
                    first += 1
            if more:
                while first < last and _is_blank(data[last - 1]):
                    last -= 1
            characters = np.int64(0)
            for byte in range(first, last):
                characters += data[byte] & 0xC0 != 0x80
            pieces[row] += characters > 0
            if characters > 0 and characters >= least:
                if left[row]:
                    out[position : position + joint.shape[0]] = joint
                    position += joint.shape[0]
                out[position : position + last - first] = data[first:last]
                position += last - first
                left[row] += 1
            if not more:
                break
            place = begin + stops[span]
            span += 1
        bounds[row + 1] = position


def cut_out(
    texts: pa.Array, rows: np.ndarray, starts: np.ndarray, stops: np.ndarray, *, margin: int, least_piece: int
) -> Cut:
    """The texts without some stretches.

    Args:
        texts: N texts.
        rows, starts, stops: int64 of shape (S,): the text of each stretch, its first byte and the byte after its last,
            from the text's beginning, at borders of characters.
        margin: characters that go with a stretch on either side.
        least_piece: characters; a piece that is left with fewer goes, too.
    """
    pieces, left = np.ones(len(texts), np.int64), np.ones(len(texts), np.int64)
    if not len(rows):
        return Cut(texts, pieces, left)
    offsets, data = text_buffers(texts)
    rows, starts, stops = (np.array(array, np.int64) for array in (rows, starts, stops))
    _widen(offsets, data, load_tables().classes, np.int64(margin), rows, starts, stops)
    order = np.lexsort((starts, rows))
    rows, starts, stops = rows[order], starts[order], stops[order]
    count = int(_merge(rows, starts, stops))
    rows, starts, stops = rows[:count], starts[:count], stops[:count]
    joint = read_only(np.frombuffer(JOINT, np.uint8), np.uint8)
    bounds = np.zeros(len(texts) + 1, np.int64)
    out = np.empty(int(offsets[-1] - offsets[0]) + len(JOINT) * len(rows), np.uint8)
    _cut(offsets, data, rows, starts, stops, np.int64(least_piece), joint, bounds, pieces, left, out)
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(out[: bounds[-1]].copy())]
    return Cut(pa.LargeStringArray.from_buffers(len(texts), *buffers[1:]), pieces, left)
