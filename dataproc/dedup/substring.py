"""Repeated substrings: every stretch of N bytes or more that stands in the corpus twice, found exactly.

A *window* is N bytes in a row inside one document, at any byte. A *block* is a stretch of the corpus whose text is
numbered through, byte by byte; windows are ordered by (block, byte of the block).
A window is *repeated* when the first window of the same bytes comes before it and does not overlap it; a byte is
repeated when it lies in a repeated window. So every repeat of N bytes or more is found, its first copy is never in it,
and a run of one character keeps its first N bytes. This is what a suffix array gives (Lee et al. 2022, neighbours
whose longest common prefix is N or more); tests hold the two equal.

Why not by suffix array: array and common prefixes of 32 MB took 20 bytes of memory and 150 ns a byte (pydivsufsort,
benchmarks/substring.py), and merging the arrays of partitions compares every pair of them. Here a window is instead
sent to where its equals are:

1. *Key of a window*: the smallest hash among the N - K + 1 substrings of K = N / 2 bytes in it (a minimiser; Schleimer,
   Wilkerson and Aiken 2003, Roberts et al. 2004). It depends on the window's bytes alone, so equal windows have equal
   keys, whatever stands around them. Neighbours mostly share their key: one row (key, first window, windows) stands for
   N / 4 of them (`window_runs`).
2. *Shared keys*: a block's distinct keys are shuffled, and those that occur twice are sent back to their blocks
   (`keys_to_tell`, `twice_at_most`, `shared_keys`). A key that occurs once cannot belong to a repeated window.
3. *Contexts*: the bytes of all windows of a shared key are shuffled by key (`contexts`); neighbouring rows that go to
   one partition travel as one.
4. *Resolver*: windows pass in their order through a hash table of those seen before (`Resolver`). A hit is compared
   with the bytes of the earlier window (one byte where the window before was a hit next to it), so hashes only
   decide speed: nothing is reported that is not the same bytes.

Cost: linear. Keys at 330 MB/s a core, contexts and resolver at 50 together; on disk 8 bytes for each N / 4 of text,
then the text under shared keys about five times, compressed. On 151 MB of raw documentation and code, N = 200: 32 % of
the text lies under shared keys, 20 % is repeated. A run of few different characters, which would make each of its bytes
a key of its own in a sampling scheme, is one row. Memory: 8 bytes a key for a block (0.16 bytes a byte); a resolver
holds 20 to 32 bytes a distinct window of its partition (so partitions are made as many as a bound asks for), and
nothing for a window's further copies, however many.

After all spans of repeated windows are cut, no N bytes that lay together and still do are there twice, but where the
two overlap: the later one would have been repeated. What a cut brings together is new text and may repeat something.
"""

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.repeats import REPEATS
from corpusmill.dataproc.dedup.spans import one_array
from corpusmill.dataproc.dedup.windows import BASE, power_of_base
from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.kernels.hashing import mix

TABLE_LOAD = 0.75
ID_CHUNKS = 256
PLACE_BITS = 40
"""An entry of the table is the upper 24 bits of a window's hash above its place in the store plus one; 0 is empty."""

AHEAD = 64
"""Windows that are hashed at once, so that their entries are fetched from memory side by side and not in turn."""


@kernel_part
def _hash_windows(data, first, count, length, value, power, hashes):
    """Hashes of windows from the one at `first` on, where the rolling hash is `value`; returns the next value of it."""
    for window in range(count):
        hashes[window] = mix(value)
        at = first + window
        if at + length < data.shape[0]:
            value = value * BASE + np.uint64(data[at + length]) - power * np.uint64(data[at])
    return value


@kernel_part
def _hash_first(data, first, length):
    """The rolling hash of the window at `first`."""
    value = np.uint64(0)
    for byte in range(length):
        value = value * BASE + np.uint64(data[first + byte])
    return value


