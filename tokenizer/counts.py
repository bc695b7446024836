"""How often each pretoken occurs: the only thing that BPE training needs to know about a corpus.

Counting costs about as much as finding the pretokens (some 60 MB/s a core together), and its result follows the number
of unique pretokens, not the corpus. So shards are counted apart, in any order, and merged: counts are int64 sums,
strings are compared byte for byte, and a table is always in one order (count descending, then bytes ascending). For
tables too large to merge at once, `partition` splits each by a hash of the pretoken; equal pretokens meet in equal
partitions.

Memory: a `Counter` holds at most about 180 bytes and the spelling for each unique pretoken (64 to 128 for the slots of
the hash table, half as much again while that grows, 16 to 32 for the rest), plus the batch that is being counted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tokenizer.keys import SHORT, hash_of, kernel, key_of, prefetch, read_only, same_bytes
from tokenizer.patterns import pattern_named
from tokenizer.pretokens import BLOCK, pretoken_blocks, read_text

SCHEMA = pa.schema(
    [pa.field("pretoken", pa.large_binary(), nullable=False), pa.field("count", pa.int64(), nullable=False)]
)

AHEAD = 64
"""Keys computed before the first of them is looked up."""

ONCE = read_only(np.ones(1, np.int64))


@dataclass(frozen=True)
class PretokenCounts:
    """A table of unique pretokens and how often each occurs, commonest first, ties by bytes.

    Attributes:
        pretokens: large_binary, unique.
        counts: int64, of the same length, positive.
    """

    pretokens: pa.LargeBinaryArray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.pretokens)

    @property
    def total(self) -> int:
        """Pretokens counted, repeated ones as often as they occur."""
        return int(self.counts.sum())

    def to_table(self) -> pa.Table:
        """Columns `pretoken` (large_binary) and `count` (int64)."""
        return pa.table([self.pretokens, pa.array(self.counts)], schema=SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table) -> "PretokenCounts":
        """From a table (or record batch) as `to_table` makes it, in any order of rows, pretokens unique."""
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        table = table.select(SCHEMA.names).cast(SCHEMA).combine_chunks()
        pretokens, counts = (_one_chunk(table.column(name)) for name in SCHEMA.names)
        return in_order(pretokens, counts.to_numpy())

    def digest(self) -> str:
        """xxh3-128 hex digest of the table's content; the same however it was counted, sliced or stored."""
        offsets, data = read_text(self.pretokens)
        state = xxhash.xxh3_128(np.diff(offsets).tobytes())
        state.update(data[offsets[0] : offsets[-1]].data)
        state.update(np.ascontiguousarray(self.counts, np.int64).tobytes())
        return state.hexdigest()


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([*column.chunks, *_NOTHING[column.type]])


_NOTHING = {kind: [pa.array([], kind)] for kind in (pa.large_binary(), pa.int64())}


def in_order(pretokens: pa.LargeBinaryArray, counts: np.ndarray) -> PretokenCounts:
    """The table in its one order: count descending, then bytes ascending."""
    table = pa.table([pretokens, pa.array(counts)], schema=SCHEMA)
    order = pc.sort_indices(table, sort_keys=[("count", "descending"), ("pretoken", "ascending")])
    return PretokenCounts(pretokens.take(order), counts[order.to_numpy()])


