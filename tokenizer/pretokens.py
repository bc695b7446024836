"""Cutting text into pretokens at some 200 MB/s a core, exactly where Hugging Face's regular expressions cut it.

The three splits of DeepSeek-V3 (`tokenizer/patterns.py`) need only a few Unicode classes, so one pass with a table of
classes replaces a backtracking regex engine that manages 2 MB/s. What makes one pass enough: numbers and runs of Han
and kana are hard borders for the third expression, which sees each stretch between them as a text of its own. So every
run stops at a character of another region, and a space run before a border keeps its last space ("end of text").

The table is made by asking `tokenizers` itself which characters match `\\p{L}`, `\\p{N}` and so on, because Unicode
versions differ between regex engines. That takes about two seconds once for each version of `tokenizers`; the result,
2 MB, is kept in the user's cache folder, and remade in each process where that folder cannot be written.

The walker reports pretokens as ends: they tile the text, so one's end is the next one's start. It fills a block of
some ten thousand at a time, which stay in the processor's cache for counting (`counts.py`) or encoding (`encoder.py`).
"""

import io
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from dataproc.cache import user_cache_folder
from dataproc.documents import text_buffers
from dataproc.storage import commit_bytes
from tokenizer.keys import Integer, kernel, kernel_part, load64, read_only
from tokenizer.patterns import pattern_named

LETTER, NUMBER, MARKED, SPACE, HAN = 1, 2, 4, 8, 16
"""Class bits: letter or mark; number; punctuation or symbol; white space; member of the second split's Han and kana."""

CLASS_REGEXES = ((r"[\p{L}\p{M}]+", LETTER), (r"\p{N}+", NUMBER), (r"[\p{P}\p{S}]+", MARKED), (r"\s+", SPACE))
HAN_RANGES = ((0x4E00, 0x9FA5), (0x3040, 0x309F), (0x30A0, 0x30FF))
TABLE_SIZE = 1 << 21  # whatever a damaged 4-byte sequence decodes to stays inside the table
BLOCK = 1 << 14


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

    path = Path(user_cache_folder()) / "unicode" / f"classes-tokenizers-{tokenizers.__version__}.npy"
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


@kernel_part
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


WALKERS = {"deepseek-v3": walk_deepseek_v3}


def pretoken_blocks(
    offsets: np.ndarray, data: np.ndarray, pattern: str = "deepseek-v3"
) -> Iterator[tuple[int, np.ndarray]]:
    """The pretokens of documents, block by block: (start of the first, ends int64). A block's memory is used again.

    Ends never run past a document's end; blocks follow each other without a gap. `offsets` and `data` are as from
    `read_text`.
    """
    walk = WALKERS[pattern_named(pattern).name]
    classes = unicode_classes()
    start = int(offsets[0])
    cursor = np.array([0, start], np.int64)
    ends = np.empty(BLOCK, np.int64)
    while found := walk(data, offsets, cursor, classes, ends):
        yield start, ends[:found]
        start = int(cursor[1])


def read_text(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64, data uint8) of a string or binary array without nulls, read-only, as the kernels take them."""
    offsets, data = text_buffers(texts)
    return read_only(offsets), read_only(data)


def pretokens(text: str, pattern: str = "deepseek-v3") -> list[str]:
    """The pretokens of one text, for looking at; a damaged piece shows as replacement characters."""
    raw = text.encode()
    pieces = []
    for start, ends in pretoken_blocks(*read_text(pa.array([raw], pa.large_binary())), pattern):
        for end in ends.tolist():
            pieces.append(raw[start:end].decode(errors="replace"))
            start = end
    return pieces
