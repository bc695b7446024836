r"""What GPT's family of patterns has in common: runs of letters, of digits, of white space and of all the rest.

GPT-2's pattern and those that came of it (cl100k, o200k, Llama 3's, Qwen2's) are one regular expression each, in which
every character belongs to exactly one of four sets: `\p{L}`, `\p{N}`, `\s`, and the others, which take in marks
(`\p{M}`), unlike in DeepSeek-V3's. They differ in how these sets are joined, which the walkers say.

`(?i:'s|…)` folds case as Unicode does, in `tokenizers`' engine and tiktoken's alike: `'ſ` (U+017F, long s) is a
contraction, too. No other character beyond ASCII folds into the letters of the seven contractions.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_step
from corpusmill.dataproc.kernels.loads import load64
from corpusmill.tokenizer.keys import Integer
from corpusmill.tokenizer.unicode import COMBINING, LETTER, NUMBER, SPACE, decode_at
from corpusmill.tokenizer.walkers.masks import trailing_zeros

APOSTROPHE = 0x27
LONG_S_LEAD, LONG_S_TAIL = 0xC5, 0xBF
"""The two bytes of U+017F."""


@kernel_step
def is_letter(kind: int) -> bool:
    r"""Whether class bits are those of `\p{L}`."""
    return kind & (LETTER | COMBINING) == LETTER


@kernel_step
def is_other(kind: int) -> bool:
    r"""Whether class bits are those of `[^\s\p{L}\p{N}]`."""
    return kind & (NUMBER | SPACE) == 0 and kind & (LETTER | COMBINING) != LETTER


@kernel_step
def skip_ascii_letters(data: np.ndarray, i: int, n: int, case: np.uint64) -> int:
    """The first place from `i` on that holds no ASCII letter, or `n`; eight bytes at a time while they fit.

    `case` is 0x20 in every byte for letters of both cases, 0 for small ones alone.
    """
    high_bits = np.uint64(0x8080808080808080)
    while i + 8 <= n:
        word = load64(data, i)
        lower = (word | case) & np.uint64(0x7F7F7F7F7F7F7F7F)
        at_least_a = lower + np.uint64(0x1F1F1F1F1F1F1F1F)  # the high bit of a byte says: >= 'a'
        above_z = lower + np.uint64(0x0505050505050505)
        others = ~(at_least_a & ~above_z & ~word) & high_bits
        if others != np.uint64(0):
            return i + (trailing_zeros(others) >> 3)
        i += 8
    fold = np.uint8(case & np.uint64(0xFF))
    while i < n and np.uint8((data[i] | fold) - 0x61) < 26:
        i += 1
    return i


@kernel_step
def skip_letters(data: np.ndarray, i: int, n: int, classes: np.ndarray) -> int:
    r"""The end of `\p{L}*` from `i` on."""
    while i < n:
        i = skip_ascii_letters(data, i, n, np.uint64(0x2020202020202020))
        if i >= n or data[i] < 0x80:
            return i
        point, length = decode_at(data, i, n)
        if not is_letter(classes[point]):
            return i
        i += length
    return i


@kernel_step
def skip_numbers(data: np.ndarray, i: int, n: int, classes: np.ndarray, most: int) -> int:
    r"""The end of `\p{N}{0,most}` from `i` on."""
    while i < n and most > 0:
        point, length = decode_at(data, i, n)
        if not classes[point] & NUMBER:
            return i
        i += length
        most -= 1
    return i


@kernel_step
def skip_others(data: np.ndarray, i: int, n: int, classes: np.ndarray) -> int:
    r"""The end of `[^\s\p{L}\p{N}]*` from `i` on."""
    while i < n:
        point, length = decode_at(data, i, n)
        if not is_other(classes[point]):
            return i
        i += length
    return i


@kernel_step
def skip_white_space(data: np.ndarray, start: int, n: int, classes: np.ndarray, breaks: bool) -> Integer:
    r"""The end of a pretoken of white space: with `breaks` `\s*[\r\n]+`, else `\s+(?!\S)`, else `\s+`."""
    i = last = start
    after_break = np.int64(0)
    while i < n:
        point, length = decode_at(data, i, n)
        if not classes[point] & SPACE:
            break
        last = i
        i += length
        if breaks and (point == 10 or point == 13):
            after_break = i
    if after_break:
        return after_break
    return last if last > start and i < n else i


@kernel_step
def contraction_end(data: np.ndarray, i: int, n: int, any_case: bool, long_s: bool) -> int:
    """The end of an English contraction ('s 't 're 've 'm 'll 'd) that starts at `i`; `i` where none does.

    Args:
        any_case: capital letters count, too.
        long_s: so does U+017F, as it does where a regex folds case.
    """
    if i + 1 >= n or data[i] != APOSTROPHE:
        return i
    fold = np.uint8(0x20 if any_case else 0)
    letter = data[i + 1] | fold
    if letter == ord("s") or letter == ord("t") or letter == ord("m") or letter == ord("d"):
        return i + 2
    if i + 2 >= n:
        return i
    if letter == ord("r") or letter == ord("v"):
        return i + 3 if data[i + 2] | fold == ord("e") else i
    if letter == ord("l"):
        return i + 3 if data[i + 2] | fold == ord("l") else i
    if long_s and data[i + 1] == LONG_S_LEAD and data[i + 2] == LONG_S_TAIL:
        return i + 3
    return i
