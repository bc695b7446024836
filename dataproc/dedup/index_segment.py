"""One dataset in an index: what is needed to find its documents, to compare with them and to name them.

    keys/partition-0000.arrow      key uint64, row uint32: band keys in order, then by row
    digests/partition-0000.arrow   high, low uint64, row uint32: digests in order, then by row
    signatures/block-00000.bin     uint32 of shape (rows, K), C order: the documents of some parts of the dataset
    ids/block-00000.arrow          id: the same documents
    segment.json                   rows of each block, partitions, slots of a signature

A row counts through the dataset's parts in their order, and so through the blocks. Keys and digests are partitioned by
their upper bits (as in `shuffle`), so the partitions joined are one sorted list, and each is a file of about 64 MiB at
most. Local files are mapped: a look-up touches the pages that it needs and nothing is loaded. On an object store a
partition is read whole, one at a time, and signatures by ranges.

Disk: 12 bytes a band and 20 a digest, 4 K bytes of signature and the id: 760 bytes a document with 18 bands, 128 slots
and ids of 11 bytes. (Rows take 4 bytes more each in a dataset of 2^32 documents and over.)
"""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup.shuffle import partition_order
from corpusmill.dataproc.errors import UserError

SCHEMA_VERSION = 1
SEGMENT = "segment.json"
KEYS, DIGESTS, SIGNATURES, IDS = "keys", "digests", "signatures", "ids"
RANGE_GAP_BYTES = 64 << 10
"""Rows of signatures on an object store that lie nearer than this are fetched by one request."""


def signatures_name(block: int) -> str:
    """The name below the folder of a block's signatures: the bytes of uint32 (N, K), nothing else."""
    return f"{SIGNATURES}/block-{block:05d}.bin"


def ids_name(block: int) -> str:
    """The name below the folder of a block's ids."""
    return f"{IDS}/block-{block:05d}.arrow"


def partition_name(number: int) -> str:
    """What the files of a partition are called."""
    return f"partition-{number:04d}.arrow"


def write_ids(folder: str, block: int, ids: pa.Array | pa.ChunkedArray) -> str:
    """Writes the ids of a block's documents; gives the name below the folder."""
    name = ids_name(block)
    _write_arrow(storage.join(folder, name), pa.table({"id": ids.cast(pa.string())}))
    return name


def write_keys(folder: str, partition: int, keys: np.ndarray, rows: np.ndarray, documents: int) -> str:
    """Sorts and writes one partition of band keys; gives the name below the folder.

    Args:
        keys: uint64 of shape (M,).
        rows: int64 of shape (M,); rows of the segment, rising.
        documents: of the segment, from which the width of a row follows.
    """
    order = np.argsort(keys, kind="stable")
    name = f"{KEYS}/{partition_name(partition)}"
    columns = {"key": keys[order], "row": rows[order].astype(row_type(documents))}
    _write_arrow(storage.join(folder, name), pa.table(columns))
    return name


def write_digests(folder: str, partition: int, digests: np.ndarray, rows: np.ndarray, documents: int) -> str:
    """Sorts and writes one partition of digests, uint64 of shape (M, 2); otherwise as `write_keys`."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    name = f"{DIGESTS}/{partition_name(partition)}"
    columns = {"high": digests[order, 0], "low": digests[order, 1], "row": rows[order].astype(row_type(documents))}
    _write_arrow(storage.join(folder, name), pa.table(columns))
    return name


def row_type(documents: int) -> Any:
    """The type of a row's number in a segment of so many documents."""
    return np.uint32 if documents <= 1 << 32 else np.uint64


def write_segment(folder: str, rows: Sequence[int], *, partitions: int, permutations: int) -> str:
    """Writes what makes the files one segment; gives the name below the folder.

    Args:
        rows: of each block.
        partitions: of keys and of digests.
        permutations: slots of a signature; 0 when there are none.
    """
    values = {"schema": SCHEMA_VERSION, "rows": list(rows), "partitions": partitions, "permutations": permutations}
    storage.commit_bytes(storage.join(folder, SEGMENT), (json.dumps(values, sort_keys=True) + "\n").encode())
    return SEGMENT


def _write_arrow(path: str, table: pa.Table) -> None:
    """Commits a table as an Arrow IPC file of one batch, uncompressed, so that a map of it is its arrays."""
    with storage.commit_file(path) as out, pa.ipc.new_file(out, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)


def _read_arrow(path: str) -> pa.Table:
    """A file of `_write_arrow`: of a local one a map, of an object all of it. Raises UserError when it isn't whole."""
    try:
        if storage.is_url(path):
            return pa.ipc.open_file(pa.BufferReader(storage.read_bytes(path))).read_all()
        return pa.ipc.open_file(pa.memory_map(path)).read_all()
    except FileNotFoundError as error:
        raise _gone(path) from error
    except pa.ArrowInvalid as error:
        hint = "retract the dataset and add it again"
        raise UserError(f"incomplete or damaged index file ({error})", path, hint) from error