@kernel
def count_spans(
    data: np.ndarray,
    start: int,
    ends: np.ndarray,
    weights: np.ndarray,
    slots: np.ndarray,
    offsets: np.ndarray,
    spellings: np.ndarray,
    entries: int,
) -> int:
    """Adds `weights` (one for each span, or one for all) to the counts of strings; returns the entries there are then.

    There must be room: as many free entries, twice as many free slots and as many bytes as the spans could need.
    Keys are computed some hundred ahead, so that slots arrive from memory while others are being looked at.

    Args:
        data: uint8; span k is `data[ends[k - 1] : ends[k]]`, the first from `start` on.
        slots: uint64 (2^n, 4): key (two words), (entry + 1) * 256 + min(length, 255), count. 0 in the third: free.
        offsets: int64 (entries + 1,), where an entry's bytes start in `spellings`.
    """
    mask = np.int64(slots.shape[0] - 1)
    step = 0 if weights.shape[0] == 1 else 1
    ahead = np.empty((AHEAD, 2), np.uint64)
    places = np.empty(AHEAD, np.int64)
    spans = ends.shape[0]
    for first in range(0, spans, AHEAD):
        last = min(first + AHEAD, spans)
        begin = start
        for span in range(first, last):
            low, high = key_of(data, begin, ends[span] - begin)
            slot = np.int64(hash_of(low, high, ends[span] - begin) & np.uint64(mask))
            prefetch(slots, slot)
            ahead[span - first, 0] = low
            ahead[span - first, 1] = high
            places[span - first] = slot
            begin = ends[span]
        for span in range(first, last):
            low = ahead[span - first, 0]
            high = ahead[span - first, 1]
            slot = places[span - first]
            length = ends[span] - start
            short = np.uint64(min(length, 255))
            while True:
                mark = slots[slot, 2]
                if mark == 0:
                    slots[slot, 0] = low
                    slots[slot, 1] = high
                    slots[slot, 2] = (np.uint64(entries + 1) << np.uint64(8)) | short
                    slots[slot, 3] = np.uint64(weights[span * step])
                    write = offsets[entries]
                    for place in range(length):
                        spellings[write + place] = data[start + place]
                    entries += 1
                    offsets[entries] = write + length
                    break
                if slots[slot, 0] == low and slots[slot, 1] == high and mark & np.uint64(255) == short:
                    same = length <= SHORT
                    if not same:
                        entry = np.int64(mark >> np.uint64(8)) - 1
                        at = offsets[entry]
                        same = offsets[entry + 1] - at == length and same_bytes(data, start, spellings, at, length)
                    if same:
                        slots[slot, 3] += np.uint64(weights[span * step])
                        break
                slot = (slot + 1) & mask
            start = ends[span]
    return entries


@kernel
def move_slots(old: np.ndarray, new: np.ndarray) -> None:
    """Puts the used slots of a table into a larger, empty one."""
    mask = np.int64(new.shape[0] - 1)
    for used in range(old.shape[0]):
        if old[used, 2] != 0:
            length = np.int64(old[used, 2] & np.uint64(255))
            slot = np.int64(hash_of(old[used, 0], old[used, 1], length) & np.uint64(mask))
            while new[slot, 2] != 0:
                slot = (slot + 1) & mask
            for column in range(4):
                new[slot, column] = old[used, column]