@kernel
def _fill(table, store, is_first, row_places, rows, length):
    """Puts all first windows of the store into an empty table: it keeps too little of a hash to be moved."""
    mask = np.uint64(table.shape[0] - 1)
    power = power_of_base(length)
    hashes = np.empty(AHEAD, np.uint64)
    for row in range(rows):
        place, stop = row_places[row], row_places[row + 1] - length + 1
        value = _hash_first(store, place, length)
        while place < stop:
            count = min(AHEAD, stop - place)
            value = _hash_windows(store, place, count, length, value, power, hashes)
            for window in range(count):
                if is_first[place + window]:
                    slot = hashes[window] & mask
                    while table[slot]:
                        slot = (slot + np.uint64(1)) & mask
                    tag = hashes[window] >> np.uint64(PLACE_BITS) << np.uint64(PLACE_BITS)
                    table[slot] = tag | np.uint64(place + window + 1)
            place += count


@kernel_part
def _same(store, place, data, at, length):
    equal = True
    byte = 0
    while equal and byte < length:
        equal = store[place + byte] == data[at + byte]
        byte += 1
    return equal


@kernel
def _resolve(
    block, starts, counts, bounds, data, length, table, store, is_first, row_places, row_blocks, row_starts, rows,
    entries, out_starts, out_counts, out_places, out_periods, stored,
):  # fmt: skip
    """Passes windows through the table; returns (rows stored, entries in the table, records written).

    `store` holds the bytes of every row that had a window not seen before, row r from `row_places[r]` on; `is_first`
    marks where in it such a window begins. `stored[i]` is the input row that became the i-th new one.
    """
    mask = np.uint64(table.shape[0] - 1)
    power = power_of_base(length)
    hashes = np.empty(AHEAD + 1, np.uint64)
    records = 0
    rows_stored = rows
    for row in range(starts.shape[0]):
        begin = bounds[row]
        value = _hash_first(data, begin, length)
        kept = -1  # the place of this row in the store, when it has one
        before = -2  # the place of the window before; no place comes after this one
        owner = -1  # the row of the store that it lies in
        last = -1  # the record that ends with the window before
        for window in range(counts[row]):
            at = begin + window
            ahead = window % AHEAD
            if ahead == 0:
                count = min(AHEAD, counts[row] - window)
                value = _hash_windows(data, at, count, length, value, power, hashes)
                fetched = np.uint64(0)
                for number in range(count):
                    fetched ^= table[hashes[number] & mask]
                hashes[AHEAD] = fetched  # so that the loop is not left out by the compiler
            place = -1
            if before >= 0 and is_first[before + 1] and store[before + length] == data[at + length - 1]:
                place = before + 1  # all but the last byte was compared with the window before
            else:
                slot = hashes[ahead] & mask
                tag = hashes[ahead] >> np.uint64(PLACE_BITS)
                while table[slot]:
                    if table[slot] >> np.uint64(PLACE_BITS) == tag:
                        candidate = int(table[slot] & np.uint64((1 << PLACE_BITS) - 1)) - 1
                        if _same(store, candidate, data, at, length):
                            place = candidate
                            break
                    slot = (slot + np.uint64(1)) & mask
            if place < 0:
                if kept < 0:
                    kept = row_places[rows_stored]
                    size = bounds[row + 1] - begin
                    store[kept : kept + size] = data[begin : begin + size]
                    row_places[rows_stored + 1] = kept + size
                    row_blocks[rows_stored], row_starts[rows_stored] = block, starts[row]
                    stored[rows_stored - rows] = row
                    rows_stored += 1
                before = kept + window
                owner = rows_stored - 1
                table[slot] = tag << np.uint64(PLACE_BITS) | np.uint64(before + 1)
                is_first[before] = 1
                entries += 1
                last = -1
                continue
            if place != before + 1:
                owner = int(np.searchsorted(row_places[:rows_stored], place, side="right")) - 1
            before = place
            first = row_starts[owner] + place - row_places[owner]
            if row_blocks[owner] == block and starts[row] + window < first + length:
                last = -1  # overlaps its own first copy
                continue
            if last >= 0:
                since = out_counts[last]
                if out_periods[last] == 0 and place == out_places[last]:
                    out_periods[last] = since
                period = out_periods[last]
                if place == out_places[last] + (since % period if period else since):
                    out_counts[last] += 1
                    continue
            last = records
            out_starts[last], out_counts[last] = starts[row] + window, 1
            out_places[last], out_periods[last] = place, 0
            records += 1
    return rows_stored, entries, records


