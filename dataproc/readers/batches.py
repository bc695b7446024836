"""Builds batches of documents from records, and applies the declared normalisation to their text.

Normalisation is declared, and everything else in a text is kept as it is: NUL characters are dropped, CR LF becomes
LF, a byte order mark at the start is dropped. Memory: a batch of about 16 Mi characters of text, or one record.
"""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from dataproc.documents import SCHEMA, text_buffers

BATCH_CHARACTERS = 16 << 20
ROW_CHARACTERS = 256
"""What a row counts for besides its text, so that empty texts fill a batch, too."""

Report = Callable[[str, str, str, str | None], None]
"""`report(id, place, reason, text)`: a record that cannot be a document."""


class BatchBuilder:
    """Collects records: `add` them, and `take` a batch when it is `full` and at the end."""

    def __init__(self) -> None:
        self._rows: list[tuple[str | None, ...]] = []
        self._characters = 0

    def add(
        self,
        *,
        id: str,
        text: str,
        source: str,
        kind: str,
        language: str | None = None,
        url: str | None = None,
        meta: str | None = None,
    ) -> None:
        """Adds a record, by the columns of SCHEMA."""
        self._rows.append((id, text, source, kind, language, url, meta))
        self._characters += ROW_CHARACTERS + len(text) + len(meta or "")

    @property
    def full(self) -> bool:
        return self._characters >= BATCH_CHARACTERS

    def take(self) -> pa.RecordBatch:
        """The records since the last time, normalised; there may be none."""
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(SCHEMA)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        self._rows, self._characters = [], 0
        return normalise(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))


def normalise(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The declared normalisation of the text column; what has nothing to normalise is not copied."""
    text = batch.column("text")
    offsets, data = text_buffers(text)
    data = data[offsets[0] : offsets[-1]]
    if (data == ord("\0")).any():
        text = pc.replace_substring(text, "\0", "")
    if (data == ord("\r")).any():
        text = pc.replace_substring(text, "\r\n", "\n")
    marked = pc.starts_with(text, "\ufeff")
    if pc.any(marked).as_py():
        text = pc.if_else(marked, pc.utf8_slice_codeunits(text, 1), text)
    return batch.set_column(batch.schema.get_field_index("text"), SCHEMA.field("text"), text)
