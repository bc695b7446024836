r"""GPT-2's expression in one pass: contractions, words, numbers and the rest, each with one space in front.

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

Contractions are those in small letters. White space keeps its last character for what follows it, where that is a
space; line breaks are white space like any other.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.tokenizer.unicode import NUMBER, SPACE, decode_at
from corpusmill.tokenizer.walkers.runs import (
    APOSTROPHE,
    contraction_end,
    is_letter,
    skip_letters,
    skip_numbers,
    skip_others,
    skip_white_space,
)


@kernel_part
def next_end(data: np.ndarray, start: int, n: int, classes: np.ndarray) -> int:
    """Where the pretoken that starts at `start` ends, in a document that ends at `n`; `start < n`."""
    if data[start] == APOSTROPHE:
        end = contraction_end(data, start, n, False, False)
        if end > start:
            return end
    first = start
    if data[start] == 32 and start + 1 < n:
        first = start + 1
    point, length = decode_at(data, first, n)
    kind = classes[point]
    if is_letter(kind):
        return skip_letters(data, first + length, n, classes)
    if kind & NUMBER:
        return skip_numbers(data, first + length, n, classes, n)
    if kind & SPACE:
        return skip_white_space(data, start, n, classes, False)
    return skip_others(data, first + length, n, classes)


@kernel
def walk_gpt2(data: np.ndarray, offsets: np.ndarray, cursor: np.ndarray, classes: np.ndarray, ends: np.ndarray) -> int:
    """Fills `ends` with the ends of the next pretokens; returns how many, 0 when all documents are done.

    Args:
        data: uint8, the text of all documents.
        offsets: int64 (documents + 1,), where each document starts in `data`.
        cursor: int64 (2,), the document and the place to go on from; moved on.
        classes: `unicode_classes()`.
        ends: int64, the block to fill.
    """
    document = cursor[0]
    place = cursor[1]
    count = 0
    while count < ends.shape[0] and document < offsets.shape[0] - 1:
        n = offsets[document + 1]
        while place < n and count < ends.shape[0]:
            place = next_end(data, place, n, classes)
            ends[count] = place
            count += 1
        if place >= n:
            document += 1
    cursor[0] = document
    cursor[1] = place
    return count