class Resolver:
    """Finds the repeated windows of one partition, whose contexts it is given in their order.

    Args:
        length: bytes of a window.

    Memory: 11 to 21 bytes for each distinct window, and twice the bytes of the rows that have some (10 a window, at a
    key's usual N / 4 windows a row); ids of these rows. Growing needs half of that in addition.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._table = np.zeros(1 << 10, np.uint64)
        self._store, self._is_first = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
        self._row_places = np.zeros(1 << 8, np.int64)
        self._row_blocks, self._row_starts = np.empty(1 << 8, np.int64), np.empty(1 << 8, np.int64)
        self._row_offsets = np.zeros(0, np.int64)
        self._rows = self._entries = 0
        self._ids: list[pa.Array] = []

    def add(self, block: int, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The repeated windows among the next ones, as rows of `REPEATS` in order.

        Args:
            block: number of the block; never falls from one call to the next.
            batch: rows of `CONTEXTS`; `start` rises, within the block from one call to the next, too.
        """
        starts, counts = batch.column("start").to_numpy(), batch.column("count").to_numpy()
        bounds, data = text_buffers(batch.column("bytes"))
        windows = int(counts.sum())
        self._make_room(batch.num_rows, windows, int(bounds[-1] - bounds[0]))
        out = [np.empty(windows, np.int64) for _ in range(4)]  # pages that are not written cost nothing
        stored = np.empty(batch.num_rows, np.int64)
        before = self._rows
        self._rows, self._entries, records = _resolve(
            np.int64(block),
            read_only(starts, np.int64),
            read_only(counts, np.int64),
            bounds,
            data,
            np.int64(self._length),
            self._table,
            self._store,
            self._is_first,
            self._row_places,
            self._row_blocks,
            self._row_starts,
            np.int64(self._rows),
            np.int64(self._entries),
            *out,
            stored,
        )
        self._keep_names(batch, stored[: self._rows - before])
        start, count, place, period = (column[:records].copy() for column in out)
        owner = np.searchsorted(self._row_places[: self._rows], place, side="right") - 1
        first_start = self._row_offsets[owner] + place - self._row_places[owner]
        names = pa.chunked_array(self._ids, pa.string()).take(pa.array(owner))
        return pa.RecordBatch.from_arrays(
            [pa.array(start), pa.array(count), one_array(names), pa.array(first_start), pa.array(period)],
            schema=REPEATS,
        )

    def _make_room(self, rows: int, windows: int, size: int) -> None:
        """Room for a batch of which every window may be new."""
        used = int(self._row_places[self._rows])
        self._store, self._is_first = _grown(self._store, used, size + 1), _grown(self._is_first, used, size + 1)
        room = len(self._table)
        while self._entries + windows > TABLE_LOAD * room:
            room *= 2
        if room > len(self._table):
            self._table = np.zeros(0, np.uint64)  # gone before the larger one comes
            self._table = np.zeros(room, np.uint64)
            _fill(
                self._table,
                self._store,
                self._is_first,
                self._row_places,
                np.int64(self._rows),
                np.int64(self._length),
            )
        self._row_places = _grown(self._row_places, self._rows + 1, rows)
        self._row_blocks = _grown(self._row_blocks, self._rows, rows)
        self._row_starts = _grown(self._row_starts, self._rows, rows)

    def _keep_names(self, batch: pa.RecordBatch, stored: np.ndarray) -> None:
        """Keeps the ids and offsets of the rows that are now in the store."""
        self._row_offsets = _grown(self._row_offsets, self._rows - len(stored), len(stored))
        self._row_offsets[self._rows - len(stored) : self._rows] = batch.column("offset").to_numpy()[stored]
        self._ids.append(batch.column("id").take(pa.array(stored)))
        if len(self._ids) == ID_CHUNKS:
            self._ids = [pa.concat_arrays(self._ids)]


def _grown(array: np.ndarray, used: int, more: int) -> np.ndarray:
    """The array, or one of twice the room or more with its first `used` elements."""
    if used + more <= len(array):
        return array
    larger = np.zeros(max(2 * len(array), used + more), array.dtype)
    larger[:used] = array[:used]
    return larger
