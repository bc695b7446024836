"""Columns of the statistics that a filter leaves beside the documents (`_statistics/`), joined to them by id.

A filter's task writes one file of them, for all that came in, and one part or several of what it kept. A dataset
without statistics, or without a column of this name, has none of them: its documents come last by such a preference.

Cost: the ids and the columns named are read, not the others. Memory: those of one part.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.dedup.survivors import STATISTICS
from corpusmill.dataproc.side_tables import side_name

TABLE = "statistics"


def statistics_path(part: str) -> str:
    """Where the statistics of a part's documents are, if there are any."""
    folder, _, name = part.rpartition("/")
    stem = name.partition(".")[0].partition("_")[0]
    return storage.join(folder, side_name(TABLE, stem))


def statistics_columns(part: str) -> list[str]:
    """Names of the columns beside a part, as preferences write them; none where there are no statistics."""
    path = statistics_path(part)
    if not storage.exists(path):
        return []
    with open_part(path) as file:
        return [STATISTICS + name for name in file.schema_arrow.names if name != "id"]


class Statistics:
    """The statistics beside one part.

    Args:
        part: path of the part.
        columns: as preferences name them; all others are left alone.
    """

    def __init__(self, part: str, columns: Sequence[str]) -> None:
        present = [name for name in statistics_columns(part) if name in columns] if columns else []
        self._table: pa.Table | None = None
        if present:
            with open_part(statistics_path(part)) as file:
                names = [name.removeprefix(STATISTICS) for name in present]
                self._table = file.read(["id", *names]).rename_columns(["id", *present])

    def of(self, ids: pa.Array) -> pa.Table:
        """A row for each id: the columns that are there, null where an id is not."""
        if self._table is None:
            return pa.table({})
        place = pc.index_in(ids, value_set=self._table["id"].combine_chunks().cast(ids.type))
        return self._table.drop_columns(["id"]).take(place)
