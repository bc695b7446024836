"""Steps through a segment's records: how often a symbol stands before a row, which symbol a row has, where it leads.

A kernel goes on until it is done or needs a record that is not in memory; it then says which one, and is called again
with what it returned. So records can come from a disk or an object store, checked as they come, and memory is bounded
by whoever keeps them (`record_cache.py`), while the steps themselves never leave compiled code.

Numbers out of a record are bounded before they index anything, the places in its head when it comes into memory
(`prepare`): a record that somebody made up gives wrong answers, and no read outside of the records in memory.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_in_place, kernel_step
from corpusmill.dataproc.search.bits import WORD_BITS, get_bits, get_u16, get_u32, peek_bits
from corpusmill.dataproc.search.codes import MOST_BITS
from corpusmill.dataproc.search.records import (
    BLOCK,
    CLASS_BITS,
    FIXED_BYTES,
    PLACE_BYTES,
    RECORD,
    RUN_CLASSES,
    SPARE_BYTES,
)

DONE = -1
"""Instead of the number of a record that is needed."""

ABSENT = 255
"""The symbol of a byte that the segment does not hold."""

TABLE_BYTES = (2 << MOST_BITS) + (1 << CLASS_BITS)
"""What stands behind a record in memory: tables of its two codes."""


@kernel_step
def _places(data, start, sigma):
    """(different symbols, blocks, run classes, then where these stand: code lengths, symbols, run classes, blocks)."""
    present, blocks, classes = get_u16(data, start + 2), get_u16(data, start + 4), get_u16(data, start + 6)
    tables = start + FIXED_BYTES + 4 * sigma
    symbols = tables + 3 * MOST_BITS
    return present, blocks, classes, tables, symbols, symbols + present, symbols + present + classes


@kernel_in_place
def prepare(data, start, stop, sigma):
    """Fills the tables of a record's codes, which lie behind it: data[stop : stop + TABLE_BYTES].

    For each value of the next bits: place of the symbol and length of its code; class of the run and length of its
    code. What no code begins with counts as one bit, so that whatever is read, reading goes on.

    Returns whether the places in the record's head lie within it; if not, nothing is filled.
    """
    if stop - start < FIXED_BYTES + 4 * sigma + 3 * MOST_BITS + SPARE_BYTES:
        return False
    present, blocks, classes, tables, _, class_place, places = _places(data, start, sigma)
    head = places + blocks * PLACE_BYTES + (blocks - 1) * 2 * present
    if present > sigma or not 0 < blocks <= RECORD // BLOCK or classes > RUN_CLASSES or head > stop - SPARE_BYTES:
        return False
    for entry in range(1 << MOST_BITS):
        data[stop + 2 * entry] = 0
        data[stop + 2 * entry + 1] = 1
    place = symbol = 0
    for length in range(1, MOST_BITS + 1):
        for _ in range(get_u16(data, tables + 2 * (length - 1))):
            end = min(place + (1 << (MOST_BITS - length)), 1 << MOST_BITS)
            for entry in range(place, end):
                data[stop + 2 * entry] = symbol & 0xFF
                data[stop + 2 * entry + 1] = length
            place, symbol = end, symbol + 1
    class_table = stop + (2 << MOST_BITS)
    for entry in range(1 << CLASS_BITS):
        data[class_table + entry] = 1
    place, number = 0, 0
    for length in range(1, CLASS_BITS + 1):
        for _ in range(np.int64(data[tables + 2 * MOST_BITS + length - 1])):
            end = min(place + (1 << (CLASS_BITS - length)), 1 << CLASS_BITS)
            size_class = np.int64(data[class_place + min(number, classes - 1)]) & 15
            for entry in range(place, end):
                data[class_table + entry] = (size_class << 3) | length
            place, number = end, number + 1
    return True


@kernel_step
def _next_run(data, bit, stop):
    """(place of the run's symbol in the record's order, length of the run, place of the next run's bits)."""
    word = peek_bits(data, bit, stop - 1)
    entry = stop + 2 * (word >> (32 - MOST_BITS))
    symbol, length = np.int64(data[entry]), np.int64(data[entry + 1])
    word = (word << length) & 0xFFFFFFFF
    entry = np.int64(data[stop + (2 << MOST_BITS) + (word >> (32 - CLASS_BITS))])
    size_class, class_length = entry >> 3, entry & 7
    bit += length + class_length
    if size_class == 0:
        return symbol, np.int64(1), bit
    if size_class <= WORD_BITS - MOST_BITS - CLASS_BITS:
        rest = ((word << class_length) & 0xFFFFFFFF) >> (32 - size_class)
    else:
        rest = peek_bits(data, bit, stop - 1) >> (32 - size_class)
    return symbol, (np.int64(1) << size_class) + rest, bit + size_class


@kernel_step
def _ranks(data, start, stop, sigma, symbol, low, high):
    """How often `symbol` stands before the places `low` and `high` of one block of a record, the segment's count of it
    before the record included."""
    present, blocks, _, _, symbols, _, places = _places(data, start, sigma)
    total = get_u32(data, start + FIXED_BYTES + 4 * symbol)
    index = -1
    for place in range(present):
        if data[symbols + place] == symbol:
            index = place
            break
    if index < 0:
        return total, total
    block = min(low // BLOCK, blocks - 1)
    if block:
        total += get_u16(data, places + blocks * PLACE_BYTES + 2 * ((block - 1) * present + index))
    until_low = until_high = total
    done = block * BLOCK
    if done == high:
        return until_low, until_high
    bit = 8 * start + get_u32(data, places + block * PLACE_BYTES)
    while done < high:
        of, run, bit = _next_run(data, bit, stop)
        if of == index:
            until_low += max(min(run, low - done), 0)
            until_high += min(run, high - done)
        done += run
    return until_low, until_high


@kernel_step
def _symbol_and_rank(data, start, stop, sigma, offset, seen):
    """(the symbol at a place of a record, how often it stood before)."""
    present, blocks, _, _, symbols, _, places = _places(data, start, sigma)
    block = min(offset // BLOCK, blocks - 1)
    for place in range(present):
        seen[place] = 0
    bit = 8 * start + get_u32(data, places + block * PLACE_BYTES)
    done = block * BLOCK
    while True:
        index, run, bit = _next_run(data, bit, stop)
        index = min(index, present - 1)
        if done + run > offset:
            break
        seen[index] += run
        done += run
    symbol = min(np.int64(data[symbols + index]), sigma - 1)
    rank = get_u32(data, start + FIXED_BYTES + 4 * symbol) + seen[index] + offset - done
    if block:
        rank += get_u16(data, places + blocks * PLACE_BYTES + 2 * ((block - 1) * present + index))
    return symbol, rank


@kernel_step
def _sample(data, start, stop, sigma, offset, rice, width):
    """The sampled position of a place of a record, -1 where it has none."""
    _, blocks, _, _, _, _, places = _places(data, start, sigma)
    block = min(offset // BLOCK, blocks - 1)
    entry = places + block * PLACE_BYTES
    index = get_u16(data, entry + 8)
    until = get_u16(data, entry + PLACE_BYTES + 8) if block + 1 < blocks else get_u16(data, start + 12)
    bit, last = 8 * start + get_u32(data, entry + 4), stop - 1
    place = block * BLOCK
    while index < until and bit < 8 * last:
        while bit < 8 * last and peek_bits(data, bit, last) >> 31:
            place += 1 << rice
            bit += 1
        place += get_bits(data, bit + 1, rice, last)
        bit += 1 + rice
        if place >= offset:
            break
        place += 1
        index += 1
    if index >= until or place != offset:
        return np.int64(-1)
    return get_bits(data, 8 * start + get_u32(data, start + 8) + index * width, width, last)


@kernel_in_place
def extend(data, starts, stops, firsts, primary, pattern, index, low, high):
    """Takes the symbols before `index` of a pattern, from the last to the first, as long as the pattern occurs.

    Args:
        data: uint8, records in memory.
        starts, stops: int64, where each record lies in it; -1 for one that is not there.
        firsts: int64 of shape (alphabet + 1,), the first row of each symbol.
        primary: the row of the whole text.
        pattern: uint8, as places in the alphabet.
        index: symbols that are left.
        low, high: the rows that begin with what was taken.

    Returns:
        (index, low, high, record): what is left, the rows of what occurs, and the record that is needed, or `DONE`:
        then either nothing is left, or what was taken does not occur with one symbol more.
    """
    sigma = len(firsts) - 1
    while index > 0:
        symbol = np.int64(pattern[index - 1])
        if symbol >= sigma:
            break
        first, second = low - (low > primary), high - (high > primary)
        a, b = first // RECORD, second // RECORD
        if starts[a] < 0:
            return index, low, high, a
        if starts[b] < 0:
            return index, low, high, b
        if first // BLOCK == second // BLOCK:
            before, after = _ranks(data, starts[a], stops[a], sigma, symbol, first % RECORD, second % RECORD)
        else:
            before, _ = _ranks(data, starts[a], stops[a], sigma, symbol, first % RECORD, first % RECORD)
            after, _ = _ranks(data, starts[b], stops[b], sigma, symbol, second % RECORD, second % RECORD)
        if before >= after:
            break
        low = min(firsts[symbol] + before, firsts[sigma])
        high = min(firsts[symbol] + after, firsts[sigma])
        index -= 1
    return index, low, high, np.int64(DONE)


@kernel_in_place
def locate(data, starts, stops, firsts, primary, rice, width, rows, steps, at, seen):
    """The text position of each row, into `rows`; `steps` must be zeros at first, and `at` is the first row to do.

    Returns (at, record): how many rows are done, and the record that is needed, or `DONE`.
    """
    sigma = len(firsts) - 1
    while at < len(rows):
        row = rows[at]
        if row == primary:
            rows[at] = steps[at]
            at += 1
            continue
        place = row - (row > primary)
        record = place // RECORD
        if starts[record] < 0:
            return at, record
        start, stop, offset = starts[record], stops[record], place % RECORD
        sample = _sample(data, start, stop, sigma, offset, rice, width)
        if sample >= 0 or steps[at] >= 1 << rice:
            rows[at] = (sample << rice) + steps[at]
            at += 1
            continue
        symbol, rank = _symbol_and_rank(data, start, stop, sigma, offset, seen)
        rows[at] = min(firsts[symbol] + rank, firsts[sigma] - 1)
        steps[at] += 1
    return at, np.int64(DONE)


@kernel_in_place
def extract(data, starts, stops, firsts, primary, row, text, index, seen):
    """Fills text[:index], from its end to its beginning, with the symbols before a row's position.

    Returns (row, index, record): where it stands, and the record that is needed, or `DONE`.
    """
    sigma = len(firsts) - 1
    while index > 0 and row != primary:
        place = row - (row > primary)
        record = place // RECORD
        if starts[record] < 0:
            return row, index, record
        symbol, rank = _symbol_and_rank(data, starts[record], stops[record], sigma, place % RECORD, seen)
        index -= 1
        text[index] = symbol
        row = min(firsts[symbol] + rank, firsts[sigma] - 1)
    return row, index, np.int64(DONE)
