"""The Unicode classes that pretoken patterns name, a table over all code points, and decoding UTF-8 in kernels.

The table is made by asking `tokenizers` itself which characters match `\\p{L}`, `\\p{N}` and so on, because Unicode
versions differ between regex engines. That takes about two seconds once for each version of `tokenizers`; the
result, 2 MB, is kept in the user's cache folder, and remade in each process where that folder cannot be written.

Bytes that are not UTF-8 have classes all the same, so that kernels need not look for them: a first byte alone says how
long a character is (below 0xE0, two bytes), and the character is whatever its bits spell, a surrogate or an unassigned
code point included. Only what the end of a document cuts off is an unassigned one, to that end.
"""

import io
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from corpusmill.dataproc.cache import user_cache_folder
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel_step
from corpusmill.dataproc.storage import commit_bytes
from corpusmill.tokenizer.keys import Integer

LETTER, NUMBER, MARKED, SPACE, HAN, COMBINING, UPPER, LOWER = 1, 2, 4, 8, 16, 32, 64, 128
"""Class bits: letter or mark; number; punctuation or symbol; white space; member of DeepSeek-V3's Han and kana; mark
(which has the first bit, too); capital or title-case letter; small letter."""

CLASS_REGEXES = (
    (r"[\p{L}\p{M}]+", LETTER),
    (r"\p{N}+", NUMBER),
    (r"[\p{P}\p{S}]+", MARKED),
    (r"\s+", SPACE),
    (r"\p{M}+", COMBINING),
    (r"[\p{Lu}\p{Lt}]+", UPPER),
    (r"\p{Ll}+", LOWER),
)
HAN_RANGES = ((0x4E00, 0x9FA5), (0x3040, 0x309F), (0x30A0, 0x30FF))
TABLE_SIZE = 1 << 21  # whatever a damaged 4-byte sequence decodes to stays inside the table


def build_classes() -> np.ndarray:
    """Class bits of every code point, uint8 of shape (2^21,), asked of the regex engine inside `tokenizers`."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    points = np.concatenate([np.arange(0xD800), np.arange(0xE000, 0x110000)])  # surrogates are not text
    classes = np.zeros(TABLE_SIZE, np.uint8)
    for regex, bit in CLASS_REGEXES:
        splitter = Split(Regex(regex), "isolated")
        for start in range(0, len(points), 200_000):
            stretch = points[start : start + 200_000]
            # U+0001 belongs to no class, so pieces take turns: not matched, matched, not matched, …
            pieces = splitter.pre_tokenize_str("\x01" + stretch.astype("<u4").tobytes().decode("utf-32-le"))
            for _, (first, end) in pieces[1::2]:
                classes[stretch[first - 1 : end - 1]] |= bit
    for first, last in HAN_RANGES:
        classes[first : last + 1] |= HAN
    return classes


@cache
def unicode_classes() -> np.ndarray:
    """`build_classes`, from the user's cache folder where it is there; read-only."""
    import tokenizers

    path = Path(user_cache_folder()) / "unicode" / f"classes-2-tokenizers-{tokenizers.__version__}.npy"
    try:
        classes = np.load(path, allow_pickle=False)
        if classes.shape == (TABLE_SIZE,) and classes.dtype == np.uint8:
            return read_only(classes)
    except (OSError, ValueError):  # not there yet, or damaged: made again below
        pass
    classes = build_classes()
    buffer = io.BytesIO()
    np.save(buffer, classes)
    with suppress(OSError):  # a cache that cannot be written costs time, not correctness
        commit_bytes(str(path), buffer.getvalue())
    return read_only(classes)


@kernel_step
def decode_at(data: np.ndarray, i: int, n: int) -> tuple[Integer, Integer]:
    """(code point, bytes) of the UTF-8 character at `i`; one cut off by the end `n` counts as an unassigned one."""
    lead = np.int64(data[i])
    if lead < 0x80:
        return lead, np.int64(1)
    if lead < 0xE0:
        if i + 2 > n:
            return np.int64(0), n - i
        return ((lead & 0x1F) << 6) | (np.int64(data[i + 1]) & 0x3F), np.int64(2)
    if lead < 0xF0:
        if i + 3 > n:
            return np.int64(0), n - i
        tail = ((np.int64(data[i + 1]) & 0x3F) << 6) | (np.int64(data[i + 2]) & 0x3F)
        return ((lead & 0x0F) << 12) | tail, np.int64(3)
    if i + 4 > n:
        return np.int64(0), n - i
    tail = ((np.int64(data[i + 2]) & 0x3F) << 6) | (np.int64(data[i + 3]) & 0x3F)
    return ((lead & 0x07) << 18) | ((np.int64(data[i + 1]) & 0x3F) << 12) | tail, np.int64(4)
