"""DeepSeek-V3's three splits in one pass over the bytes, exactly where Hugging Face's regular expressions cut.

The splits (`tokenizer/patterns.py`) need only a few Unicode classes, so one pass with a table of classes replaces a
backtracking regex engine that manages 2 MB/s. What makes one pass enough: numbers and runs of Han and kana are hard
borders for the third expression, which sees each stretch between them as a text of its own. So every run stops at a
character of another region, and a space run before a border keeps its last space ("end of text").
"""

import numpy as np

from tokenizer.keys import Integer, kernel, kernel_part, load64
from tokenizer.unicode import HAN, LETTER, MARKED, NUMBER, SPACE, decode_at


@kernel_part
def skip_ascii_letters(data: np.ndarray, i: int, n: int) -> int:
    """The first place from `i` on that holds no ASCII letter, or `n`; eight bytes at a time while they fit."""
    high_bits = np.uint64(0x8080808080808080)
    while i + 8 <= n:
        word = load64(data, i)
        lower = (word | np.uint64(0x2020202020202020)) & np.uint64(0x7F7F7F7F7F7F7F7F)
        at_least_a = lower + np.uint64(0x1F1F1F1F1F1F1F1F)  # the high bit of a byte says: >= 'a'
        above_z = lower + np.uint64(0x0505050505050505)
        others = ~(at_least_a & ~above_z & ~word) & high_bits
        if others != np.uint64(0):
            if others & np.uint64(0xFFFFFFFF) == np.uint64(0):
                i += 4
                others >>= np.uint64(32)
            if others & np.uint64(0xFFFF) == np.uint64(0):
                i += 2
                others >>= np.uint64(16)
            if others & np.uint64(0xFF) == np.uint64(0):
                i += 1
            return i
        i += 8
    while i < n and np.uint8((data[i] | 0x20) - 0x61) < 26:
        i += 1
    return i


@kernel_part
def skip_letters(data: np.ndarray, i: int, n: int, classes: np.ndarray, region: int) -> int:
    """The end of a run of letters and marks of one region."""
    while i < n:
        if region == 0:
            i = skip_ascii_letters(data, i, n)
            if i >= n or data[i] < 0x80:
                return i
        point, length = decode_at(data, i, n)
        if classes[point] & (LETTER | HAN) != LETTER | region:
            return i
        i += length
    return i


@kernel_part
def skip_white_space(data: np.ndarray, start: int, n: int, classes: np.ndarray) -> Integer:
    r"""The end of a pretoken that starts with white space: `\s*[\r\n]+`, else `\s+(?!\S)`, else `\s+`."""
    i = last = start
    after_break = np.int64(0)
    border = True
    while i < n:
        point, length = decode_at(data, i, n)
        kind = classes[point]
        if not kind & SPACE:
            border = kind & (NUMBER | HAN) != 0
            break
        last = i
        i += length
        if point == 10 or point == 13:
            after_break = i
    if after_break:
        return after_break
    return last if last > start and not border else i


@kernel_part
def next_end(data: np.ndarray, start: int, n: int, classes: np.ndarray) -> int:
    """Where the pretoken that starts at `start` ends, in a document that ends at `n`; `start < n`."""
    lead = data[start]
    point, length = decode_at(data, start, n)
    kind = classes[point]
    region = kind & HAN
    after = start + length
    if kind & LETTER:
        return skip_letters(data, after, n, classes, region)
    if kind & NUMBER:
        digits = 1
        while digits < 3 and after < n:
            point, length = decode_at(data, after, n)
            if not classes[point] & NUMBER:
                break
            after += length
            digits += 1
        return after
    if lead < 0x80 and kind & MARKED:
        end = skip_ascii_letters(data, after, n)
        if end > after:
            return end
    if not kind & MARKED and lead != 10 and lead != 13 and after < n:  # one leading character, then a word
        point, length = decode_at(data, after, n)
        if classes[point] & (LETTER | HAN) == LETTER | region:
            return skip_letters(data, after + length, n, classes, region)
    first = after if lead == 32 else start  # punctuation and symbols, perhaps after one space
    end = first
    while end < n:
        point, length = decode_at(data, end, n)
        if classes[point] & (MARKED | HAN) != MARKED | region:
            break
        end += length
    if end > first:
        while region == 0 and end < n and (data[end] == 10 or data[end] == 13):
            end += 1
        return end
    if kind & SPACE:
        return skip_white_space(data, start, n, classes)
    while after < n:  # what no expression matches stays together up to where one does
        point, length = decode_at(data, after, n)
        kind = classes[point]
        if kind & HAN != region or kind & (LETTER | NUMBER | MARKED | SPACE):
            break
        if after + length < n:
            point, _ = decode_at(data, after + length, n)
            if classes[point] & (LETTER | HAN) == LETTER | region:
                break
        after += length
    return after


@kernel
def walk_deepseek_v3(
    data: np.ndarray, offsets: np.ndarray, cursor: np.ndarray, classes: np.ndarray, ends: np.ndarray
) -> int:
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
    found = 0
    while found < ends.shape[0] and document < offsets.shape[0] - 1:
        n = offsets[document + 1]
        while place < n and found < ends.shape[0]:
            place = next_end(data, place, n, classes)
            ends[found] = place
            found += 1
        if place >= n:
            document += 1
    cursor[0] = document
    cursor[1] = place
    return found
