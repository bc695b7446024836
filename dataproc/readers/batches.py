"""Builds batches of documents from records, and applies the declared normalisation to their text.

Normalisation is declared, and everything else in a text is kept as it is: a byte order mark at the start is dropped,
NUL characters are dropped, CR LF becomes LF. Memory: a batch of about 16 MiB of text.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dataproc.documents import SCHEMA

BATCH_BYTES = 16 << 20
Report = Callable[[str, str, str, str | None], None]
"""`report(id, place, reason, text)`: a record that cannot be a document."""


class BatchBuilder:
    """Collects records; `add` gives a full batch when there is one, `rest` the last."""

    def __init__(self) -> None:
        self._rows: list[Mapping[str, Any]] = []
        self._bytes = 0

    def add(self, **record: Any) -> Iterator[pa.RecordBatch]:
        """Adds a record by the columns of SCHEMA; those left out are null."""
        self._rows.append(record)
        self._bytes += len(record["text"])
        if self._bytes >= BATCH_BYTES:
            yield from self.rest()

    def rest(self) -> Iterator[pa.RecordBatch]:
        if self._rows:
            batch = pa.RecordBatch.from_pylist(self._rows, schema=SCHEMA)
            self._rows, self._bytes = [], 0
            yield normalise(batch)


def normalise(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The declared normalisation of the text column."""
    text = batch.column("text")
    text = pc.replace_substring(text, "\r\n", "\n")
    text = pc.replace_substring(text, "\0", "")
    text = pc.if_else(pc.starts_with(text, "\ufeff"), pc.utf8_slice_codeunits(text, 1), text)
    return batch.set_column(batch.schema.get_field_index("text"), SCHEMA.field("text"), text.cast(pa.large_string()))
