"""Keeps one bad document from taking its neighbours, its file or its stage down with it.

Work on a batch is first tried on the whole batch, which is what makes it fast. When that raises, the batch is done
again one document at a time, and the documents that raise are quarantined with the reason; but when most of a batch
raises, the documents are not to blame, and the task fails with the traceback.

When a document kills the whole process (a segfault in a parser, unbounded memory) nothing can be caught: the engine
then starts a careful attempt, which notes the document it is about to touch; after three deaths of the task, two of
them on the same document, that one is skipped by name.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.documents import QUARANTINE_SCHEMA
from corpusmill.dataproc.errors import UserError

T = TypeVar("T")
REASON_CHARACTERS = 300
TEXT_CHARACTERS = 1 << 16
TASK_TEXT_CHARACTERS = 1 << 24
"""Bounds on the text kept of a quarantined record and of all of a task's: a file of junk must not fill the memory."""
MOST_BAD_SHARE = 0.5
FEW_DOCUMENTS = 4
"""This many documents of a batch may raise, however small it is, before the fault is taken to be ours."""


class Guard:
    """Runs per-document work for one task and collects what had to be left out.

    Args:
        skip: document ids (or file names) to leave out, with the reason.
        careful: work on one document at a time and note its id at `breadcrumb` first.
        advance: is given the bytes of each batch that is done.
    """

    def __init__(
        self,
        *,
        skip: Mapping[str, str],
        careful: bool,
        breadcrumb: str,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        self._advance = advance
        self._skip = dict(skip)
        self._careful = careful
        self._breadcrumb = breadcrumb
        self._quarantined: list[dict[str, str | None]] = []
        self._text_left = TASK_TEXT_CHARACTERS
        self._last_error: Exception | None = None

    @property
    def quarantined(self) -> int:
        return len(self._quarantined)

    def quarantine(self, document: str, place: str, reason: str, text: str | None = None) -> None:
        """Records a document or record that is left out, with the beginning of its text as far as the bounds allow."""
        short = " ".join(reason.split())[:REASON_CHARACTERS]
        excerpt = text[:TEXT_CHARACTERS] if text is not None and self._text_left > 0 else None
        self._text_left -= len(excerpt or "")
        self._quarantined.append({"id": document, "place": place, "reason": short, "text": excerpt})

    def quarantine_table(self) -> pa.Table:
        return pa.Table.from_pylist(self._quarantined, schema=QUARANTINE_SCHEMA)

    def enter(self, name: str, place: str) -> bool:
        """Notes that a file is about to be opened; False when it is to be skipped (and is quarantined)."""
        if name in self._skip:
            self.quarantine(name, place, self._skip[name])
            return False
        if self._careful:
            self._note(name)
        return True

    def each(self, batch: pa.RecordBatch, work: Callable[[pa.RecordBatch], T], place: str) -> Iterator[T]:
        """Yields `work(part)` for parts that cover the batch in order, without the documents that cannot be done.

        `work` must treat each document on its own, so that the parts' results joined are the batch's result.
        """
        yield from self._each(batch, work, place)
        if self._advance:
            self._advance(batch.nbytes)

    def _each(self, batch: pa.RecordBatch, work: Callable[[pa.RecordBatch], T], place: str) -> Iterator[T]:
        if self._skip:
            batch = self._without_skipped(batch, place)
        if batch.num_rows == 0:
            return
        if not self._careful:
            try:
                result = work(batch)
            except (UserError, OSError, MemoryError):
                raise
            except Exception:
                pass  # some document of it: which one, and why, comes out below
            else:
                yield result
                return
        before = self.quarantined
        for row in range(batch.num_rows):
            if self._careful:
                self._note(batch.column("id")[row].as_py())
            yield from self._one(batch.slice(row, 1), work, place)
            if self._last_error and self.quarantined - before > max(MOST_BAD_SHARE * batch.num_rows, FEW_DOCUMENTS):
                raise self._last_error

    def _one(self, document: pa.RecordBatch, work: Callable[[pa.RecordBatch], T], place: str) -> Iterator[T]:
        try:
            result = work(document)
        except (UserError, OSError, MemoryError):
            raise
        except Exception as error:
            name, text = document.column("id")[0].as_py(), document.column("text")[0].as_py()
            self.quarantine(name, place, f"{type(error).__name__}: {error}", text)
            self._last_error = error
            return
        yield result

    def _without_skipped(self, batch: pa.RecordBatch, place: str) -> pa.RecordBatch:
        hit = pc.is_in(batch.column("id"), value_set=pa.array(list(self._skip), pa.string()))
        for document in batch.filter(hit).select(["id", "text"]).to_pylist():
            self.quarantine(document["id"], place, self._skip[document["id"]], document["text"])
        return batch.filter(pc.invert(hit))

    def _note(self, name: str) -> None:
        storage.commit_bytes(self._breadcrumb, name.encode(), durable=False)
