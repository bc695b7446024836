r"""Cutting text by the regular expressions themselves, in `tokenizers`' engine: any pattern, at some 6 MB/s a core.

This is what patterns without a walker get. The library takes one string at a time, so there is a Python call for each
document and objects for each pretoken: memory is some 150 times the bytes of the longest document while that is cut.

Its strings are Unicode, so bytes that are not valid UTF-8 are shown to it as U+FFFF, one for each byte: a noncharacter,
of no class. Each piece then covers the bytes that its characters stand for, and pieces tile the document as they do in
any text. (Surrogates are not valid UTF-8 either.) The walkers are different there: `tokenizer/unicode.py`.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from corpusmill.dataproc.errors import is_caught

NONCHARACTER = 0xFFFF


class RegexGaveUp(ValueError):
    """The regular expressions do not come to an end on a text: the engine's limit on steps stopped them, by a panic."""


@cache
def splitter(splits: tuple[str, ...]) -> Any:
    """The pre-tokenizer of `tokenizers` that applies the splits in turn."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Sequence, Split

    return Sequence([Split(Regex(regex), "isolated") for regex in splits])


def piece_ends(raw: bytes, splits: tuple[str, ...]) -> np.ndarray:
    """The ends of the pieces of one document that is not empty, in bytes from its start, int64."""
    points = np.frombuffer(raw.decode(errors="surrogateescape").encode("utf-32-le", "surrogatepass"), np.uint32)
    damaged = (points >= 0xDC80) & (points <= 0xDCFF)
    lengths = 1 + (points >= 0x80) + (points >= 0x800).astype(np.int64) + (points >= 0x10000)
    lengths[damaged] = 1
    text = np.where(damaged, np.uint32(NONCHARACTER), points).tobytes().decode("utf-32-le")
    try:
        pieces = splitter(splits).pre_tokenize_str(text)
    except BaseException as error:
        if not is_caught(error):
            raise
        raise RegexGaveUp(f"the tokenizer's regular expression gave up on it ({error})") from error
    last_characters = np.array([end for _, (_, end) in pieces], np.int64) - 1
    return np.asarray(np.cumsum(lengths)[last_characters], np.int64)


def regex_blocks(
    offsets: np.ndarray, data: np.ndarray, splits: tuple[str, ...], block: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The blocks of `pretoken_blocks`, each of one document and at most `block` pretokens."""
    for document in range(len(offsets) - 1):
        first, last = int(offsets[document]), int(offsets[document + 1])
        if first == last:
            continue
        ends = first + piece_ends(data[first:last].tobytes(), splits)
        start = first
        for place in range(0, len(ends), block):
            yield start, ends[place : place + block]
            start = int(ends[min(place + block, len(ends)) - 1])
