"""Cutting text into pretokens, exactly where Hugging Face's regular expressions cut it, at 120 MB/s a core or more.

That speed is a walker's (`tokenizer/walkers/`), which each preset pattern has: a kernel that finds the cuts in one pass
over the bytes. Any other pattern goes through the regular expressions themselves (`tokenizer/regexes.py`), at some
6 MB/s; `is_fast` says which it is. Both report pretokens as ends: they tile the text, so one's end is the next
one's start. They come in blocks of some ten thousand, which stay in the processor's cache for counting (`counts.py`) or
encoding (`encoder.py`).

Bytes that are not UTF-8 are tiled like any others, in the same way on every machine and in every batch, and a damaged
character never reaches into the next document. The classes that such bytes have are said where they are given: for
walkers in `tokenizer/unicode.py`, else in `tokenizer/regexes.py`.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import Texts, read_only, text_buffers
from corpusmill.tokenizer.patterns import (
    CL100K,
    CONTRACTIONS,
    DEEPSEEK_V3,
    EXPANDED_CONTRACTIONS,
    GPT2,
    O200K,
    QWEN2,
    Pattern,
    pattern_named,
)
from corpusmill.tokenizer.regexes import regex_blocks
from corpusmill.tokenizer.unicode import unicode_classes
from corpusmill.tokenizer.walkers.cl100k import walk_words
from corpusmill.tokenizer.walkers.deepseek_v3 import walk_deepseek_v3
from corpusmill.tokenizer.walkers.gpt2 import walk_gpt2
from corpusmill.tokenizer.walkers.o200k import walk_cased_words

BLOCK = 1 << 14

Walker = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], int]
"""(data, offsets, cursor, classes, ends) -> how many ends it wrote, as in `walk_deepseek_v3`."""


def _words(most_digits: int, long_s: bool) -> Walker:
    return lambda *arguments: walk_words(*arguments, most_digits, long_s)


def _cased_words(long_s: bool) -> Walker:
    return lambda *arguments: walk_cased_words(*arguments, long_s)


def _expanded(pattern: Pattern) -> tuple[str, ...]:
    return tuple(regex.replace(CONTRACTIONS, EXPANDED_CONTRACTIONS) for regex in pattern.splits)


WALKERS: dict[tuple[str, ...], Walker] = {
    DEEPSEEK_V3.splits: walk_deepseek_v3,
    GPT2.splits: walk_gpt2,
    CL100K.splits: _words(3, long_s=True),  # Llama 3's, too
    QWEN2.splits: _words(1, long_s=True),
    O200K.splits: _cased_words(long_s=True),
    _expanded(CL100K): _words(3, long_s=False),
    _expanded(QWEN2): _words(1, long_s=False),
    _expanded(O200K): _cased_words(long_s=False),
}
"""By the expressions that they stand for."""


def is_fast(pattern: str | Pattern) -> bool:
    """Whether a pattern has a walker; without one, cutting takes some 25 times as long."""
    return pattern_named(pattern).splits in WALKERS


def pretoken_blocks(
    offsets: np.ndarray, data: np.ndarray, pattern: str | Pattern = "deepseek-v3"
) -> Iterator[tuple[int, np.ndarray]]:
    """The pretokens of documents, block by block: (start of the first, ends int64). A block's memory is used again.

    Ends never run past a document's end; blocks follow each other without a gap. `offsets` and `data` are as from
    `read_text`.
    """
    splits = pattern_named(pattern).splits
    walk = WALKERS.get(splits)
    if walk is None:
        yield from regex_blocks(offsets, data, splits, BLOCK)
        return
    classes = unicode_classes()
    start = int(offsets[0])
    cursor = np.array([0, start], np.int64)
    ends = np.empty(BLOCK, np.int64)
    while count := walk(data, offsets, cursor, classes, ends):
        yield start, ends[:count]
        start = int(cursor[1])


def read_text(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64, data uint8) of a string or binary array without nulls, or of an iterable of str, read-only, as
    the kernels take them."""
    offsets, data = text_buffers(texts)
    return read_only(offsets), read_only(data)


def pretokens(text: str, pattern: str | Pattern = "deepseek-v3") -> list[str]:
    """The pretokens of one text, for looking at; a damaged piece shows as replacement characters."""
    raw = text.encode()
    pieces = []
    for start, ends in pretoken_blocks(*read_text(pa.array([raw], pa.large_binary())), pattern):
        for end in ends.tolist():
            pieces.append(raw[start:end].decode(errors="replace"))
            start = end
    return pieces
