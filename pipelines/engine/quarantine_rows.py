"""The quarantined records of one task: in memory while they are few, on disk when they are many.

A small file can hold millions of bad lines, and each of them is a row. Beyond `MEMORY_ROWS` rows go to a file without a
name, which is gone when the process is, however it ends; it is compressed, since such rows are much alike. Beyond
`MOST_ROWS` nobody reads them one by one: a last row counts the rest and names the first of it. Memory: `MEMORY_ROWS`
rows.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.documents import QUARANTINE_SCHEMA

MEMORY_ROWS = 1 << 13
MEMORY_CHARACTERS = 1 << 24
MOST_ROWS = 1 << 20


class QuarantineRows:
    """Rows of QUARANTINE_SCHEMA in the order in which they came; once they are read, no more can be added.

    Args:
        folder: where the file goes, if one is needed; the system's folder for such files where this is a URL.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._rows: list[Mapping[str, Any]] = []
        self._characters = 0
        self._file: IO[bytes] | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self._first_of_rest: dict[str, Any] = {}
        self._rest = self._records_of_rest = 0
        self.rows = 0

    @property
    def full(self) -> bool:
        """Whether a further row is only counted."""
        return self.rows >= MOST_ROWS

    def count(self, document: str, place: str, records: int) -> None:
        """Counts a row that has no place any more."""
        if not self._rest:
            self._first_of_rest = {"id": document, "place": place, "text": None}
        self._rest += 1
        self._records_of_rest += records

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a row, as long as they are not `full`."""
        self._rows.append(row)
        self.rows += 1
        self._characters += len(row["text"] or "")
        if len(self._rows) >= MEMORY_ROWS or self._characters >= MEMORY_CHARACTERS:
            self._spill()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows so far."""
        if self._file is not None and self._writer is not None:
            self._spill()
            self._writer.close()
            self._writer = None
        if self._file is not None:
            self._file.seek(0)
            yield from pa.ipc.open_stream(self._file)
        if self._rows:
            yield _batch(self._rows)
        if self._rest:
            reason = f"this and the rest of its task: {self._rest:,} reports beyond the {MOST_ROWS:,} listed before"
            yield _batch([self._first_of_rest | {"reason": reason, "records": self._records_of_rest}])

    def table(self) -> pa.Table:
        """All rows at once."""
        return pa.Table.from_batches(list(self.batches()), QUARANTINE_SCHEMA)

    def _spill(self) -> None:
        if not self._rows:
            return
        if self._file is None:
            local = not storage.is_url(self._folder)
            if local:
                Path(self._folder).mkdir(parents=True, exist_ok=True)
            folder = self._folder if local else None
            self._file = tempfile.TemporaryFile(dir=folder, prefix=storage.TEMPORARY_PREFIX)  # noqa: SIM115
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._writer = pa.ipc.new_stream(self._file, QUARANTINE_SCHEMA, options=options)
        if self._writer is None:
            raise RuntimeError("these rows have been read already")
        self._writer.write_batch(_batch(self._rows))
        self._rows, self._characters = [], 0


def _batch(rows: list[Mapping[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, QUARANTINE_SCHEMA)