def _gone(path: str) -> UserError:
    return UserError("a file of this index is missing", path, "if its dataset was retracted in the meantime, run again")


class Segment:
    """A segment for reading. Holds 8 bytes a block of its dataset.

    Attributes:
        documents: rows of the segment.
        partitions: of its keys and digests.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        path = storage.join(folder, SEGMENT)
        if not storage.exists(path):
            raise _gone(path)
        values = json.loads(storage.read_bytes(path))
        if values.get("schema") != SCHEMA_VERSION:
            what = f"this segment has schema {values.get('schema')!r}, and this corpusmill reads {SCHEMA_VERSION}"
            raise UserError(what, where=path, hint="use the version that wrote it")
        self.partitions = int(values["partitions"])
        self._permutations = int(values["permutations"])
        self._first_rows = np.concatenate([[0], np.cumsum(np.array(values["rows"], np.int64))]).astype(np.int64)
        self.documents = int(self._first_rows[-1])

    def runs(self, kind: str, queries: np.ndarray) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """The partitions that hold any of the queries: (which of the queries, the columns).

        Args:
            kind: `KEYS` (columns key, row) or `DIGESTS` (high, low, row).
            queries: uint64 of shape (Q,), rising: keys, or upper halves of digests.
        """
        _, bounds = partition_order(queries, self.partitions)  # of rising keys the order is their own
        for partition in np.flatnonzero(np.diff(bounds)).tolist():
            table = _read_arrow(storage.join(self._folder, kind, partition_name(partition)))
            if table.num_rows:
                columns = [column.chunk(0).to_numpy() for column in table.columns]
                yield slice(int(bounds[partition]), int(bounds[partition + 1])), columns

    def _by_block(self, rows: np.ndarray) -> Iterator[tuple[int, slice, np.ndarray]]:
        """(block, which of the rows lie in it, their rows in the block) of rising rows."""
        block = np.searchsorted(self._first_rows, rows, side="right") - 1
        edges = [*np.flatnonzero(np.diff(block, prepend=-1)).tolist(), len(rows)]
        for start, stop in pairwise(edges):
            number = int(block[start])
            yield number, slice(start, stop), rows[start:stop] - self._first_rows[number]

    def take_signatures(self, rows: np.ndarray) -> np.ndarray:
        """The signatures of rising rows: uint32 of shape (N, K)."""
        taken = np.empty((len(rows), self._permutations), np.uint32)
        for block, which, inside in self._by_block(rows):
            path = storage.join(self._folder, signatures_name(block))
            taken[which] = take_rows(path, inside, self._permutations)
        return taken

    def take_ids(self, rows: np.ndarray) -> pa.ChunkedArray:
        """The ids of rising rows."""
        chunks = []
        for block, _, inside in self._by_block(rows):
            table = _read_arrow(storage.join(self._folder, ids_name(block)))
            chunks.extend(table["id"].take(pa.array(inside)).chunks)
        return pa.chunked_array(chunks, pa.string())

    def find_ids(self, ids: pa.Array) -> np.ndarray:
        """The rows of the documents with these ids: int64, rising. Reads all ids of the segment, a block at a time."""
        import pyarrow.compute as pc

        rows = [np.zeros(0, np.int64)]
        for block, first in enumerate(self._first_rows[:-1].tolist()):
            column = _read_arrow(storage.join(self._folder, ids_name(block)))["id"]
            hit = pc.indices_nonzero(pc.is_in(column, value_set=ids)).to_numpy()
            rows.append(hit.astype(np.int64) + first)
        return np.concatenate(rows)


def take_rows(path: str, rows: np.ndarray, width: int) -> np.ndarray:
    """Rows of a file of uint32 of shape (N, width): uint32 of shape (len(rows), width).

    Args:
        rows: int64, rising.
    """
    if not len(rows):
        return np.zeros((0, width), np.uint32)
    if not storage.is_url(path):
        try:
            return np.memmap(path, np.uint32, "r").reshape(-1, width)[rows]
        except FileNotFoundError as error:
            raise _gone(path) from error
    import fsspec

    filesystem, inner = fsspec.core.url_to_fs(path)
    row_bytes = 4 * width
    edges = [0, *(np.flatnonzero(np.diff(rows) * row_bytes > RANGE_GAP_BYTES) + 1).tolist(), len(rows)]
    groups = [rows[start:stop] for start, stop in pairwise(edges)]
    starts = [int(group[0]) * row_bytes for group in groups]
    ends = [(int(group[-1]) + 1) * row_bytes for group in groups]
    try:
        blocks = filesystem.cat_ranges([inner] * len(groups), starts, ends, on_error="raise")
    except FileNotFoundError as error:
        raise _gone(path) from error
    taken = [
        np.frombuffer(block, np.uint32).reshape(-1, width)[group - group[0]]
        for block, group in zip(blocks, groups, strict=True)
    ]
    return np.concatenate(taken)
