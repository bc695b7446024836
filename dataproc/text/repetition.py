"""What repeats within one document: lines, paragraphs and n-grams, under the three meanings that tools give it.

Keys (64 bits a unit, from `dataproc.text.scan`) are put into a hash table that counts them; the number of a key is its
slot there, so equal keys have equal numbers. Then

    every copy counts (`dclm`)        a line that occurs twice counts twice; all words of repeated n-grams count once
    first copy is free (`datatrove`)  a line that occurs twice counts once; n-grams are met greedily from left to right
    copies added up (`dolma`)         all words of repeated n-grams count once for each n-gram that they are in

n-grams of `dclm` and `dolma` are of words; those of `datatrove` are of tokens: words, and runs of the same mark between
them, which its word splitters give as words of their own. In Markdown or tables that is most of what repeats.

An n-gram is a pair of (n-1)-grams that overlap in all but one word, so its key is the pair of their numbers: exact, and
only where both repeat can it repeat itself. Each n therefore looks only at what is left of n - 1, and in ordinary prose
almost nothing is left after three words: all sizes from 2 to 10 cost little more than counting the words once.

Whether a word of prose has been seen before is a coin toss to the processor, so nothing here branches on it: what is
left is written whether it stays or not, and the place to write at moves on only if it stays.

Documents of up to 2^31 tokens. Scratch: 70 to 100 bytes for each token that there is room for.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.text.counts import Count
from corpusmill.dataproc.text.tokens import list_tokens

LARGEST_TOP = 4
SMALLEST_COVERED = 5
LARGEST_NGRAM = 10

_SPREAD = 0x9E3779B97F4A7C15
_MET = 1 << 63
_COUNTS = len(Count)


class Scratch(NamedTuple):
    """Arrays for numbering keys.

    `table` is a hash table, uint64 of shape (2 * slots,): for each slot a key, then how often it occurs, 0 if the slot
    is free; with the highest bit set once the key was met again. `keys`, `positions` and `numbers` are lists with room
    for as many keys as there may be. `token_keys` and `token_ends` are of tokens what `dataproc.text.units.Units` holds
    of words, and `token_row` is a row of counts.
    """

    table: np.ndarray
    keys: np.ndarray
    positions: np.ndarray
    numbers: np.ndarray
    token_keys: np.ndarray
    token_ends: np.ndarray
    token_row: np.ndarray


@kernel
def make_scratch(room):
    """Scratch for documents of at most `room` tokens, and of as many text lines."""
    slots = 4
    while slots < 2 * room:
        slots *= 2
    return Scratch(
        np.empty(2 * slots, np.uint64),
        np.empty(room, np.uint64),
        np.empty(room, np.int64),
        np.empty(room, np.uint32),
        np.empty(room, np.uint64),
        np.empty(room + 1, np.int64),
        np.empty(_COUNTS, np.int64),
    )


@kernel_step
def _key(slot):
    return slot << np.uint64(1)


@kernel_step
def _copies(slot):
    return (slot << np.uint64(1)) | np.uint64(1)


@kernel_step
def number_keys(keys, count, scratch):
    """Numbers keys[:count] into scratch.numbers; scratch.table says how often each occurs.

    Returns how many different keys there are.
    """
    table, numbers = scratch.table, scratch.numbers
    slots = np.uint64(4)
    shift = np.uint64(62)
    while slots < 2 * count:
        slots *= np.uint64(2)
        shift -= np.uint64(1)
    for slot in range(np.uint64(2) * slots):
        table[slot] = np.uint64(0)
    last = slots - np.uint64(1)
    distinct = np.int64(0)
    for position in range(count):
        place = np.uint64(position)
        key = keys[place]
        slot = ((key ^ (key >> np.uint64(32))) * np.uint64(_SPREAD)) >> shift
        # One branch that is hardly taken, where "free, or another key" would be two, the first a coin toss.
        while min(table[_key(slot)] ^ key, table[_copies(slot)]) != 0:
            slot = (slot + np.uint64(1)) & last
        copies = table[_copies(slot)]
        distinct += np.int64(copies == 0)
        table[_key(slot)] = key
        table[_copies(slot)] = copies + np.uint64(1)
        numbers[place] = slot
    return distinct


@kernel_step
def count_repeated(keys, sizes, count, scratch, row, column):
    """Writes four counts to row[column:]: units and their characters; of all copies, then of all but the first."""
    row[column] = row[column + 1] = row[column + 2] = row[column + 3] = 0
    if count < 2:
        return
    distinct = number_keys(keys, count, scratch)
    if distinct == count:
        return
    repeated = repeated_size = later_size = np.int64(0)
    for position in range(count):
        slot = _copies(np.uint64(scratch.numbers[position]))
        copies = scratch.table[slot]
        if copies > 1:
            repeated += 1
            repeated_size += sizes[position]
            later_size += sizes[position] if copies & np.uint64(_MET) else np.int64(0)
            scratch.table[slot] = copies | np.uint64(_MET)
    row[column] = repeated
    row[column + 1] = repeated_size
    row[column + 2] = count - distinct
    row[column + 3] = later_size


@kernel_step
def count_repetition(data, start, stop, bitmaps, units, scratch, token_ngrams, row):
    """Writes all that repeats in data[start:stop] into `row`, once `dataproc.text.scan` has been there.

    Without `token_ngrams` the counts JOINED_TOP and GREEDY are left to say nothing.
    """
    lines, paragraphs, words = row[Count.TEXT_LINES], row[Count.PARAGRAPHS], row[Count.WORDS]
    count_repeated(units.line_keys, units.line_sizes, lines, scratch, row, np.int64(Count.REPEATED_LINES))
    count_repeated(
        units.paragraph_keys, units.paragraph_sizes, paragraphs, scratch, row, np.int64(Count.REPEATED_PARAGRAPHS)
    )
    count_ngrams(units.word_keys, units.word_ends, words, scratch, row)
    if row[Count.MARK_RUNS] == 0 or not token_ngrams:
        return
    token_row = scratch.token_row
    for column in range(Count.TOP_2, _COUNTS):
        token_row[column] = 0
    tokens = list_tokens(data, start, stop, bitmaps, units, scratch.token_keys, scratch.token_ends)
    count_ngrams(scratch.token_keys, scratch.token_ends, tokens, scratch, token_row)
    for column in range(Count.JOINED_TOP_2, Count.JOINED_TOP_4 + 1):
        row[column] = token_row[column]
    for column in range(Count.GREEDY_5, Count.GREEDY_10 + 1):
        row[column] = token_row[column]


@kernel_step
def count_ngrams(word_keys, word_ends, words, scratch, row):
    """Writes the counts from TOP on, and DISTINCT_WORDS, of a document's words into `row`, where they must be 0."""
    for n in range(2, min(LARGEST_TOP, words) + 1):
        row[Count.JOINED_TOP_2 + n - 2] = word_ends[n] + n - 1
    for n in range(SMALLEST_COVERED, min(LARGEST_NGRAM, words) + 1):
        row[Count.NGRAM_CHARACTERS_5 + n - SMALLEST_COVERED] = _all_ngram_characters(word_ends, words, n)
    row[Count.NGRAMS_10] = max(words - LARGEST_NGRAM + 1, 0)
    row[Count.DISTINCT_WORDS] = number_keys(word_keys, words, scratch)
    count = _pair_words(words, scratch)
    for n in range(2, LARGEST_NGRAM + 1):
        if count < 2:
            return
        number_keys(scratch.keys, count, scratch)
        if n < SMALLEST_COVERED:
            count = _count_top(n, word_ends, count, scratch, row)
        else:
            count = _count_covered(n, word_ends, count, scratch, row)


