"""DeepSeek-V3's three splits in one pass over the bytes, exactly where Hugging Face's regular expressions cut.

The splits (`tokenizer/patterns.py`) need only a few Unicode classes, so one pass with a table of classes replaces a
backtracking regex engine that manages 2 MB/s. What makes one pass enough: numbers and runs of Han and kana are hard
borders for the third expression, which sees each stretch between them as a text of its own. So every run stops at a
character of another region, and a space run before a border keeps its last space ("end of text").

What stands before a pretoken has no part in where it ends. So wherever one starts, ASCII is cut 64 bytes at a time
(`starts_in`), up to the last start that is certain; the rest, and all other text, goes one pretoken at a time
(`next_end`).
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.tokenizer.keys import Integer
from corpusmill.tokenizer.unicode import HAN, LETTER, MARKED, NUMBER, SPACE, decode_at
from corpusmill.tokenizer.walkers.masks import WIDTH, Masks, class_masks, leading_zeros, trailing_zeros
from corpusmill.tokenizer.walkers.runs import skip_ascii_letters

FOLD = np.uint64(0x2020202020202020)
"""Has `skip_ascii_letters` take capitals for small letters."""


@kernel_step
def starts_in(masks: Masks, known: int, whole: bool) -> tuple[np.uint64, bool]:
    r"""Where pretokens start in a stretch of ASCII that starts with one, as bits: those that are certain.

    Each line is one part of the third expression. White space is what needs to see furthest: where a run of it goes on
    past what is known, or has spaces between two line breaks, nothing after the run's first character is certain.

    Args:
        masks: the classes of the bytes, at least one of them.
        known: how many of the bytes count, up to the first that is neither printable nor white space.
        whole: the text ends there.

    Returns:
        (starts, whether these are all of the whole text).
    """
    inside = ~np.uint64(0) >> np.uint64(WIDTH - known)
    one = np.uint64(1)
    letters, numbers, marks = masks.letters & inside, masks.numbers & inside, masks.marks & inside
    spaces, breaks = masks.spaces & inside, masks.breaks & inside
    blanks = spaces | (masks.tabs & inside)
    after_space = spaces << one

    groups = number_starts = numbers & ~(numbers << one)  # \p{N}{1,3}
    fourth = numbers & (numbers << one) & (numbers << np.uint64(2)) & (numbers << np.uint64(3))
    while groups != 0:
        groups = (groups << np.uint64(3)) & fourth
        number_starts |= groups
    mark_starts = marks & ~(marks << one) & ~after_space  # ` ?[\p{P}\p{S}]+`
    joined = mark_starts & ~(marks >> one) & (letters >> one)  # one mark with the letters after it
    letter_starts = letters & ~(letters << one) & ~(blanks << one) & ~(joined << one)
    taken = breaks & ~(breaks + (breaks & (marks << one)))  # `[\r\n]*` after marks: the sum clears the run
    white = (blanks | breaks) & ~taken
    white_starts = white & ~(white << one)
    after_break = blanks & ((breaks & ~taken) << one)  # what `\s*[\r\n]+` leaves, if no other break follows
    leading = blanks & ((letters | marks) >> one)  # `\s+(?!\S)` leaves one character to the word
    starts = one | number_starts | mark_starts | letter_starts | white_starts | after_break | leading

    between = (blanks + after_break) & breaks
    at = np.int64(known) - 1
    if between != 0:
        at = trailing_zeros(between)
    elif whole or ((blanks | breaks) >> np.uint64(at)) & one == 0:
        return starts, whole
    before = ~(blanks | breaks) & ~(~np.uint64(0) << np.uint64(at))
    run = 64 - leading_zeros(before) if before != 0 else np.int64(0)
    return starts & ~(~np.uint64(1) << np.uint64(run)), False


@kernel_step
def skip_letters(data: np.ndarray, i: int, n: int, classes: np.ndarray, region: int) -> int:
    """The end of a run of letters and marks of one region."""
    while i < n:
        if region == 0:
            i = skip_ascii_letters(data, i, n, FOLD)
            if i >= n or data[i] < 0x80:
                return i
        point, length = decode_at(data, i, n)
        if classes[point] & (LETTER | HAN) != LETTER | region:
            return i
        i += length
    return i


@kernel_step
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


@kernel_step
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
        end = skip_ascii_letters(data, after, n, FOLD)
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


@kernel_step
def cut_ascii(data: np.ndarray, place: int, n: int, ends: np.ndarray, count: int) -> int:
    """Appends the certain ends in the 64 bytes from `place` on, where a pretoken starts; returns how many, perhaps 0.

    `data` and `ends`, of which `count` are filled, have as many places from there on.
    """
    masks = Masks(*class_masks(data, place))
    plain = masks.letters | masks.numbers | masks.marks | masks.spaces | masks.tabs | masks.breaks
    known = min(trailing_zeros(~plain) if ~plain != 0 else np.int64(WIDTH), n - place)
    if known < 2:
        return 0
    starts, whole = starts_in(masks, known, known == n - place)
    starts &= ~np.uint64(1)
    before = count
    while starts != 0:
        ends[count] = place + trailing_zeros(starts)
        starts &= starts - np.uint64(1)
        count += 1
    if whole:
        ends[count] = n
        count += 1
    return count - before


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
    count = 0
    while count < ends.shape[0] and document < offsets.shape[0] - 1:
        n = offsets[document + 1]
        while place < n and count < ends.shape[0]:
            if place + WIDTH <= data.shape[0] and count + WIDTH <= ends.shape[0] and data[place] < 0x80:
                more = cut_ascii(data, place, n, ends, count)
                if more > 0:
                    count += more
                    place = ends[count - 1]
                    continue
            place = next_end(data, place, n, classes)
            ends[count] = place
            count += 1
        if place >= n:
            document += 1
    cursor[0] = document
    cursor[1] = place
    return count
