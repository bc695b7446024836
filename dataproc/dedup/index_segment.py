"""One segment of an index: what is needed to find its documents, to compare with them and to name them.

    keys/partition-0000.bin        key uint64 of all, row uint32 of all: band keys in order, then by row
    digests/partition-0000.bin     high, low uint64, row uint32: digests in order, then by row
    signatures/block-00000.bin     uint32 of shape (rows, K), C order
    ids/block-00000.bin            int64 of shape (rows + 1,), where each id begins; then their bytes
    segment.json                   rows of each block, partitions, slots of a signature

A row counts through the blocks, which follow the parts of the dataset, or of one merged dataset after the other. Keys
and digests are partitioned by their upper bits (as in `shuffle`), so the partitions joined are one sorted list, and
each is a file of about 64 MiB. All but `segment.json`, whose digest is in the index's list, are checked files
(`checked_file`): a look-up reads and checks the chunks of 64 KiB that it needs, of a map or of an object, and damage is
an error and never an answer.

Disk: 12 bytes a band and 20 a digest, 4 K bytes of signature, the id and 8: 770 bytes a document with 18 bands, 128
slots and ids of 11 bytes. (Rows take 4 bytes more each in a segment of 2^32 documents and over.)
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup.checked_file import CHUNK_BYTES, CheckedFile, damaged, gone, write_checked
from corpusmill.dataproc.dedup.index_entries import SEGMENT
from corpusmill.dataproc.dedup.shuffle import partition_order
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import text_buffers

SCHEMA_VERSION = 2
KEYS, DIGESTS, SIGNATURES, IDS = "keys", "digests", "signatures", "ids"
MOST_OF_A_RUN = 0.5
"""Where more of a sorted run's chunks than that are needed, all of it is given and nothing copied."""


def signatures_name(block: int) -> str:
    """The name below the folder of a block's signatures: the bytes of uint32 (N, K), nothing else."""
    return f"{SIGNATURES}/block-{block:05d}.bin"


def ids_name(block: int) -> str:
    """The name below the folder of a block's ids."""
    return f"{IDS}/block-{block:05d}.bin"


def partition_name(number: int) -> str:
    """What the files of a partition are called."""
    return f"partition-{number:04d}.bin"


def write_signatures(folder: str, block: int, pieces: Iterable[Any]) -> str:
    """Writes the signatures of a block's documents, buffers of uint32 (N, K); gives the name below the folder."""
    name = signatures_name(block)
    write_checked(storage.join(folder, name), name, pieces)
    return name


def write_ids(folder: str, block: int, ids: pa.Array | pa.ChunkedArray) -> str:
    """Writes the ids of a block's documents; gives the name below the folder."""
    name = ids_name(block)
    whole = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    offsets, data = text_buffers(whole.cast(pa.large_string()))
    inside = data[offsets[0] : offsets[-1]]
    write_checked(storage.join(folder, name), name, [offsets - offsets[0], np.ascontiguousarray(inside)])
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
    write_checked(storage.join(folder, name), name, [keys[order], rows[order].astype(row_type(documents))])
    return name