@kernel_step
def _all_ngram_characters(word_ends, words, n):
    """Characters of all n-grams: the ends of the last n, less the beginnings of the first n, all else cancelling."""
    characters = np.int64(0)
    for place in range(n):
        characters += word_ends[words - place] - word_ends[place]
    return characters


@kernel_step
def _pair(left, right):
    return (left << np.uint64(32)) | right


@kernel_step
def _pair_words(words, scratch):
    """Lists keys and positions of the 2-grams that may repeat: of neighbours that both do; returns how many."""
    positions, numbers, keys, table = scratch.positions, scratch.numbers, scratch.keys, scratch.table
    pairs = np.int64(0)
    left, left_repeats = np.uint64(0), False
    for position in range(words):
        number = np.uint64(numbers[np.uint64(position)])
        repeats = table[_copies(number)] > 1
        keys[np.uint64(pairs)] = _pair(left, number)
        positions[np.uint64(pairs)] = position - 1
        pairs += np.int64(repeats) & np.int64(left_repeats)
        left, left_repeats = number, repeats
    return pairs


@kernel_step
def _count_top(n, word_ends, count, scratch, row):
    """Counts TOP and JOINED_TOP over `count` numbered n-grams; lists the (n+1)-grams that may repeat."""
    positions, numbers, keys, table = scratch.positions, scratch.numbers, scratch.keys, scratch.table
    most, most_size, first_size = np.uint64(2), np.int64(0), np.int64(0)
    pairs = np.int64(0)
    left, left_repeats, left_position = np.uint64(0), False, np.int64(-2)
    for index in range(count):
        number, position = np.uint64(numbers[np.uint64(index)]), positions[np.uint64(index)]
        copies = table[_copies(number)]
        repeats = copies > 1
        if copies >= most:
            size = word_ends[np.uint64(position + n)] - word_ends[np.uint64(position)]
            if copies > most:
                most, most_size, first_size = copies, size, size
            most_size = max(most_size, size)
            first_size = size if first_size == 0 else first_size
        keys[np.uint64(pairs)] = _pair(left, number)
        positions[np.uint64(pairs)] = left_position
        pairs += np.int64(repeats) & np.int64(left_repeats) & np.int64(position == left_position + 1)
        left, left_repeats, left_position = number, repeats, position
    if first_size:
        row[Count.TOP_2 + n - 2] = np.int64(most) * most_size
        row[Count.JOINED_TOP_2 + n - 2] = np.int64(most) * (first_size + n - 1)
    return pairs


