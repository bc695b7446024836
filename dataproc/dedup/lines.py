"""Repeated lines and paragraphs: units of text counted over a corpus by their digest.

A *line* is what stands between line feeds, and a *paragraph* is a run of lines without a blank one; a blank line (only
spaces, tabs, carriage returns) belongs to no unit. A unit's identity is the 128-bit xxh3 digest of its bytes, as they
are or normalised (`normalise.normalised`). The span of a unit reaches to the next unit, so that cutting it takes its
line break and the blank lines below along, and never leaves a hole.

A unit is repeated when more than K documents have it (or when it stands more than K times); all its copies are then,
but the first by (block, row of the block, byte). A block is any stretch of the corpus whose rows are numbered through.
With K = 1, whatever stood before is repeated; with a larger K, what is at home in many documents (menus, licences,
notices) is taken out, and what a few documents share is left. Units are compared whole, so this finds less than
`substring`, by one shuffle of digests instead of one of keys and one of text.

Way of the data: `units` → `Tally` (a block's digests, each once, with counts) → shuffle by digest → `repeated_units` (a
partition) → `find_repeats` (a block's units again, against those that are repeated).

Cost: two calls of xxhash's digest, 0.3 us each, a unit; on lines of 40 bytes or more over 100 MB/s a core. Memory: 40
bytes a unit of a block, and 60 a row of a partition.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.exact import text_digests
from corpusmill.dataproc.dedup.spans import gather_bytes
from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.dataproc.kernels.compiling import kernel

UnitName = Literal["line", "paragraph"]

TALLY = pa.schema(
    [
        pa.field("high", pa.uint64(), nullable=False),
        pa.field("low", pa.uint64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("times", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
    ]
)
"""A digest in a block: documents that have it and times that it stands there; row, byte and id of its first place."""

REPEATED = pa.schema(
    [
        pa.field("high", pa.uint64(), nullable=False),
        pa.field("low", pa.uint64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("first", pa.string(), nullable=False),
    ]
)
"""A repeated digest as a block receives it: row (-1 if it is in another block), byte and id of its first place."""


class Units(NamedTuple):
    """The units of a batch of texts, in order; those that are too short to count are left out.

    Attributes:
        documents: int64 of shape (U,), the row of the text.
        starts, stops: int64, first byte and the byte after the last, in the byte array of the texts.
        ends: int64, where the next unit begins, or the text ends.
    """

    documents: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    ends: np.ndarray


@kernel
def _list_units(offsets, data, by_line, minimum, documents, starts, stops, ends):
    """Writes the units; returns how many there are. With empty arrays it only counts (an upper bound)."""
    count = np.int64(0)
    room = documents.shape[0]
    for document in range(offsets.shape[0] - 1):
        place, stop = offsets[document], offsets[document + 1]
        inside = False  # a paragraph is open
        listed = False  # the unit before was long enough, and ends where the next one begins
        characters = np.int64(0)
        start, end = place, place
        while place <= stop:
            line, blank, counted = place, True, np.int64(0)
            while place < stop and data[place] != 10:
                byte = data[place]
                blank &= byte == 32 or byte == 9 or byte == 13
                counted += byte & 0xC0 != 0x80
                place += 1
            if inside and (blank or by_line):
                inside = False
                if characters >= minimum:
                    if count < room:
                        documents[count], starts[count], stops[count], ends[count] = document, start, end, stop
                        listed = True
                    count += 1
            if not blank:
                if not inside:
                    if listed:
                        ends[count - 1] = line
                        listed = False
                    inside, start, characters = True, line, np.int64(0)
                else:
                    characters += 1  # the line break between the two
                characters += counted
                end = place
            place += 1
        if inside and characters >= minimum:
            if count < room:
                documents[count], starts[count], stops[count], ends[count] = document, start, end, stop
            count += 1
    return count


def units(texts: pa.Array, unit: UnitName, minimum: int) -> Units:
    """The lines or paragraphs of `minimum` characters or more (line breaks inside a paragraph count as one)."""
    offsets, data = text_buffers(texts)
    arguments = offsets, data, unit == "line", np.int64(minimum)
    none = np.empty(0, np.int64)
    room = _list_units(*arguments, none, none, none, none)
    columns = [np.empty(room, np.int64) for _ in range(4)]
    _list_units(*arguments, *columns)
    return Units(*columns)


def unit_digests(texts: pa.Array, places: Units, normalise: Sequence[str] = ()) -> np.ndarray:
    """xxh3_128 of each unit's bytes, as they are or normalised: uint64 of shape (U, 2), upper half first."""
    _, data = text_buffers(texts)
    offsets, gathered = gather_bytes(data, places.starts, places.stops - places.starts)
    pieces = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(places.starts), [None, pa.py_buffer(offsets), pa.py_buffer(gathered)]
    )
    return text_digests(pieces, normalise)


