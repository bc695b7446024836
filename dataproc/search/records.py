"""Records: 32 Ki symbols of a segment's Burrows-Wheeler transform, compressed, with all that a step of a search needs.

The transform of real text has long runs, so a record is a list of runs: a Huffman code for the symbol, one for the
run's size class (1, 2-3, 4-7, …) and the rest of its length. Runs end at blocks of 2 Ki symbols; for each block the
record has the place of its bits and how often each of the record's symbols stood before it. So a rank decodes half a
block on average, and a record is read by itself: one range of a file or an object.

    u16 symbols, u16 different symbols (D), u16 blocks (B), u16 run classes (K)
    u32 place of the sampled positions, u16 marks
    u32[alphabet]   how often each symbol of the segment stood before the record
    u16[10] u8[10]  codes of each length: of symbols, of run classes
    u8[D] u8[K]     symbols (as places in the alphabet) and run classes, in the order of their codes
    B times         u32 place of the runs, u32 place of the marks, u16 marks before
    B-1 times u16[D]  how often each symbol stood before block 1, 2, … within the record
    bits            runs by block; marks by block, as Rice codes of their gaps; sampled positions, a fixed width each

A mark is a row whose place in the text is a multiple of `locate_every`; its sampled position is that multiple. Places
of bits are counted from the record's first. Measured on 151 MB of documentation and code: 0.31 bytes a byte, of which
0.11 are samples.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.search.bits import put_bits, put_number
from corpusmill.dataproc.search.codes import MOST_BITS, canonical_order, code_lengths

RECORD = 1 << 15
BLOCK = 1 << 11
RUN_CLASSES = 12
CLASS_BITS = 7
"""Most bits of the code of a run's class."""

FIXED_BYTES = 14
"""Bytes of a record before its table of counts."""

PLACE_BYTES = 10
"""Bytes of a block's places."""

SPARE_BYTES = 8
"""Zeros at a record's end, so that a word of bits may be read at its last bit."""

LARGEST = 1 << 19
"""No record is larger: 96 KiB of runs, 128 KiB of sampled positions, tables of 40 KiB."""


@kernel_step
def _gather(text, suffixes, primary, first, size, alphabet, mask, symbols, positions):
    """Symbols of rows, as places in the alphabet, and the position of each row that is marked, -1 for others."""
    for place in range(size):
        row = first + place + (first + place >= primary)
        position = np.int64(suffixes[row - 1]) if row else np.int64(len(text))
        symbols[place] = alphabet[text[position - 1]]
        positions[place] = position if position & mask == 0 else -1


@kernel_step
def _run_class(length):
    size_class = 0
    while length >> (size_class + 1):
        size_class += 1
    return size_class


