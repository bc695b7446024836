"""The table of counts that is kept: a Parquet dataset from which any vocabulary can be learned without the text.

Columns are `pretoken` (bytes), `group` (the name of a language, source or kind; "" where documents have none) and
`count`. A file is one hash partition, in the order of `rows.py`, so tables of other text are merged into it as
runs are. Its schema says how it was made: the pattern, what groups stand for, their names, the least count that was
kept, and a digest of the datasets that were counted.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import open_input
from corpusmill.tokenizer.counting.balance import ONE
from corpusmill.tokenizer.counting.counts import PretokenCounts, gather
from corpusmill.tokenizer.counting.merging import group_numbers
from corpusmill.tokenizer.counting.rows import CountRows
from corpusmill.tokenizer.counting.weighing import Dropped, weigh
from corpusmill.tokenizer.patterns import Pattern

METADATA = b"corpusmill.counts"
COLUMNS = [
    pa.field("pretoken", pa.large_binary(), nullable=False),
    pa.field("group", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    pa.field("count", pa.int64(), nullable=False),
]


@dataclass(frozen=True)
class TableInfo:
    """How a table was made.

    Attributes:
        pattern: how text was cut.
        group_by: the column that groups are the values of, or "none".
        groups: their names, ascending.
        min_count: pretokens of fewer were left out.
        inputs: a digest of the datasets that were counted.
    """

    pattern: Pattern
    group_by: str
    groups: tuple[str, ...]
    min_count: int
    inputs: str

    def schema(self) -> pa.Schema:
        """The table's schema, with all of this in its metadata."""
        described = {
            "pattern": {"name": self.pattern.name, "splits": list(self.pattern.splits)},
            "group_by": self.group_by,
            "groups": list(self.groups),
            "min_count": self.min_count,
            "inputs": self.inputs,
        }
        return pa.schema(COLUMNS, {METADATA: json.dumps(described, ensure_ascii=False)})

    def to_batch(self, rows: CountRows) -> pa.RecordBatch:
        """Rows, whose groups are numbered as in `groups`, as a record batch of the schema."""
        named = pa.DictionaryArray.from_arrays(pa.array(rows.groups, pa.int32()), pa.array(self.groups, pa.string()))
        return pa.RecordBatch.from_arrays([rows.pretokens, named, pa.array(rows.counts)], schema=self.schema())


class TableFile:
    """A file of a table that is read, a row group at a time.

    Attributes:
        info: how it was made.

    Raises UserError for a file that is no such table.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with open_input(path) as file:
            try:
                metadata = pq.read_schema(file).metadata or {}
            except pa.ArrowException as error:
                raise UserError(f"not a readable Parquet file ({error})", where=path, hint="make it again") from error
        if METADATA not in metadata:
            raise UserError("not a table of counts", where=path, hint="use a table made by `tokenizer count`")
        described = json.loads(metadata[METADATA])
        pattern = Pattern(described["pattern"]["name"], tuple(described["pattern"]["splits"]))
        self.info = TableInfo(
            pattern, described["group_by"], tuple(described["groups"]), described["min_count"], described["inputs"]
        )

    def __iter__(self) -> Iterator[CountRows]:
        with open_input(self._path) as opened, pq.ParquetFile(opened) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, use_threads=False).unify_dictionaries().combine_chunks()
                for batch in table.to_batches():
                    named = batch.column("group")
                    numbers = group_numbers(named.dictionary.to_pylist(), self.info.groups)
                    groups = numbers[named.indices.to_numpy()]
                    yield CountRows(batch.column("pretoken"), groups, batch.column("count").to_numpy())


def load_counts(
    paths: Iterable[str], scales: Mapping[str, int] | None = None, min_count: int = 1
) -> tuple[PretokenCounts, Dropped]:
    """The counts that a vocabulary is learned from, groups weighed and added up; and what `min_count` left out.

    Args:
        paths: the files of one table, in any order.
        scales: of each group, as from `balance.group_scales`; without it counts are only added.
        min_count: a pretoken that was seen less often, before weighing, is left out.

    Memory: the result, its sorting, and a row group. Raises UserError for a sum past 2^63 - 1.
    """
    parts: list[PretokenCounts] = []
    dropped = Dropped()
    for path in paths:
        file = TableFile(path)
        factors = np.array([(scales or {}).get(name, ONE) for name in file.info.groups], np.int64)
        for rows in whole_pretokens(file):
            weighed = weigh(rows, factors, min_count)
            parts.append(PretokenCounts(weighed.rows.pretokens, weighed.rows.counts))
            dropped += weighed.dropped
    return gather(parts), dropped


def whole_pretokens(pieces: Iterable[CountRows]) -> Iterator[CountRows]:
    """The rows in pieces that have all rows of each of their pretokens."""
    left: CountRows | None = None
    for piece in pieces:
        rows = piece if left is None else _joined(left, piece)
        last = rows.pretokens[-1] if len(rows) else None
        first = len(rows)
        while first and rows.pretokens[first - 1] == last:
            first -= 1
        if first:
            yield rows.slice(0, first)
        left = rows.slice(first, len(rows) - first)
    if left is not None and len(left):
        yield left


def _joined(left: CountRows, right: CountRows) -> CountRows:
    return CountRows(
        pa.concat_arrays([left.pretokens, right.pretokens]),
        np.concatenate([left.groups, right.groups]),
        np.concatenate([left.counts, right.counts]),
    )
