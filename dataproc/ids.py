"""Ids that stand more than once: where they are, and what a later document with the same id is called.

An id is looked for by 64 bits of xxh3 and then compared as text, so that no two different ids are ever taken for one
where a document is renamed or refused. All hashes of a range are sorted together, and the column of ids is read once
for each range of `MOST_IDS`. The rule for a new name: of documents with one id the first keeps it, in the order of
parts and rows, and the n-th becomes `<id>~n`, with more tildes than any id of the dataset has before digits at its end;
so the new ids are unique, too, and the same whatever the number of workers.

Cost: 0.3 us an id and range. Memory: 30 bytes an id of a range, and the ids that stand more than once in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.kernels.buffers import text_buffers

MOST_IDS = 1 << 23
"""Ids of one range of hashes."""

COUNTED_SUFFIX = r"(?P<tildes>~+)[0-9]+$"
PLACES = pa.schema([("id", pa.large_string()), ("part", pa.int32()), ("row", pa.int64())])
"""Where ids stand: the number of the part, and the row in it."""


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Ids that stand more than once in a range of hashes.

    Attributes:
        places: PLACES of all documents that have one of them, by id, part and row.
        tildes: the most tildes before digits at the end of an id of the range's parts.
    """

    places: pa.Table
    tildes: int


def count_ranges(ids: int) -> int:
    """Into how many ranges of hashes so many ids are divided."""
    return max(1, -(-ids // MOST_IDS))


def longest_run(ids: pa.Array) -> int:
    """The most tildes before the digits at the end of an id."""
    runs = pc.struct_field(pc.extract_regex(ids, COUNTED_SUFFIX), "tildes")
    return int(pc.max(pc.utf8_length(runs)).as_py() or 0)


def find_repeated(paths: Sequence[str], number: int = 0, ranges: int = 1, sets: Sequence[int] = ()) -> Repeated:
    """The ids that stand more than once in these parts.

    Args:
        paths: of the parts, in their order.
        number, ranges: which range of hashes to look at, of how many.
        sets: the dataset of each part, ascending; if given, only ids count that stand in more than one.
    """
    hashes, parts, tildes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int32)], 0
    for part, path in enumerate(paths):
        for ids, ours in _ids_of(path, number, ranges):
            tildes = max(tildes, longest_run(ids))
            hashes.append(ours)
            parts.append(np.full(len(ours), part, np.int32))
    found = _more_than_once(np.concatenate(hashes), np.concatenate(parts), np.asarray(sets, np.int32))
    del hashes, parts
    if not len(found):
        return Repeated(places=PLACES.empty_table(), tildes=tildes)
    tables = [PLACES.empty_table()]
    for part, path in enumerate(paths):
        row = 0
        for ids, _ in _ids_of(path, 0, 1):
            rows = np.flatnonzero(np.isin(_hashes(ids), found))
            columns = [ids.take(pa.array(rows)).cast(pa.large_string()), np.full(len(rows), part, np.int32), row + rows]
            tables.append(pa.table(columns, schema=PLACES))
            row += len(ids)
    places = pa.concat_tables(tables).sort_by([("id", "ascending"), ("part", "ascending"), ("row", "ascending")])
    return Repeated(places=places.filter(_is_repeated(places, sets)), tildes=tildes)


def new_ids(places: pa.Table, tildes: int) -> pa.Table:
    """PLACES of the documents that get another id, with that id.

    Args:
        places: of all documents of some ids, by id, part and row.
        tildes: to write before the number.
    """
    ids = places.column("id").combine_chunks()
    first = np.ones(len(ids), bool)
    first[1:] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    position = np.arange(len(ids))
    ordinal = position - np.maximum.accumulate(np.where(first, position, 0)) + 1
    later = pa.array(~first)
    numbers = pa.array(ordinal).cast(pa.large_string())
    marks, nothing = (pa.scalar(text, pa.large_string()) for text in ("~" * tildes, ""))
    named = pc.binary_join_element_wise(ids, marks, numbers, nothing)
    return places.set_column(0, PLACES.field("id"), named).filter(later)


def _ids_of(path: str, number: int, ranges: int) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """(all ids of a batch, the hashes of those in the range)."""
    for batch in read_batches(path, ["id"]):
        ids = batch.column("id")
        hashes = _hashes(ids)
        yield ids, hashes if ranges == 1 else hashes[hashes % np.uint64(ranges) == number]


def _hashes(ids: pa.Array) -> np.ndarray:
    """xxh3_64 of each id: uint64 of shape (N,)."""
    offsets, data = text_buffers(ids)
    view, digest = np.ascontiguousarray(data).data, xxhash.xxh3_64_intdigest
    bounds = pairwise(offsets.tolist())
    return np.fromiter((digest(view[start:stop]) for start, stop in bounds), np.uint64, len(ids))


def _more_than_once(hashes: np.ndarray, parts: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """The hashes, ascending, that stand more than once (in more than one set, if there are sets)."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    same = ordered[1:] == ordered[:-1]
    if len(sets):
        of_set = sets[parts[order]]
        same &= of_set[1:] != of_set[:-1]
    return np.unique(ordered[1:][same])


def _is_repeated(places: pa.Table, sets: Sequence[int]) -> pa.Array:
    """Whether the id of each row, as text, stands in another row (of another set), too."""
    ids = places.column("id").combine_chunks()
    same = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False).astype(bool)
    groups = np.concatenate([[0], np.cumsum(~same)]) if len(ids) else np.zeros(0, np.int64)
    if not len(sets):
        return pa.array(np.bincount(groups)[groups] > 1)
    of_set = np.asarray(sets, np.int64)[places.column("part").to_numpy()]
    across = np.zeros(int(groups.max(initial=-1)) + 1, bool)
    np.logical_or.at(across, groups[1:], same & (of_set[1:] != of_set[:-1]))
    return pa.array(across[groups])
