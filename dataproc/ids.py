"""Ids that stand more than once: where they are, and what a later document with the same id is called.

An id is looked for by 64 bits of xxh3 and then compared as text, so that no two different ids are ever taken for one
where a document is renamed or refused. Up to `MOST_IDS` ids are sorted together. More of them are shuffled: each id is
read once, and its hash and the address of its document go to the file of its range of hashes; then each range is sorted
by itself. Only of parts in which an id stands that another document has, too, are the ids read again.

The rule for a new name: of documents with one id the first keeps it, in the order of parts and rows, and the n-th
becomes `<id>~n`, with more tildes than any id of the dataset has before digits at its end; so the new ids are unique,
too, and the same whatever the number of workers.

Cost: 0.3 us an id. Memory: 50 bytes an id of a range, and the ids that stand more than once in it. On disk 16 bytes an
id while ranges are looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.dedup.shuffle import partition_rows, read_partition, row_batch, write_partitions
from corpusmill.dataproc.documents import address, split_address
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
        tildes: the most tildes before digits at the end of an id, of all that were read.
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


def find_repeated(paths: Sequence[str], sets: Sequence[int] = ()) -> Repeated:
    """The ids that stand more than once in these parts, which hold `MOST_IDS` ids at most.

    Args:
        paths: of the parts, in their order.
        sets: the dataset of each part, ascending; if given, only ids count that stand in more than one.
    """
    keys, addresses, tildes = hash_ids(enumerate(paths))
    return Repeated(places=repeated_places(keys, addresses, paths, sets), tildes=tildes)


def find_repeated_by_ranges(paths: Sequence[str], rows: Sequence[int], sets: Sequence[int] = ()) -> Iterator[Repeated]:
    """The same for any number of ids, a range of hashes at a time; more than one are shuffled in a temporary folder.

    Args:
        rows: of each part.
    """
    ranges = count_ranges(sum(rows))
    if ranges == 1:
        yield find_repeated(paths, sets)
        return
    with TemporaryDirectory(prefix="corpusmill-ids-") as folder:
        files, tildes = [], 0
        for number, group in enumerate(group_parts(rows)):
            files.append(str(Path(folder, f"{number}.arrow")))
            tildes = max(tildes, write_id_hashes(files[-1], ((part, paths[part]) for part in group), ranges))
        for number in range(ranges):
            keys, addresses = read_id_hashes(files, number)
            yield Repeated(places=repeated_places(keys, addresses, paths, sets), tildes=tildes)


def group_parts(rows: Sequence[int]) -> list[range]:
    """Numbers of consecutive parts that hold about `MOST_IDS` ids together, a range a group."""
    before = np.cumsum(rows) - rows
    bounds = np.unique(np.searchsorted(before // MOST_IDS, np.arange(count_ranges(sum(rows)) + 1)))
    return [range(first, last) for first, last in pairwise([*bounds.tolist(), len(rows)]) if first < last]


def write_id_hashes(path: str, parts: Iterable[tuple[int, str]], ranges: int) -> int:
    """Commits a shuffle file of the ids of (number, path) parts, and returns the most tildes before digits."""
    keys, addresses, tildes = hash_ids(parts)
    write_partitions(path, [row_batch(*rows) for rows in partition_rows(keys, addresses, ranges)])
    return tildes


def read_id_hashes(paths: Sequence[str], number: int) -> tuple[np.ndarray, np.ndarray]:
    """(hashes, addresses) of a range of hashes, uint64, from all files of `write_id_hashes`."""
    batches = [read_partition(path, number) for path in paths]
    keys, addresses = (np.concatenate([batch.column(column).to_numpy() for batch in batches]) for column in (0, 1))
    return keys, addresses


def hash_ids(parts: Iterable[tuple[int, str]]) -> tuple[np.ndarray, np.ndarray, int]:
    """(hashes uint64, addresses uint64, most tildes before digits) of all ids of (number, path) parts."""
    keys, addresses, tildes = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], 0
    for part, path in parts:
        row = 0
        for batch in read_batches(path, ["id"]):
            ids = batch.column("id")
            keys.append(_hashes(ids))
            addresses.append(address(part, row + np.arange(len(ids))))
            tildes = max(tildes, longest_run(ids))
            row += len(ids)
    return np.concatenate(keys), np.concatenate(addresses), tildes


def repeated_places(
    keys: np.ndarray, addresses: np.ndarray, paths: Sequence[str], sets: Sequence[int] = ()
) -> pa.Table:
    """PLACES of the ids that stand more than once, of all hashes of a range: by id, part and row.

    Args:
        keys, addresses: as from `hash_ids`.
        paths, sets: as for `find_repeated`.
    """
    likely = np.sort(_more_than_once(keys, addresses, np.asarray(sets, np.int32)))
    parts, rows = split_address(likely)
    tables = [PLACES.empty_table()]
    for part in np.unique(parts).tolist():
        first, last = np.searchsorted(parts, [part, part + 1])
        ids, row = [], 0
        for batch in read_batches(paths[part], ["id"]):
            begin, end = first + np.searchsorted(rows[first:last], [row, row + batch.num_rows])
            ids.append(batch.column("id").take(pa.array(rows[begin:end] - row)).cast(pa.large_string()))
            row += batch.num_rows
        columns = [pa.concat_arrays(ids), np.full(last - first, part, np.int32), rows[first:last]]
        tables.append(pa.table(columns, schema=PLACES))
    places = pa.concat_tables(tables).sort_by([("id", "ascending"), ("part", "ascending"), ("row", "ascending")])
    return places.filter(_is_repeated(places, sets))


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


def _hashes(ids: pa.Array) -> np.ndarray:
    """xxh3_64 of each id: uint64 of shape (N,)."""
    offsets, data = text_buffers(ids)
    view, digest = np.ascontiguousarray(data).data, xxhash.xxh3_64_intdigest
    bounds = pairwise(offsets.tolist())
    return np.fromiter((digest(view[start:stop]) for start, stop in bounds), np.uint64, len(ids))


def _more_than_once(keys: np.ndarray, addresses: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Addresses of the rows whose hash stands more than once (in more than one set, if there are sets)."""
    order = np.lexsort((addresses, keys))
    keys, addresses = keys[order], addresses[order]
    opens = np.ones(len(keys), bool)
    opens[1:] = keys[1:] != keys[:-1]
    starts = np.flatnonzero(opens)
    counts = np.diff(np.append(starts, len(keys)))
    several = counts > 1
    if len(sets) and len(starts):
        of_set = sets[split_address(addresses)[0]]  # ascending in a group, as addresses are
        several = of_set[starts] != of_set[starts + counts - 1]
    return addresses[np.repeat(several, counts)]


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