@kernel_step
def _list_runs(symbols, size, run_symbols, run_lengths, counts, classes):
    """Runs of equal symbols that end with their block, and how many there are by symbol and by class."""
    runs, place = 0, 0
    while place < size:
        end = min(size, (place // BLOCK + 1) * BLOCK)
        symbol, stop = symbols[place], place + 1
        while stop < end and symbols[stop] == symbol:
            stop += 1
        run_symbols[runs] = symbol
        run_lengths[runs] = stop - place
        counts[symbol] += 1
        classes[_run_class(stop - place)] += 1
        runs += 1
        place = stop
    return runs


@kernel_step
def _write_runs(out, bit, run_symbols, run_lengths, run, span, codes, lengths, class_codes, class_lengths, seen):
    """Writes runs from number `run` on until they span so many symbols; returns (place of the bits after, next run)."""
    done = 0
    while done < span:
        symbol, length = run_symbols[run], run_lengths[run]
        size_class = _run_class(length)
        value = (codes[symbol] << class_lengths[size_class]) | class_codes[size_class]
        value = (value << size_class) | (length - (np.int64(1) << size_class))
        bit = put_bits(out, bit, value, lengths[symbol] + class_lengths[size_class] + size_class)
        seen[symbol] += length
        done += length
        run += 1
    return bit, run


@kernel_step
def _write_marks(out, bit, positions, first, stop, rice):
    """Writes the gaps before the marked rows from `first` to `stop`; returns (place of the bits after, marks)."""
    marks, expected = 0, first
    for place in range(first, stop):
        if positions[place] >= 0:
            gap = place - expected
            for _ in range(gap >> rice):
                bit = put_bits(out, bit, 1, 1)
            bit = put_bits(out, bit, gap & ((1 << rice) - 1), rice + 1)
            expected = place + 1
            marks += 1
    return bit, marks


@kernel
def encode_record(text, suffixes, primary, first, size, alphabet, before, rice, width, out):
    """Writes the record of the symbols from `first` on to `out`; returns its bytes. `before` then counts them, too.

    Args:
        text: uint8, the segment's.
        suffixes: int32, its suffix array.
        primary: the row of the whole text, whose symbol is not stored.
        first, size: of the record's symbols.
        alphabet: int64 of shape (256,), the place of each byte in the alphabet.
        before: int64 of shape (alphabet,), how often each symbol stood before.
        rice: rows of text positions that are multiples of 2 ** rice are marked.
        width: bits of a sampled position.
        out: uint8 of shape (LARGEST,), zeros.
    """
    sigma = len(before)
    symbols, positions = np.empty(size, np.int32), np.empty(size, np.int64)
    _gather(text, suffixes, primary, first, size, alphabet, (1 << rice) - 1, symbols, positions)
    run_symbols, run_lengths = np.empty(size, np.int64), np.empty(size, np.int64)
    counts, classes = np.zeros(sigma, np.int64), np.zeros(RUN_CLASSES, np.int64)
    _list_runs(symbols, size, run_symbols, run_lengths, counts, classes)

    weights, parents = np.empty(512, np.int64), np.empty(512, np.int64)
    lengths, class_lengths = np.zeros(sigma, np.int64), np.zeros(RUN_CLASSES, np.int64)
    order, class_order = np.empty(sigma, np.int64), np.empty(RUN_CLASSES, np.int64)
    codes, class_codes = np.zeros(sigma, np.int64), np.zeros(RUN_CLASSES, np.int64)
    by_length, class_by_length = np.zeros(MOST_BITS, np.int64), np.zeros(MOST_BITS, np.int64)
    present = class_count = 0
    if size:
        code_lengths(counts, sigma, MOST_BITS, lengths, weights, parents)
        present = canonical_order(lengths, sigma, order, by_length, codes)
        code_lengths(classes, RUN_CLASSES, CLASS_BITS, class_lengths, weights, parents)
        class_count = canonical_order(class_lengths, RUN_CLASSES, class_order, class_by_length, class_codes)

    blocks = min(size // BLOCK + 1, RECORD // BLOCK)
    place = put_number(out, 0, size, 2)
    place = put_number(out, place, present, 2)
    place = put_number(out, place, blocks, 2)
    put_number(out, place, class_count, 2)
    place = FIXED_BYTES
    for symbol in range(sigma):
        place = put_number(out, place, before[symbol], 4)
    for length in range(MOST_BITS):
        place = put_number(out, place, by_length[length], 2)
    for length in range(MOST_BITS):
        place = put_number(out, place, class_by_length[length], 1)
    for symbol in range(present):
        place = put_number(out, place, order[symbol], 1)
    for size_class in range(class_count):
        place = put_number(out, place, class_order[size_class], 1)
    places = place
    tables = places + blocks * PLACE_BYTES
    bit = 8 * (tables + (blocks - 1) * 2 * present)

    seen = np.zeros(sigma, np.int64)
    run = 0
    for block in range(blocks):
        put_number(out, places + block * PLACE_BYTES, bit, 4)
        if block:
            for symbol in range(present):
                put_number(out, tables + 2 * ((block - 1) * present + symbol), seen[order[symbol]], 2)
        span = min(size - block * BLOCK, BLOCK)
        bit, run = _write_runs(
            out, bit, run_symbols, run_lengths, run, span, codes, lengths, class_codes, class_lengths, seen
        )
    marks = 0
    for block in range(blocks):
        put_number(out, places + block * PLACE_BYTES + 4, bit, 4)
        put_number(out, places + block * PLACE_BYTES + 8, marks, 2)
        bit, more = _write_marks(out, bit, positions, block * BLOCK, min(size, (block + 1) * BLOCK), rice)
        marks += more
    put_number(out, 8, bit, 4)
    put_number(out, 12, marks, 2)
    for place in range(size):
        if positions[place] >= 0:
            bit = put_bits(out, bit, positions[place] >> rice, width)
    for symbol in range(sigma):
        before[symbol] += seen[symbol]
    return (bit + 7) // 8 + SPARE_BYTES


@kernel
def sample_rows(suffixes, bits, rows):
    """The row of each text position that is a multiple of 2 ** bits, into `rows`."""
    mask = (np.int64(1) << bits) - 1
    if len(suffixes) & mask == 0:
        rows[len(suffixes) >> bits] = 0
    for place in range(len(suffixes)):
        position = np.int64(suffixes[place])
        if position & mask == 0:
            rows[position >> bits] = place + 1
