"""Characters that no merge may join to anything: digits, punctuation, white space, as a setting of training.

With `digits`, no token holds two digits, nor a digit and anything else, so every number is spelled digit by digit (as
in Llama's first tokenizer and DeepSeek's first models), and no digit gets a leading space. The classes are those of the
patterns, over all of Unicode: `digits` is \\p{N} (Hugging Face's `Digits` with `individual_digits`), `punctuation` is
\\p{P} and \\p{S}, `whitespace` is \\s. The bytes of one such character may be joined to one another.

Pretokens are cut before and after each such character, and the pieces are counted and learned from. No other step has
to know: where two characters were never neighbours in a piece, there is no merge that could join them, in any encoder.
That holds for whole characters. One of several bytes (an Arabic digit) next to others of its script might still be
encoded as parts, since a merge may hold the end of one character and the start of another; for ASCII it cannot.

Memory: 17 bytes for each byte of unique pretokens that hold such a character, while they are cut.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.tokenizer.counting.counts import PretokenCounts, merge
from corpusmill.tokenizer.pretokens import read_text
from corpusmill.tokenizer.unicode import MARKED, NUMBER, SPACE, decode_at, unicode_classes

CLASSES = {"digits": NUMBER, "punctuation": MARKED, "whitespace": SPACE}
"""Class bits by name."""


@kernel
def mark_pieces(offsets: np.ndarray, data: np.ndarray, classes: np.ndarray, apart: int, begins: np.ndarray) -> None:
    """Sets `begins` (bool, zero) at the first byte of each string, of each character of a class in `apart`, and of what
    follows it. Bytes that are not UTF-8 are of no class."""
    base = offsets[0]
    for item in range(offsets.shape[0] - 1):
        place = offsets[item]
        end = offsets[item + 1]
        begin = True
        while place < end:
            point, length = decode_at(data, place, end)
            least = 0 if length == 1 else 0x80 if length == 2 else 0x800 if length == 3 else 0x10000
            whole = point >= least and (data[place] < 0x80 or 0xC0 <= data[place] < 0xF8)
            for follower in range(place + 1, place + length):
                whole = whole and data[follower] & 0xC0 == 0x80
            alone = whole and classes[point] & apart != 0
            if begin or alone:
                begins[place - base] = True
            begin = alone
            place += length if whole else 1


def cut_apart(table: PretokenCounts, no_merge: Sequence[str]) -> PretokenCounts:
    """The counts of the pieces of pretokens, each character of these classes a piece of its own.

    Raises UserError for an unknown class.
    """
    unknown = sorted(set(no_merge) - set(CLASSES))
    if unknown:
        raise UserError(f"unknown class of characters '{unknown[0]}'", hint=f"known: {', '.join(CLASSES)}")
    if not no_merge or not len(table):
        return table
    apart = np.bitwise_or.reduce([CLASSES[name] for name in no_merge])
    offsets, data = read_text(table.pretokens)
    data = data[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    begins = np.zeros(len(data), bool)
    mark_pieces(offsets, data, unicode_classes(), np.int64(apart), begins)
    pieces = np.append(np.flatnonzero(begins), len(data))
    before = np.searchsorted(pieces, offsets)
    buffers = [None, pa.py_buffer(pieces.astype(np.int64)), pa.py_buffer(data.tobytes())]
    cut = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(pieces) - 1, buffers)
    return merge([PretokenCounts(cut, np.repeat(table.counts, np.diff(before)))])
