"""Builds batches of documents from records, and applies the declared normalisation to their text.

Normalisation is declared, and everything else in a text is kept as it is: NUL characters are dropped, CR LF becomes
LF, a byte order mark at the start is dropped. Memory: a batch of about 4 Mi characters of text (which is
faster than more, since what was read is still in the cache), or one record.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.kernels.buffers import text_buffers

BATCH_CHARACTERS = 4 << 20
ROW_CHARACTERS = 256
"""What a row counts for beyond its text, so that empty texts also fill a batch."""

_most_characters: ContextVar[int] = ContextVar("_most_characters", default=BATCH_CHARACTERS)
_passed_over: ContextVar[Counter[str] | None] = ContextVar("_passed_over", default=None)

Report = Callable[[str, str, str, str | None], None]
"""`report(id, place, reason, text)`: a record that cannot be a document."""


class Unread(str):
    """The reason of a report that speaks of the rest of a file, or a stretch of it, instead of one record.

    Such a report weighs as much as the piece that it is about, since what the file says of itself may be wrong, too.

    Attributes:
        records: how many records that were, where the file says so; 0 where only a column was lost; else None.
        mismatch: nothing is broken, but the settings do not go with the file.
    """

    records: int | None
    mismatch: bool

    def __new__(cls, reason: str, records: int | None = None, *, mismatch: bool = False) -> "Unread":
        unread = super().__new__(cls, reason)
        unread.records, unread.mismatch = records, mismatch
        return unread


@contextmanager
def batches_of(characters: int) -> Iterator[None]:
    """Builders made meanwhile give batches of about so many characters: for readers that are to stop after a while."""
    token = _most_characters.set(characters)
    try:
        yield
    finally:
        _most_characters.reset(token)


@contextmanager
def counting_passed_over() -> Iterator[Counter[str]]:
    """Counts, by kind, the records that readers pass over because their format makes them no documents."""
    counts = Counter[str]()
    token = _passed_over.set(counts)
    try:
        yield counts
    finally:
        _passed_over.reset(token)


def pass_over(kind: str) -> None:
    """Counts a record that its format makes no document; `kind` is one of a few names, and nothing that a file says."""
    if (counts := _passed_over.get()) is not None:
        counts[kind] += 1


class BatchBuilder:
    """Collects records: `add` them, and `take` a batch when it is `full` and at the end."""

    def __init__(self) -> None:
        self._rows: list[tuple[str | None, ...]] = []
        self._characters = 0
        self._most_characters = _most_characters.get()

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
        self.add_row((id, text, source, kind, language, url, meta))

    def add_row(self, row: tuple[str | None, ...]) -> None:
        """Adds a record, its columns in the order of SCHEMA; for readers of many small ones."""
        self._rows.append(row)
        self._characters += ROW_CHARACTERS + len(row[1] or "") + len(row[6] or "")

    @property
    def full(self) -> bool:
        return self._characters >= self._most_characters

    def take(self) -> pa.RecordBatch:
        """The records since the last time, normalised; there may be none."""
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(SCHEMA)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        self._rows, self._characters = [], 0
        return normalise(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))


def normalise(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The declared normalisation of the text column; what has nothing to normalise is not copied."""
    text = _replace(batch.column("text"), "\0", "\0", "")
    text = _replace(text, "\r", "\r\n", "\n")
    marked = pc.starts_with(text, "\ufeff")
    if pc.any(marked).as_py():
        text = pc.if_else(marked, pc.utf8_slice_codeunits(text, 1), text)
    return batch.set_column(batch.schema.get_field_index("text"), SCHEMA.field("text"), text)


def _replace(text: pa.Array, mark: str, pattern: str, replacement: str) -> pa.Array:
    """Replaces a pattern in those texts that hold `mark`, which are few: Arrow's own replacing copies by the byte."""
    offsets, data = text_buffers(text)
    data = data[offsets[0] : offsets[-1]]
    marked = data == ord(mark)
    if not marked.any():
        return text
    rows = np.unique(np.searchsorted(offsets - offsets[0], np.flatnonzero(marked), side="right") - 1)
    concerned = np.zeros(len(text), bool)
    concerned[rows] = True
    replaced = pc.replace_substring(text.take(pa.array(rows)), pattern, replacement)
    return pc.replace_with_mask(text, pa.array(concerned), replaced)
