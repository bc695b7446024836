"""Rows of Parquet files, by number and by id: a dataset's documents, or what stands beside them (`_rejected/`, …).

Finding a row by number reads one row group; finding one by id reads the id columns and then one row group. Memory: a
row group (about 16 MiB of text).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part, read_batches
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.places import PARQUET, Place

SAMPLE_PURPOSE = "inspect sample"


@dataclass(frozen=True)
class DocumentRow:
    """A row, and where it stands: `number` counts over all files, `row` in its own."""

    number: int
    path: str
    row: int
    values: dict[str, Any]


class Rows:
    """The rows of several Parquet files, numbered through in order."""

    def __init__(self, where: str, files: Sequence[tuple[str, int]]) -> None:
        """`files`: (path, rows) of each."""
        self.where = where
        self.files = list(files)
        self._ends = np.cumsum([rows for _, rows in files], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def row(self, number: int) -> DocumentRow:
        """The row of a number. Raises UserError past the end."""
        if not 0 <= number < len(self):
            hint = f"rows are 0 to {len(self) - 1}" if len(self) else "it has no rows"
            raise UserError(f"no row {number}", where=self.where, hint=hint)
        file = int(np.searchsorted(self._ends, number, side="right"))
        path, rows = self.files[file]
        row = number - (int(self._ends[file]) - rows)
        return DocumentRow(number, path, row, _read_row(path, row))

    def page(self, start: int, count: int) -> Iterator[DocumentRow]:
        """The rows from a number on, each row group read once."""
        start, end = max(start, 0), min(start + count, len(self))
        first = 0
        for path, rows in self.files:
            here = range(max(start - first, 0), min(end - first, rows))
            for row, values in zip(here, _read_rows(path, here), strict=True):
                yield DocumentRow(first + row, path, row, values)
            first += rows

    def find(self, document: str) -> DocumentRow | None:
        """The first row with this id."""
        before = 0
        for path, rows in self.files:
            row = _row_of(path, document)
            if row is not None:
                return DocumentRow(before + row, path, row, _read_row(path, row))
            before += rows
        return None


def rows_of(place: Place) -> Rows:
    """The rows of a place that has any. Raises UserError for one that has none."""
    if place.what == "parquet file":
        return Rows(place.path, [(place.path, _count(place.path))])
    if place.what == "parquet files":
        names = [name for name in storage.list_names(place.path) if name.endswith(PARQUET)]
        paths = [storage.join(place.path, name) for name in names]
        return Rows(place.path, [(path, _count(path)) for path in paths])
    if place.what == "dataset":
        entries = place.manifest["parts"]
        return Rows(place.path, [(storage.join(place.path, entry["path"]), entry["rows"]) for entry in entries])
    if place.what == "run":
        stages = ", ".join(name for name, _ in place.stages)
        raise UserError("this is a whole run", where=place.path, hint=f"name one of its stages: {stages}")
    what = "this stage is not finished" if place.what == "unfinished" else f"a {place.what} has no documents"
    raise UserError(what, where=place.path, hint="name a dataset, a part, shards or a shard")


def draw_rows(total: int, count: int, seed: int) -> list[int]:
    """`count` different row numbers below `total` (all of them if there are no more), drawn by the seed, in order."""
    from corpusmill.dataproc.randomness import random_key

    if count >= total:
        return list(range(total))
    drawn: set[int] = set()
    draw = 0
    while len(drawn) < count:
        drawn.add(random_key(seed, SAMPLE_PURPOSE, str(draw)) % total)
        draw += 1
    return sorted(drawn)


def matching(paths: Sequence[str], column: str, value: str) -> Iterator[dict[str, Any]]:
    """All rows of the files in which a column has this value, a row group in memory at a time."""
    for path in paths:
        for batch in read_batches(path):
            if column not in batch.schema.names:
                raise UserError(f"no column {column}", where=path)
            yield from batch.filter(pc.fill_null(pc.equal(batch.column(column), value), False)).to_pylist()


def _count(path: str) -> int:
    with open_part(path) as file:
        return file.metadata.num_rows


def _row_of(path: str, document: str) -> int | None:
    first = 0
    for batch in read_batches(path, ["id"]):
        at = pc.index(batch.column("id"), pa.scalar(document, batch.schema.field("id").type)).as_py()
        if at >= 0:
            return first + int(at)
        first += batch.num_rows
    return None


def _read_row(path: str, row: int) -> dict[str, Any]:
    for values in _read_rows(path, range(row, row + 1)):
        return values
    raise UserError(f"no row {row}", where=path, hint="see corpusmill inspect verify")


def _read_rows(path: str, wanted: range) -> Iterator[dict[str, Any]]:
    """Rows of one file in order; fewer where it has fewer."""
    if not wanted:
        return
    with open_part(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            start, end = max(wanted.start - first, 0), min(wanted.stop - first, rows)
            if start < end:
                table = file.read_row_group(group, use_threads=False)
                yield from table.slice(start, end - start).to_pylist()
            first += rows
