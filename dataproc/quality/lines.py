"""A document as one line of tokens, as fastText cuts it: nothing in the text can end the line or be a label.

fastText splits at blank, tab, line feed, vertical tab, form feed, carriage return and NUL, and nowhere else. Three
things in a text mean more to it than text, and all three occur in real pages: a line feed ends the document, the token
`</s>` ends it as well (what follows it is not looked at), and in training a token that starts with `__label__` is an
answer. Here white space becomes blanks, and one byte of such a token becomes a blank, so that it is an ordinary word.
Bytes stay where they are, unless `split_unspaced` asks for more.

Scripts without spaces make one token of a whole clause, which a classifier never sees again. With `split_unspaced`
each Han, kana, Thai, Lao, Khmer or Burmese character (with its marks) is a token; n-grams of words then are n-grams of
these.

Cost on 151 MB of documentation and code: 560 MB/s a core, 420 with lower case, 270 with `split_unspaced`. Memory: the
one or two copies of the batch's text.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.quality.line_settings import LineSettings
from corpusmill.dataproc.text.unicode_tables import MARK, UNSPACED, load_tables

END_OF_LINE = "</s>"
"""The token that fastText reads at a line's end, and counts as a word."""

LABEL_PREFIX = "__label__"

_BLANK = 32
_IS_SPACE = np.zeros(256, np.bool_)
_IS_SPACE[[0, 9, 10, 11, 12, 13, 32]] = True
_END = np.frombuffer(END_OF_LINE.encode(), np.uint8)
_LABEL = np.frombuffer(LABEL_PREFIX.encode(), np.uint8)


def to_lines(texts: pa.Array, settings: LineSettings = LineSettings()) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 of shape (N+1,), bytes uint8) of N texts as lines: tokens parted by blanks, no other white space.

    Offsets need not start at 0. Nulls are not allowed.
    """
    if settings.characters:
        texts = pc.utf8_slice_codeunits(texts.cast(pa.large_string()), 0, settings.characters)
    if settings.lowercase:
        texts = pc.utf8_lower(texts)
    offsets, data = text_buffers(texts)
    if settings.split_unspaced:
        out = np.empty(2 * int(offsets[-1] - offsets[0]) + len(offsets), np.uint8)
        cut = np.empty(len(offsets), np.int64)
        _split(offsets, data, load_tables().classes, out, cut)
        _defuse(cut, out)
        return cut, out
    first, last = int(offsets[0]), int(offsets[-1])
    kept, moved = data[first:last].copy(), offsets - first
    _defuse(moved, kept)
    return moved, kept


def as_strings(offsets: np.ndarray, data: np.ndarray) -> pa.Array:
    """Lines as a large_string array, over the same memory."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)]
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, *buffers[1:])


@kernel_part
def _is_there(data, position, stop, word):
    if position + len(word) > stop:
        return False
    same = True
    for i in range(len(word)):
        same &= data[position + i] == word[i]
    return same


@kernel
def _defuse(offsets, data):
    """White space to blanks, and the tokens that fastText would take for more than text broken by a blank, in place."""
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        at_start = True
        for i in range(start, stop):
            byte = data[i]
            if _IS_SPACE[byte]:
                data[i] = _BLANK
                at_start = True
            elif at_start:
                at_start = False
                if byte == _LABEL[0]:
                    # A blank in place of the first byte makes `_label__…` of it; of more underscores a later byte
                    # starts the prefix again, so the loop looks at the next one as at a token's start.
                    if _is_there(data, i, stop, _LABEL):
                        data[i] = _BLANK
                        at_start = True
                elif byte == _END[0] and _is_there(data, i, stop, _END):
                    after = i + len(_END)
                    if after == stop or _IS_SPACE[data[after]]:
                        data[after - 1] = _BLANK


@kernel
def _split(offsets, data, classes, out, cut):
    """Copies texts with a blank before and after each character of a script without spaces; marks stay with theirs."""
    written = 0
    cut[0] = 0
    for row in range(len(offsets) - 1):
        position, stop = offsets[row], offsets[row + 1]
        was_unspaced = False
        while position < stop:
            if data[position] < 0x80:
                length, is_unspaced, is_mark = 1, False, False
            else:
                code, length = decode(data, position, stop)
                flags = classes[code]
                is_unspaced = (flags & UNSPACED) != 0
                is_mark = (flags & MARK) != 0
            is_edge = (is_unspaced or was_unspaced) and not is_mark and not _IS_SPACE[data[position]]
            if is_edge and written > cut[row] and not _IS_SPACE[out[written - 1]]:
                out[written] = _BLANK
                written += 1
            for i in range(length):
                out[written + i] = data[position + i]
            written += length
            position += length
            was_unspaced = is_unspaced or (is_mark and was_unspaced)
        cut[row + 1] = written