@kernel_step
def _count_covered(n, word_ends, count, scratch, row):
    """Counts COVERED, GREEDY and COPIED over `count` numbered n-grams; lists as `_count_top` does.

    So many words in a row repeat together or not at all, so that here a branch is rarely taken by surprise.
    """
    positions, numbers, keys, table = scratch.positions, scratch.numbers, scratch.keys, scratch.table
    repeated = covered = greedy = copied = covered_until = free_from = pairs = np.int64(0)
    left, left_position = np.uint64(0), np.int64(-2)
    for index in range(count):
        number, position = np.uint64(numbers[np.uint64(index)]), positions[np.uint64(index)]
        copies = table[_copies(number)]
        if copies > 1:
            repeated += 1
            end = word_ends[np.uint64(position + n)]
            size = end - word_ends[np.uint64(position)]
            copied += size
            covered += end - word_ends[np.uint64(max(position, covered_until))]
            covered_until = position + n
            if position >= free_from:
                if copies & np.uint64(_MET):
                    greedy += size
                    free_from = position + n
                table[_copies(number)] = copies | np.uint64(_MET)
            keys[np.uint64(pairs)] = _pair(left, number)
            positions[np.uint64(pairs)] = left_position
            pairs += np.int64(position == left_position + 1)
            left, left_position = number, position
    row[Count.COVERED_5 + n - SMALLEST_COVERED] = covered
    row[Count.GREEDY_5 + n - SMALLEST_COVERED] = greedy
    row[Count.COPIED_5 + n - SMALLEST_COVERED] = copied
    if n == LARGEST_NGRAM:
        row[Count.REPEATED_NGRAMS_10] = repeated
    return pairs
