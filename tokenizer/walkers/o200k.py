r"""o200k's expression in one pass: words are cut where small letters give way to capitals, and keep contractions.

    [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
    |[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
    |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+

Letters without case and marks belong to both sets, so the first line has a choice. It takes the run of the first set;
if small letters follow, they end the word, else the regex goes back to the last character of the run that is in both.
Only a run of capitals alone is left to the second line. A mark is also a leading character, which is tried first.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.tokenizer.keys import Integer
from corpusmill.tokenizer.unicode import LETTER, LOWER, NUMBER, UPPER, decode_at
from corpusmill.tokenizer.walkers.runs import (
    APOSTROPHE,
    contraction_end,
    is_letter,
    skip_ascii_letters,
    skip_numbers,
    skip_others,
    skip_white_space,
)


@kernel_part
def word_ends(data: np.ndarray, start: int, n: int, classes: np.ndarray) -> tuple[Integer, Integer]:
    """Where a word that starts at `start` ends by the first line and by the second; `start` if there is none."""
    i = start
    last_in_both = start
    while i < n:
        point, length = decode_at(data, i, n)
        kind = classes[point]
        if kind & LOWER:
            while i < n:
                i = skip_ascii_letters(data, i, n, np.uint64(0))
                if i >= n or data[i] < 0x80:
                    break
                point, length = decode_at(data, i, n)
                if classes[point] & (LETTER | UPPER) != LETTER:
                    break
                i += length
            return i, i
        if not kind & LETTER:
            break
        i += length
        if not kind & UPPER:
            last_in_both = i
    return last_in_both, i


@kernel_part
def next_end(data: np.ndarray, start: int, n: int, classes: np.ndarray, long_s: bool) -> int:
    """Where the pretoken that starts at `start` ends, in a document that ends at `n`; `start < n`."""
    lead = data[start]
    point, length = decode_at(data, start, n)
    kind = classes[point]
    after = start + length
    if kind & NUMBER:
        return skip_numbers(data, after, n, classes, 2)
    line_break = lead == 10 or lead == 13
    if lead < 0x80 and not line_break and after < n and np.uint8(data[after] - ord("a")) < 26:
        end = skip_ascii_letters(data, after, n, np.uint64(0))
        if end < n and data[end] < 0x80 and data[end] != APOSTROPHE:
            return end  # most words end here, at half the cost of what follows
    capitals = start
    if not is_letter(kind) and not line_break and after < n:
        small, capitals = word_ends(data, after, n, classes)
        if small > after:
            return contraction_end(data, small, n, True, long_s)
        if capitals == after:
            capitals = start
    if kind & LETTER:
        small, end = word_ends(data, start, n, classes)
        return contraction_end(data, small if small > start else end, n, True, long_s)
    if capitals > start:
        return contraction_end(data, capitals, n, True, long_s)
    first = after if lead == 32 else start
    end = skip_others(data, first, n, classes)
    if end > first:
        while end < n and (data[end] == 10 or data[end] == 13 or data[end] == ord("/")):
            end += 1
        return end
    return skip_white_space(data, start, n, classes, True)


@kernel
def walk_cased_words(
    data: np.ndarray, offsets: np.ndarray, cursor: np.ndarray, classes: np.ndarray, ends: np.ndarray, long_s: bool
) -> int:
    """Fills `ends` with the ends of the next pretokens; returns how many, 0 when all documents are done.

    Args:
        data: uint8, the text of all documents.
        offsets: int64 (documents + 1,), where each document starts in `data`.
        cursor: int64 (2,), the document and the place to go on from; moved on.
        classes: `unicode_classes()`.
        ends: int64, the block to fill.
        long_s: whether `'ſ` is a contraction.
    """
    document = cursor[0]
    place = cursor[1]
    count = 0
    while count < ends.shape[0] and document < offsets.shape[0] - 1:
        n = offsets[document + 1]
        while place < n and count < ends.shape[0]:
            place = next_end(data, place, n, classes, long_s)
            ends[count] = place
            count += 1
        if place >= n:
            document += 1
    cursor[0] = document
    cursor[1] = place
    return count