class Tally:
    """The digests of a block's units, gathered batch by batch."""

    def __init__(self) -> None:
        self._digests: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self._starts: list[np.ndarray] = []
        self._ids: list[pa.Array] = []
        self._id_rows: list[np.ndarray] = []

    def add(self, digests: np.ndarray, rows: np.ndarray, starts: np.ndarray) -> None:
        """Units in the order of the block: digests uint64 (U, 2), row of the document in the block, byte in it."""
        self._digests.append(digests)
        self._rows.append(rows)
        self._starts.append(starts)

    def name(self, rows: np.ndarray, ids: pa.Array) -> None:
        """The ids of documents: rows of the block int64, rising from one call to the next, too."""
        self._id_rows.append(rows)
        self._ids.append(ids)

    def table(self) -> pa.Table:
        """Each digest once, as `TALLY`, in the order of the digests."""
        digests = np.concatenate([np.zeros((0, 2), np.uint64), *self._digests])
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        starts = np.concatenate([np.zeros(0, np.int64), *self._starts])
        order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: the first of a group is the first in the block
        digests, rows, starts = digests[order], rows[order], starts[order]
        opens = np.ones(len(order), bool)
        opens[1:] = (digests[1:] != digests[:-1]).any(axis=1)
        fresh = opens.copy()
        fresh[1:] |= rows[1:] != rows[:-1]
        heads = np.flatnonzero(opens)
        named = np.concatenate([np.zeros(0, np.int64), *self._id_rows])
        ids = pa.concat_arrays(self._ids) if self._ids else pa.array([], pa.string())
        columns = [
            pa.array(digests[heads, 0]),
            pa.array(digests[heads, 1]),
            pa.array(np.add.reduceat(fresh.astype(np.int64), heads) if len(heads) else heads),
            pa.array(np.diff(np.append(heads, len(order)))),
            pa.array(rows[heads]),
            pa.array(starts[heads]),
            ids.take(pa.array(np.searchsorted(named, rows[heads]))),
        ]
        return pa.Table.from_arrays(columns, schema=TALLY)


def repeated_units(blocks: Sequence[pa.RecordBatch], limit: int, by: Literal["documents", "times"]) -> list[pa.Table]:
    """For each block, those of its digests that are counted more than `limit` times in all, as `REPEATED`.

    Args:
        blocks: the rows of `TALLY` of each block in one partition, in the order of the blocks.
        limit: a unit counted more often than this is repeated.
        by: count documents, or every time that a unit stands in one.
    """
    table = pa.Table.from_batches(blocks, TALLY)
    sizes = [batch.num_rows for batch in blocks]
    block = np.repeat(np.arange(len(blocks)), sizes)
    high, low, row, start = (table[name].to_numpy() for name in ("high", "low", "row", "start"))
    order = np.lexsort((low, high))
    opens = np.ones(len(order), bool)
    opens[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
    heads = np.flatnonzero(opens)
    totals = np.add.reduceat(table[by].to_numpy()[order], heads) if len(heads) else heads
    group = np.cumsum(opens) - 1
    repeated = totals[group] > limit
    first = order[heads][group]
    chosen, first = order[repeated], first[repeated]
    columns = {
        "high": high[chosen],
        "low": low[chosen],
        "row": np.where(block[chosen] == block[first], row[first], -1),
        "start": start[first],
        "first": table["id"].take(pa.array(first)),
    }
    whole = pa.table(columns, schema=REPEATED)
    owner = block[chosen]
    return [whole.take(pa.array(np.flatnonzero(owner == number))) for number in range(len(blocks))]


def find_digests(known: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """Where each digest stands among the known ones, or -1: int64 of shape (U,).

    Args:
        known: uint64 of shape (R, 2), unique, sorted by both columns.
        digests: uint64 of shape (U, 2).
    """
    positions = np.full(len(digests), -1, np.int64)
    if not len(known):
        return positions
    at = np.searchsorted(known[:, 0], digests[:, 0])
    left = np.arange(len(digests))
    while len(left):  # a second pass only for digests that share their upper half with another one
        left = left[at[left] < len(known)]
        left = left[known[at[left], 0] == digests[left, 0]]
        same = known[at[left], 1] == digests[left, 1]
        positions[left[same]] = at[left[same]]
        left = left[~same]
        at[left] += 1
    return positions
