"""Rows of counts: a pretoken, the group of documents that it was seen in (a language, a source, a kind), how often.

This is what counting hands from one step to the next: a table's rows, a run on disk (`runs.py`), the merge of
many (`merging.py`), the table that is kept (`table_files.py`). Counts stay by group until the very end, so that
groups can be weighed (`balance.py`) without reading text again. Rows are in the order of the pretokens' bytes, then of
the groups; that order needs nothing but comparing, so any number of runs can be merged in bounded memory.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.tokenizer.counting.byte_order import byte_order
from corpusmill.tokenizer.keys import hash_of, key_of

SCHEMA = pa.schema(
    [
        pa.field("pretoken", pa.large_binary(), nullable=False),
        pa.field("group", pa.int32(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class CountRows:
    """Rows (N): pretokens by bytes ascending, equal ones by group ascending, no pair of both twice.

    Attributes:
        pretokens: large_binary.
        groups: int32, numbers of groups, whose names stand elsewhere.
        counts: int64, positive (in a run also negative, where something was taken back).
    """

    pretokens: pa.LargeBinaryArray
    groups: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    def buffers(self) -> tuple[np.ndarray, np.ndarray]:
        """(offsets int64 (N + 1,), data uint8) of the pretokens, read-only."""
        _, offsets, data = self.pretokens.buffers()
        first = self.pretokens.offset
        view = np.frombuffer(offsets, np.int64)[first : first + len(self) + 1] if offsets else np.zeros(1, np.int64)
        return read_only(view), read_only(np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8))

    def slice(self, first: int, length: int) -> "CountRows":
        """Some of the rows; nothing is copied."""
        last = first + length
        return CountRows(self.pretokens.slice(first, length), self.groups[first:last], self.counts[first:last])

    def take(self, rows: np.ndarray) -> "CountRows":
        """The rows at some places, in that order."""
        return CountRows(self.pretokens.take(pa.array(rows)), self.groups[rows], self.counts[rows])

    def to_batch(self) -> pa.RecordBatch:
        """A record batch of `SCHEMA`."""
        columns = [self.pretokens, pa.array(self.groups, pa.int32()), pa.array(self.counts, pa.int64())]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    @classmethod
    def from_batch(cls, batch: pa.RecordBatch) -> "CountRows":
        """The rows of a record batch of `SCHEMA`; nothing is copied."""
        return cls(batch.column(0), batch.column(1).to_numpy(), batch.column(2).to_numpy())


def sorted_rows(pretokens: pa.LargeBinaryArray, groups: np.ndarray, counts: np.ndarray) -> CountRows:
    """The rows in their order. Equal rows, if there are such, stand side by side."""
    rows = CountRows(pretokens, groups, counts)
    return rows.take(byte_order(*rows.buffers(), groups))


@kernel
def hash_strings(data: np.ndarray, offsets: np.ndarray, hashes: np.ndarray) -> None:
    """`hashes[k]` becomes the 64-bit hash of string k, which is the same in every version."""
    for item in range(hashes.shape[0]):
        length = offsets[item + 1] - offsets[item]
        low, high = key_of(data, offsets[item], length)
        hashes[item] = hash_of(low, high, length)


def partition_numbers(rows: CountRows, partitions: int) -> np.ndarray:
    """uint16 (N,): the partition of each row, by a hash of the pretoken that is the same everywhere and always.

    Of powers of two the finer partition lies in the coarser one: number n of 8 in number n % 4 of 4. `partitions` is at
    most 65,536.
    """
    offsets, data = rows.buffers()
    hashes = np.empty(len(rows), np.uint64)
    hash_strings(data, offsets, hashes)
    return ((hashes >> np.uint64(32)) % np.uint64(partitions)).astype(np.uint16)