@kernel
def hash_strings(data: np.ndarray, offsets: np.ndarray, hashes: np.ndarray) -> None:
    """`hashes[k]` becomes the 64-bit hash of string k."""
    for item in range(hashes.shape[0]):
        length = offsets[item + 1] - offsets[item]
        low, high = key_of(data, offsets[item], length)
        hashes[item] = hash_of(low, high, length)


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    """The array, with room for `size` elements at least; what is new is not initialised."""
    if size <= len(array):
        return array
    larger = np.empty(max(size, len(array) + len(array) // 2), array.dtype)
    larger[: len(array)] = array
    return larger


class Counter:
    """Counts pretokens of one batch of text after another, and merges tables. Not for two threads at once."""

    def __init__(self, pattern: str = "deepseek-v3") -> None:
        self.pattern = pattern_named(pattern).name
        self._slots = np.zeros((1 << 16, 4), np.uint64)
        self._offsets = np.zeros((1 << 15) + 1, np.int64)
        self._spellings = np.empty(1 << 18, np.uint8)
        self._entries = 0

    @property
    def unique(self) -> int:
        """Unique pretokens so far."""
        return self._entries

    @property
    def memory_bytes(self) -> int:
        """Bytes that the table holds now."""
        return sum(array.nbytes for array in (self._slots, self._offsets, self._spellings))

    def add_texts(self, texts: pa.Array) -> None:
        """Counts the pretokens of documents: a string array without nulls."""
        offsets, data = read_text(texts)
        for start, ends in pretoken_blocks(offsets, data, self.pattern):
            self._add(data, start, ends, ONCE)

    def add_counts(self, table: PretokenCounts) -> None:
        """Adds another table's counts."""
        offsets, data = read_text(table.pretokens)
        counts = read_only(np.asarray(table.counts, np.int64))
        for first in range(0, len(table), BLOCK):
            last = min(first + BLOCK, len(table))
            # A block of one string would be read as one weight for all: the same thing.
            self._add(data, int(offsets[first]), offsets[first + 1 : last + 1].copy(), counts[first:last])

    def result(self) -> PretokenCounts:
        """The table so far, in order; the counter may go on."""
        offsets = self._offsets[: self._entries + 1]
        buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(self._spellings[: offsets[-1]].tobytes())]
        pretokens = pa.LargeBinaryArray.from_buffers(pa.large_binary(), self._entries, buffers)
        marks = self._slots[:, 2]
        used = np.flatnonzero(marks)
        counts = np.empty(self._entries, np.int64)
        counts[(marks[used] >> np.uint64(8)).astype(np.int64) - 1] = self._slots[used, 3].astype(np.int64)
        return in_order(pretokens, counts)

    def _add(self, data: np.ndarray, start: int, ends: np.ndarray, weights: np.ndarray) -> None:
        most = self._entries + len(ends)
        if 2 * most > len(self._slots):
            larger = np.zeros((2 * len(self._slots), 4), np.uint64)
            move_slots(self._slots, larger)
            self._slots = larger
        self._offsets = _grown(self._offsets, most + 1)
        self._spellings = _grown(self._spellings, int(self._offsets[self._entries]) + int(ends[-1]) - start)
        self._entries = count_spans(
            *(data, start, ends, weights),
            *(self._slots, self._offsets, self._spellings, self._entries),
        )


def count_pretokens(texts: pa.Array, pattern: str = "deepseek-v3") -> PretokenCounts:
    """Pretokens of a batch of documents (a string array without nulls) and their counts."""
    counter = Counter(pattern)
    counter.add_texts(texts)
    return counter.result()


def merge(tables: Iterable[PretokenCounts]) -> PretokenCounts:
    """One table of the sums; the same whatever the order of the tables. Takes them one at a time."""
    counter = Counter()
    for table in tables:
        counter.add_counts(table)
    return counter.result()


def partition(table: PretokenCounts, partitions: int) -> list[PretokenCounts]:
    """The table as `partitions` disjoint ones, by a hash of the pretoken that is the same everywhere and always."""
    if partitions < 1:
        raise ValueError("partitions must be at least 1")
    offsets, data = read_text(table.pretokens)
    hashes = np.empty(len(table), np.uint64)
    hash_strings(data, offsets, hashes)
    chosen = (hashes >> np.uint64(32)) % np.uint64(partitions)  # the low bits place a string in the hash table
    rows = [np.flatnonzero(chosen == np.uint64(number)) for number in range(partitions)]
    return [PretokenCounts(table.pretokens.take(pa.array(part)), table.counts[part]) for part in rows]


def gather(tables: Iterable[PretokenCounts]) -> PretokenCounts:
    """One table of tables that share no pretoken, as the merged partitions do; nothing is hashed."""
    parts = list(tables)
    pretokens = pa.concat_arrays([*(part.pretokens for part in parts), *_NOTHING[pa.large_binary()]])
    return in_order(pretokens, np.concatenate([np.zeros(0, np.int64), *(part.counts for part in parts)]))
