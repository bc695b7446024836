r"""The expression of cl100k and Llama 3 in one pass, and Qwen2's, whose numbers are single digits.

    (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+

A word takes one leading character that is neither a letter, a number nor a line break; punctuation takes the line
breaks after it. tiktoken has since rewritten this string with possessive quantifiers and `\s++$`, so that today it
leaves white space at the very end of a text whole where this one cuts after the last line break. `tokenizers`' engine
would read `{1,3}+` as another repetition, so files keep this string, and we follow them.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.tokenizer.unicode import NUMBER, decode_at
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
def next_end(data: np.ndarray, start: int, n: int, classes: np.ndarray, most_digits: int, long_s: bool) -> int:
    """Where the pretoken that starts at `start` ends, in a document that ends at `n`; `start < n`."""
    lead = data[start]
    if lead == APOSTROPHE:
        end = contraction_end(data, start, n, True, long_s)
        if end > start:
            return end
    point, length = decode_at(data, start, n)
    kind = classes[point]
    after = start + length
    if is_letter(kind):
        return skip_letters(data, after, n, classes)
    if kind & NUMBER:
        return skip_numbers(data, after, n, classes, most_digits - 1)
    if lead != 10 and lead != 13 and after < n:
        point, length = decode_at(data, after, n)
        if is_letter(classes[point]):
            return skip_letters(data, after + length, n, classes)
    first = after if lead == 32 else start
    end = skip_others(data, first, n, classes)
    if end > first:
        while end < n and (data[end] == 10 or data[end] == 13):
            end += 1
        return end
    return skip_white_space(data, start, n, classes, True)


@kernel
def walk_words(
    data: np.ndarray,
    offsets: np.ndarray,
    cursor: np.ndarray,
    classes: np.ndarray,
    ends: np.ndarray,
    most_digits: int,
    long_s: bool,
) -> int:
    """Fills `ends` with the ends of the next pretokens; returns how many, 0 when all documents are done.

    Args:
        data: uint8, the text of all documents.
        offsets: int64 (documents + 1,), where each document starts in `data`.
        cursor: int64 (2,), the document and the place to go on from; moved on.
        classes: `unicode_classes()`.
        ends: int64, the block to fill.
        most_digits: digits in a number.
        long_s: whether `'ſ` is a contraction.
    """
    document = cursor[0]
    place = cursor[1]
    count = 0
    while count < ends.shape[0] and document < offsets.shape[0] - 1:
        n = offsets[document + 1]
        while place < n and count < ends.shape[0]:
            place = next_end(data, place, n, classes, most_digits, long_s)
            ends[count] = place
            count += 1
        if place >= n:
            document += 1
    cursor[0] = document
    cursor[1] = place
    return count
