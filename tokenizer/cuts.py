"""Cutting a run of Han or kana where no token reaches across, which changes no id and lets the cache do its work.

Chinese and Japanese are written without spaces, so a pretoken there is a whole clause, and hardly one occurs twice: a
cache of pretokens misses, and each is merged anew. But most neighbouring characters belong to no token together.

Why a cut is exact. Merging joins two neighbouring symbols into one whose bytes are a token's. Let no token of the
vocabulary hold the bytes on both sides of a place p of a text. Then no symbol ever reaches across p, so every merge is
left of p or right of it, and the order of merges on one side asks nothing of the other: the lowest rank of that
side goes first, whatever the other does. So the ids of the text are those of its two parts, one after the other.
(Not so with `whole_first`, where the part may be a token that merging does not reach: no cuts then.)

Characters here are three bytes with a first byte of 0xE3 to 0xE9 (U+3000 to U+9FFF, most of what the pattern calls
Han), and p lies between two of them. A token that reaches across p has there either three bytes or more on both sides,
and then the two whole characters; such pairs are in a table of bits, by a hash. Or it starts or ends inside a
character, which few tokens do; these are recognised by the last byte on the left and the first two on the right. Both
may say "joined" of a place that is none, which only leaves the run longer, never "not joined" of one that is. None of
this asks the bytes to be UTF-8.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.loads import load64
from corpusmill.tokenizer.keys import Integer
from corpusmill.tokenizer.pretokens import read_text

PAIR_BITS = 20
PARTS = 1 << PAIR_BITS
"""Bits before this one are pairs of whole characters, by hash; from it on, bytes around a place, 2^16 bits."""

FIRST, LAST = 0xE3, 0xE9
PIECES = 1 << 15


@kernel_step
def is_lead(byte: int) -> bool:
    """Whether a byte is the first one of a character that cuts are looked for at."""
    return FIRST <= byte <= LAST


@kernel_step
def pair_bit(pair: np.uint64) -> Integer:
    """The bit of two characters, the low six bytes of a word."""
    mixed = (pair & np.uint64(0xFFFFFFFFFFFF)) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed >> np.uint64(64 - PAIR_BITS))


@kernel_step
def part_bit(last: int, lead: int, second: int) -> Integer:
    """The bit of the bytes around a place: the last on its left, the first two on its right."""
    return PARTS + ((np.int64(last) & 63) << 10) + ((np.int64(lead) & 15) << 6) + (np.int64(second) & 63)


@kernel_step
def has_bit(bits: np.ndarray, bit: int) -> bool:
    return (bits[bit >> 6] >> np.uint64(bit & 63)) & np.uint64(1) != 0


@kernel_step
def set_bit(bits: np.ndarray, bit: int) -> None:
    bits[bit >> 6] |= np.uint64(1) << np.uint64(bit & 63)


@kernel
def mark_joined(offsets: np.ndarray, data: np.ndarray, bits: np.ndarray) -> None:
    """Sets the bits of all places inside tokens. `data` has eight bytes to spare behind the last token."""
    for token in range(offsets.shape[0] - 1):
        start, end = offsets[token], offsets[token + 1]
        for place in range(start + 1, end):
            if not is_lead(data[place]):
                continue
            if place - start >= 3 and end - place >= 3:
                set_bit(bits, pair_bit(load64(data, place - 3)))
            elif end - place >= 2:
                set_bit(bits, part_bit(data[place - 1], data[place], data[place + 1]))
            else:
                for second in range(64):
                    set_bit(bits, part_bit(data[place - 1], data[place], second))


def joined_characters(tokens: pa.LargeBinaryArray) -> np.ndarray:
    """Where tokens (nulls among them count as empty) reach from one character to the next, as `cut_spans` takes it."""
    offsets, data = read_text(pa.concat_arrays([tokens.fill_null(b""), pa.array([b"\0" * 8], pa.large_binary())]))
    bits = np.zeros((PARTS + (1 << 16)) // 64, np.uint64)
    mark_joined(read_only(offsets[:-1]), data, bits)
    return read_only(bits)


@kernel
def cut_spans(
    data: np.ndarray, ends: np.ndarray, cursor: np.ndarray, bits: np.ndarray, least: int, pieces: np.ndarray
) -> int:
    """Fills `pieces` with the ends of the next pieces of pretokens; returns how many, 0 when all are done.

    Args:
        data: uint8.
        ends: int64, where pretokens end.
        cursor: int64 (3,): the pretoken and the place to go on from, and the longest piece so far; moved on.
        bits: as from `joined_characters`.
        least: pretokens shorter than this are left as they are.
        pieces: int64, to be filled.
    """
    span = cursor[0]
    place = cursor[1]
    longest = cursor[2]
    count = 0
    safe = data.shape[0] - 8
    while span < ends.shape[0] and count < pieces.shape[0]:
        end = ends[span]
        if end - place >= least and is_lead(data[place]):
            at = place + 3
            while at + 3 <= min(end, safe) and count < pieces.shape[0] - 1 and is_lead(data[at]):
                joined = has_bit(bits, pair_bit(load64(data, at - 3)))
                if not joined and not has_bit(bits, part_bit(data[at - 1], data[at], data[at + 1])):
                    pieces[count] = at
                    count += 1
                    longest = max(longest, at - place)
                    place = at
                at += 3
            if count == pieces.shape[0] - 1 and at + 3 <= min(end, safe) and is_lead(data[at]):
                break
        longest = max(longest, end - place)
        pieces[count] = place = end
        count += 1
        span += 1
    cursor[0] = span
    cursor[1] = place
    cursor[2] = longest
    return count


def pieces_of(
    data: np.ndarray, blocks: Iterable[tuple[int, np.ndarray]], bits: np.ndarray, least: int
) -> Iterator[tuple[int, np.ndarray, int]]:
    """(start, ends, length of the longest) of the pieces of blocks of pretokens; a block's memory is used again."""
    pieces = np.empty(PIECES, np.int64)
    for start, ends in blocks:
        cursor = np.array([0, start, 0], np.int64)
        while count := cut_spans(data, read_only(ends), cursor, bits, least, pieces):
            yield start, pieces[:count], int(cursor[2])
            start = int(cursor[1])