def write_digests(folder: str, partition: int, digests: np.ndarray, rows: np.ndarray, documents: int) -> str:
    """Sorts and writes one partition of digests, uint64 of shape (M, 2); otherwise as `write_keys`."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    name = f"{DIGESTS}/{partition_name(partition)}"
    columns = [np.ascontiguousarray(digests[order, half]) for half in (0, 1)]
    write_checked(storage.join(folder, name), name, [*columns, rows[order].astype(row_type(documents))])
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


class Segment:
    """A segment for reading. Holds 8 bytes a block of its documents.

    Args:
        folder: of the segment.
        digest: of its `segment.json`, by the index's list.

    Attributes:
        documents: rows of the segment.
        rows: of each block.
        partitions: of its keys and digests.
        permutations: slots of a signature, 0 where there are none.
    """

    def __init__(self, folder: str, digest: str) -> None:
        self._folder = folder
        path = storage.join(folder, SEGMENT)
        if not storage.exists(path):
            raise gone(path)
        described = storage.read_bytes(path)
        if xxhash.xxh3_128_hexdigest(described) != digest:
            raise damaged(path, "the digest differs from that in the index's list")
        values = json.loads(described)
        if values.get("schema") != SCHEMA_VERSION:
            what = f"this segment has schema {values.get('schema')!r}, and this corpusmill reads {SCHEMA_VERSION}"
            raise UserError(what, where=path, hint="use the version that wrote it, or rebuild the index")
        self.partitions = int(values["partitions"])
        self.permutations = int(values["permutations"])
        self.rows: list[int] = values["rows"]
        self._first_rows = np.concatenate([[0], np.cumsum(np.array(self.rows, np.int64))]).astype(np.int64)
        self.documents = int(self._first_rows[-1])

    def _open(self, name: str) -> CheckedFile:
        return CheckedFile(storage.join(self._folder, name), name)

    def runs(self, kind: str, queries: np.ndarray) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Of each partition that could hold some of the queries: (which of the queries, the columns), all rows or those
        of the chunks in which the queries would be.

        Args:
            kind: `KEYS` (columns key, row) or `DIGESTS` (high, low, row).
            queries: uint64 of shape (Q,), rising: keys, or upper halves of digests.
        """
        _, bounds = partition_order(queries, self.partitions)  # of rising keys the order is their own
        for partition in np.flatnonzero(np.diff(bounds)).tolist():
            which = slice(int(bounds[partition]), int(bounds[partition + 1]))
            columns = self._run(kind, partition, queries[which])
            if len(columns[0]):
                yield which, columns

    def whole_run(self, kind: str, partition: int) -> list[np.ndarray]:
        """All columns of a partition, checked."""
        return self._run(kind, partition, None)

    def _run(self, kind: str, partition: int, queries: np.ndarray | None) -> list[np.ndarray]:
        file = self._open(f"{kind}/{partition_name(partition)}")
        types = [np.uint64] * (1 if kind == KEYS else 2) + [row_type(self.documents)]
        widths = [np.dtype(one).itemsize for one in types]
        rows = file.size // sum(widths)
        starts = [rows * sum(widths[:place]) for place in range(len(widths))]
        columns = [file.array(one, start, rows) for one, start in zip(types, starts, strict=True)]
        ranges = None if queries is None else _chunks_with(file.first_words, rows, queries)
        if ranges is None:
            file.check_range(0, file.size)
            return columns
        first, stop = ranges
        for start, width in zip(starts, widths, strict=True):
            file.check(start + first * width, start + stop * width)
        inside = np.concatenate([np.zeros(0, np.int64), *(np.arange(a, b) for a, b in zip(first, stop, strict=True))])
        return [column[inside] for column in columns]

    def _by_block(self, rows: np.ndarray) -> Iterator[tuple[int, slice, np.ndarray]]:
        """(block, which of the rows lie in it, their rows in the block) of rising rows."""
        block = np.searchsorted(self._first_rows, rows, side="right") - 1
        edges = [*np.flatnonzero(np.diff(block, prepend=-1)).tolist(), len(rows)]
        for start, stop in pairwise(edges):
            number = int(block[start])
            yield number, slice(start, stop), rows[start:stop] - self._first_rows[number]

    def take_signatures(self, rows: np.ndarray) -> np.ndarray:
        """The signatures of rising rows: uint32 of shape (N, K)."""
        taken = np.empty((len(rows), self.permutations), np.uint32)
        for block, which, inside in self._by_block(rows):
            file = self._open(signatures_name(block))
            width = 4 * self.permutations
            file.check(inside * width, (inside + 1) * width)
            taken[which] = file.array(np.uint32, 0, self.rows[block] * self.permutations).reshape(
                -1, self.permutations
            )[inside]
        return taken

    def block_signatures(self, block: int) -> np.ndarray:
        """All signatures of a block, checked: uint32 of shape (N, K)."""
        file = self._open(signatures_name(block))
        file.check_range(0, file.size)
        return file.array(np.uint32, 0, self.rows[block] * self.permutations).reshape(-1, self.permutations)

    def take_ids(self, rows: np.ndarray) -> pa.ChunkedArray:
        """The ids of rising rows."""
        chunks = [self._block_ids(block, inside) for block, _, inside in self._by_block(rows)]
        return pa.chunked_array(chunks, pa.string())

    def block_ids(self, block: int) -> pa.Array:
        """All ids of a block."""
        file = self._open(ids_name(block))
        file.check_range(0, file.size)
        begin = 8 * (self.rows[block] + 1)
        buffers = [None, *(pa.py_buffer(file.array(np.uint8, *where)) for where in ((0, begin), (begin,)))]
        return pa.Array.from_buffers(pa.large_string(), self.rows[block], buffers).cast(pa.string())

    def _block_ids(self, block: int, rows: np.ndarray) -> pa.Array:
        file = self._open(ids_name(block))
        file.check(rows * 8, rows * 8 + 16)
        offsets = file.array(np.int64, 0, self.rows[block] + 1)
        begin = 8 * (self.rows[block] + 1)
        starts, stops = offsets[rows], offsets[rows + 1]
        file.check(begin + starts, begin + stops)
        lengths = stops - starts
        ends = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(int(ends[-1])) + np.repeat(starts - ends[:-1], lengths)
        data = file.array(np.uint8, begin)[places]
        buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.large_string(), len(rows), buffers).cast(pa.string())

    def find_ids(self, ids: pa.Array) -> np.ndarray:
        """The rows of the documents with these ids: int64, rising. Reads all ids of the segment, a block at a time."""
        import pyarrow.compute as pc

        rows = [np.zeros(0, np.int64)]
        for block, first in enumerate(self._first_rows[:-1].tolist()):
            hit = pc.indices_nonzero(pc.is_in(self.block_ids(block), value_set=ids)).to_numpy()
            rows.append(hit.astype(np.int64) + first)
        return np.concatenate(rows)


def _chunks_with(first_words: np.ndarray, rows: int, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Ranges (first, stop) of rows, rising, in which all rows of the queries are; None for all or most of a run.

    Args:
        first_words: of the chunks; those of the first column, which is sorted, are its values at every 8192nd row.
        rows: of the run.
        queries: rising.
    """
    in_chunk = CHUNK_BYTES // 8
    chunks = -(-rows // in_chunk)
    if chunks * MOST_OF_A_RUN <= 1:
        return None
    fences = first_words[:chunks]
    first = np.maximum(np.searchsorted(fences, queries, side="left") - 1, 0)
    last = np.maximum(np.searchsorted(fences, queries, side="right") - 1, 0)
    marks = np.zeros(chunks + 1, np.int64)
    np.add.at(marks, first, 1)
    np.add.at(marks, last + 1, -1)
    needed = np.cumsum(marks[:-1]) > 0
    if needed.sum() > MOST_OF_A_RUN * chunks:
        return None
    edges = np.flatnonzero(np.diff(needed.astype(np.int8), prepend=0, append=0))
    return edges[::2] * in_chunk, np.minimum(edges[1::2] * in_chunk, rows)
