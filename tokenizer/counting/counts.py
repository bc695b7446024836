"""How often each pretoken occurs: the only thing that BPE training needs to know about a corpus.

Counting costs about as much as finding the pretokens (some 120 MB/s a core together), and its result follows the number
of unique pretokens, not the corpus. So shards are counted apart, in any order, and merged: counts are int64 sums,
strings are compared byte for byte, and a table is always in one order (count descending, then bytes ascending).

This file has the table that training takes. How it is counted in bounded memory is in `counter.py`, how rows are kept
by group and merged on disk in `rows.py`, `runs.py`, `merging.py` and `table_files.py`, how groups are
weighed in `balance.py` and
`weighing.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.tokenizer.counting.counter import Counter
from corpusmill.tokenizer.counting.rows import CountRows, partition_numbers, sorted_rows
from corpusmill.tokenizer.counting.weighing import weigh
from corpusmill.tokenizer.patterns import Pattern
from corpusmill.tokenizer.pretokens import read_text

SCHEMA = pa.schema(
    [pa.field("pretoken", pa.large_binary(), nullable=False), pa.field("count", pa.int64(), nullable=False)]
)


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
    return column.chunk(0) if column.num_chunks == 1 else _joined(column.chunks, column.type)


def _joined(arrays: Iterable[pa.Array], kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays([*arrays, pa.array([], kind)])


def in_order(pretokens: pa.LargeBinaryArray, counts: np.ndarray) -> PretokenCounts:
    """The table in its one order: count descending, then bytes ascending."""
    groups = np.zeros(len(pretokens), np.int32)
    return _commonest_first(sorted_rows(pretokens, groups, np.asarray(counts, np.int64)))


def _commonest_first(rows: CountRows) -> PretokenCounts:
    order = np.argsort(-rows.counts, kind="stable")
    return PretokenCounts(rows.pretokens.take(pa.array(order)), rows.counts[order])


def counts_of(rows: CountRows) -> PretokenCounts:
    """The table of some rows, groups added up. Raises UserError for sums past 2^63 - 1."""
    return _commonest_first(weigh(rows).rows)


def count_pretokens(texts: pa.Array, pattern: str | Pattern = "deepseek-v3") -> PretokenCounts:
    """Pretokens of a batch of documents (a string array without nulls) and their counts."""
    counter = Counter(pattern)
    counter.add_texts(texts)
    return counts_of(counter.rows())


def merge(tables: Iterable[PretokenCounts]) -> PretokenCounts:
    """One table of the sums; the same whatever the order of the tables. Raises UserError for sums past 2^63 - 1."""
    parts = list(tables)
    pretokens = _joined((part.pretokens for part in parts), pa.large_binary())
    counts = np.concatenate([np.zeros(0, np.int64), *(part.counts for part in parts)])
    return counts_of(sorted_rows(pretokens, np.zeros(len(counts), np.int32), counts))


def partition(table: PretokenCounts, partitions: int) -> list[PretokenCounts]:
    """The table as `partitions` disjoint ones, by a hash of the pretoken that is the same everywhere and always."""
    if partitions < 1:
        raise ValueError("partitions must be at least 1")
    numbers = partition_numbers(CountRows(table.pretokens, np.zeros(len(table), np.int32), table.counts), partitions)
    rows = [np.flatnonzero(numbers == number) for number in range(partitions)]
    return [PretokenCounts(table.pretokens.take(pa.array(part)), table.counts[part]) for part in rows]


def gather(tables: Iterable[PretokenCounts]) -> PretokenCounts:
    """One table of tables that share no pretoken, as partitions do."""
    parts = list(tables)
    pretokens = _joined((part.pretokens for part in parts), pa.large_binary())
    return in_order(pretokens, np.concatenate([np.zeros(0, np.int64), *(part.counts for part in parts)]))
