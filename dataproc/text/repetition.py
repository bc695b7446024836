"""What repeats within one document: lines, paragraphs and word n-grams, under the two meanings that tools give it.

Keys (64 bits a unit, from `dataproc.text.scan`) are numbered in a hash table, equal keys alike. Then

    every copy counts (`dclm`)        a line that occurs twice counts twice; all words of repeated n-grams count once
    first copy is free (`datatrove`)  a line that occurs twice counts once; n-grams are met greedily from left to right

An n-gram is a pair of (n-1)-grams that overlap in all but one word, so its key is the pair of their numbers: exact, and
only where both repeat can it repeat itself. Each n therefore looks only at what is left of n - 1, and in ordinary prose
almost nothing is left after three words: all sizes from 2 to 10 cost little more than numbering the words once.

Documents of up to 2^31 words. Scratch: 30 bytes a word of the longest document.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from typing import NamedTuple

import numba
import numpy as np

from dataproc.text.counts import Count

LARGEST_TOP = 4
SMALLEST_COVERED = 5
LARGEST_NGRAM = 10

_SPREAD = 0x9E3779B97F4A7C15


class Scratch(NamedTuple):
    """Arrays for numbering keys: a hash table (`table_*`), and lists with room for as many keys as there may be."""

    table_keys: np.ndarray
    table_numbers: np.ndarray
    keys: np.ndarray
    positions: np.ndarray
    numbers: np.ndarray
    copies: np.ndarray
    met: np.ndarray


@numba.njit(cache=True, nogil=True)
def make_scratch(room):
    """Scratch for documents of at most `room` words, text lines and paragraphs."""
    slots = 4
    while slots < 2 * room:
        slots *= 2
    return Scratch(
        np.empty(slots, np.uint64),
        np.empty(slots, np.int32),
        np.empty(room, np.uint64),
        np.empty(room, np.int64),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.uint8),
    )


@numba.njit(cache=True, nogil=True)
def number_keys(keys, count, scratch):
    """Numbers keys[:count] by first occurrence into scratch.numbers; scratch.copies[number] says how often each occurs.

    Returns how many different keys there are.
    """
    slots = 4
    shift = 62
    while slots < 2 * count:
        slots *= 2
        shift -= 1
    for slot in range(slots):
        scratch.table_numbers[slot] = -1
    distinct = 0
    for position in range(count):
        key = keys[position]
        slot = np.int64(((key ^ (key >> np.uint64(32))) * np.uint64(_SPREAD)) >> np.uint64(shift))
        number = scratch.table_numbers[slot]
        while number >= 0 and scratch.table_keys[slot] != key:
            slot = (slot + 1) & (slots - 1)
            number = scratch.table_numbers[slot]
        if number < 0:
            number = np.int32(distinct)
            distinct += 1
            scratch.table_numbers[slot] = number
            scratch.table_keys[slot] = key
            scratch.copies[number] = 0
        scratch.copies[number] += 1
        scratch.numbers[position] = number
    return distinct


@numba.njit(cache=True, nogil=True)
def count_repeated(keys, sizes, count, scratch, row, column):
    """Writes four counts to row[column:]: units and their characters; of all copies, then of all but the first."""
    distinct = number_keys(keys, count, scratch)
    repeated = repeated_size = later_size = 0
    for number in range(distinct):
        scratch.met[number] = 0
    for position in range(count):
        number = scratch.numbers[position]
        if scratch.copies[number] > 1:
            repeated += 1
            repeated_size += sizes[position]
            if scratch.met[number]:
                later_size += sizes[position]
            scratch.met[number] = 1
    row[column] = repeated
    row[column + 1] = repeated_size
    row[column + 2] = count - distinct
    row[column + 3] = later_size


@numba.njit(cache=True, nogil=True)
def count_ngrams(word_keys, word_ends, words, scratch, row):
    """Writes the counts TOP, JOINED_TOP, COVERED and GREEDY of a document's words into `row`, where they must be 0."""
    for n in range(2, min(LARGEST_TOP, words) + 1):
        row[Count.JOINED_TOP_2 + n - 2] = word_ends[n] + n - 1
    number_keys(word_keys, words, scratch)
    kept = np.int64(0)
    for position in range(words):
        if scratch.copies[scratch.numbers[position]] > 1:
            scratch.positions[kept] = position
            scratch.numbers[kept] = scratch.numbers[position]
            kept += 1
    for n in range(2, LARGEST_NGRAM + 1):
        # Candidates: neighbours that both repeat as (n-1)-grams.
        count = np.int64(0)
        for index in range(kept - 1):
            if scratch.positions[index + 1] == scratch.positions[index] + 1:
                left, right = np.uint64(scratch.numbers[index]), np.uint64(scratch.numbers[index + 1])
                scratch.keys[count] = (left << np.uint64(32)) | right
                scratch.positions[count] = scratch.positions[index]
                count += 1
        if count < 2:
            return
        distinct = number_keys(scratch.keys, count, scratch)
        kept = np.int64(0)
        for index in range(count):
            if scratch.copies[scratch.numbers[index]] > 1:
                scratch.positions[kept] = scratch.positions[index]
                scratch.numbers[kept] = scratch.numbers[index]
                kept += 1
        if n <= LARGEST_TOP:
            _count_top(n, word_ends, kept, scratch, row)
        elif n >= SMALLEST_COVERED:
            for number in range(distinct):
                scratch.met[number] = 0
            _count_covered(n, word_ends, kept, scratch, row)


@numba.njit(cache=True, nogil=True)
def _count_top(n, word_ends, kept, scratch, row):
    most = most_size = first_size = 0
    for index in range(kept):
        copies = np.int64(scratch.copies[scratch.numbers[index]])
        position = scratch.positions[index]
        size = word_ends[position + n] - word_ends[position]
        if copies > most:
            most, most_size, first_size = copies, size, size
        elif copies == most:
            most_size = max(most_size, size)
    if most:
        row[Count.TOP_2 + n - 2] = most * most_size
        row[Count.JOINED_TOP_2 + n - 2] = most * (first_size + n - 1)


@numba.njit(cache=True, nogil=True)
def _count_covered(n, word_ends, kept, scratch, row):
    covered = greedy = covered_until = free_from = 0
    for index in range(kept):
        position = scratch.positions[index]
        covered += word_ends[position + n] - word_ends[max(position, covered_until)]
        covered_until = position + n
        if position >= free_from:
            number = scratch.numbers[index]
            if scratch.met[number]:
                greedy += word_ends[position + n] - word_ends[position]
                free_from = position + n
            scratch.met[number] = 1
    row[Count.COVERED_5 + n - 5] = covered
    row[Count.GREEDY_5 + n - 5] = greedy
