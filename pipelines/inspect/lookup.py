"""Documents by their ids in Parquet files: one pass over the id columns, whatever the number of documents.

Row groups whose range of ids, according to the footer, contains none of those sought are skipped, and the text column
is never read.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.errors import UserError


@dataclass(frozen=True)
class Row:
    """A row of a Parquet file, but for its text."""

    path: str
    row: int
    values: Mapping[str, Any]


def look_up(paths: Iterable[str], ids: Collection[str]) -> Iterable[tuple[str, Row]]:
    """(path, row) of each id, in one pass that ends when all are found. A file that cannot be read has none."""
    left = set(ids)
    for path in paths:
        if not left:
            return
        try:
            file = open_part(path)
        except (UserError, OSError):
            continue
        with file:
            first = 0
            for group in range(file.num_row_groups):
                metadata = file.metadata.row_group(group)
                if _may_hold(metadata, left):
                    for row, values in _matches(file, group, left):
                        left.discard(values["id"])
                        yield path, Row(path, first + row, values)
                first += metadata.num_rows


def _may_hold(metadata: pq.RowGroupMetaData, ids: Collection[str]) -> bool:
    """Whether one of these ids falls in a row group's range, if the footer has one."""
    for number in range(metadata.num_columns):
        column = metadata.column(number)
        if column.path_in_schema == "id" and column.statistics is not None and column.statistics.has_min_max:
            low, high = column.statistics.min, column.statistics.max
            return any(low <= document <= high for document in ids)
    return True


def _matches(file: pq.ParquetFile, group: int, ids: Collection[str]) -> list[tuple[int, dict[str, Any]]]:
    """(row, all columns but the text) of the rows of a row group that have one of these ids."""
    column = file.read_row_group(group, columns=["id"], use_threads=False)["id"]
    rows = pc.indices_nonzero(pc.is_in(column, value_set=pa.array(sorted(ids), column.type)))
    if not len(rows):
        return []
    others = [name for name in file.schema_arrow.names if name != "text"]
    table = file.read_row_group(group, columns=others, use_threads=False).take(rows)
    return list(zip(rows.to_pylist(), table.to_pylist(), strict=True))
