"""Keeps one bad document from taking its neighbours, its file or its stage down with it.

Work on a batch is first tried on the whole batch, which is what makes it fast. When that raises, the batch is done
again one document at a time, and the documents that raise are quarantined with the reason; but when most of a batch
raises, the documents are not to blame, and the task fails with the traceback.

When a document kills the whole process (a segfault in a parser, unbounded memory) nothing can be caught: the engine
then starts a careful attempt, which notes the document it is about to touch; after three deaths of the task, two of
them on the same document, that one is skipped by name. A document that takes too long is ended from outside
(`heartbeat.py`), and skipped by name in the next attempt; so that it can be named, a batch that took too long is done
again one document at a time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage, watching
from corpusmill.dataproc.errors import UserError, is_caught
from corpusmill.dataproc.urls import mask_text
from corpusmill.pipelines.engine.kept_names import kept_name
from corpusmill.pipelines.engine.quarantine_rows import QuarantineRows

T = TypeVar("T")
REASON_CHARACTERS = 300
TEXT_CHARACTERS = 1 << 16
TASK_TEXT_CHARACTERS = 1 << 24
"""Bounds on the text kept of a quarantined record and of all of a task's: a file of junk must not fill the disk."""
MOST_SLOW_BATCHES = 1
"""Of a task; with more, no batch of it is tried as a whole: each would cost another attempt."""
MOST_BAD_SHARE = 0.5
FEW_DOCUMENTS = 4
"""This many documents of a batch may raise, however small it is, before the fault is taken to be ours."""


class Guard:
    """Runs per-document work for one task and collects what had to be left out.

    Args:
        skip: documents (or files) to leave out, by their kept names (`kept_names.py`), with the reason.
        careful: work on one document at a time and note its id at `breadcrumb` first.
        slow: kept names of the first documents of batches that took too long: these are done one document at a time,
            and with several of them every batch is.
        advance: is given the bytes of each batch that is done.

    Attributes:
        quarantined: records left out so far.
    """

    def __init__(
        self,
        *,
        skip: Mapping[str, str],
        careful: bool,
        breadcrumb: str,
        slow: Collection[str] = (),
        advance: Callable[[int], None] | None = None,
    ) -> None:
        self._advance = advance
        self._skip = dict(skip)
        self._careful = careful
        self._slow = frozenset(slow)
        self._breadcrumb = breadcrumb
        self._rows = QuarantineRows(breadcrumb.rpartition("/")[0])
        self._text_left = TASK_TEXT_CHARACTERS
        self._last_error: BaseException | None = None
        self.quarantined = 0

    @property
    def quarantined_rows(self) -> QuarantineRows:
        """The rows of what was left out; one may stand for many records, or for none."""
        return self._rows

    def quarantine(self, document: str, place: str, reason: str, text: str | None = None, records: int = 1) -> None:
        """Records a document or record that is left out, with the beginning of its text as far as the bounds allow.

        Args:
            records: how many records this is; 0 where something of them was left out and they were not.
        """
        self.quarantined += records
        place = mask_text(place)
        if self._rows.full:
            self._rows.count(document, place, records)
            return
        short = " ".join(mask_text(reason).split())[:REASON_CHARACTERS]
        excerpt = text[:TEXT_CHARACTERS] if text is not None and self._text_left > 0 else None
        self._text_left -= len(excerpt or "")
        self._rows.add({"id": document, "place": place, "reason": short, "text": excerpt, "records": records})

    def quarantine_table(self) -> pa.Table:
        return self._rows.table()

    def skips(self, name: str) -> bool:
        """Whether a file is to be skipped."""
        return kept_name(name) in self._skip

    def enter(self, name: str, place: str, records: Callable[[], int] = lambda: 1) -> bool:
        """Notes that a file is about to be opened; False when it is to be skipped (and is quarantined).

        Args:
            records: how many records are lost with the file; asked for only if it is skipped.
        """
        name = kept_name(name)
        if name in self._skip:
            self.quarantine(name, place, self._skip[name], records=records())
            return False
        if self._careful:
            self._note(name)
        return True

    def apply(self, batch: pa.RecordBatch, work: Callable[[pa.RecordBatch], T], place: str) -> Iterator[T]:
        """Yields `work(part)` for parts that cover the batch in order, without the documents that cannot be done.

        `work` must treat each document on its own, so that the parts' results joined are the batch's result.
        """
        yield from self._apply(batch, work, place)
        if self._advance:
            self._advance(batch.nbytes)

    def _apply(self, batch: pa.RecordBatch, work: Callable[[pa.RecordBatch], T], place: str) -> Iterator[T]:
        if self._skip:
            batch = self._without_skipped(batch, place)
        if batch.num_rows == 0:
            return
        first = batch.column("id")[0].as_py()
        if not self._careful and kept_name(first) not in self._slow and len(self._slow) <= MOST_SLOW_BATCHES:
            try:
                with watching.document(first, batch.num_rows):
                    result = work(batch)
            except (UserError, OSError, MemoryError):
                raise
            except BaseException as error:  # some document of it: which one, and why, comes out below
                if not is_caught(error):
                    raise
            else:
                yield result
                return
        before = self.quarantined
        for row in range(batch.num_rows):
            if self._careful:
                self._note(kept_name(batch.column("id")[row].as_py()))
            yield from self._one(batch.slice(row, 1), work, place)
            if self._last_error and self.quarantined - before > max(MOST_BAD_SHARE * batch.num_rows, FEW_DOCUMENTS):
                raise self._last_error

    def _one(self, document: pa.RecordBatch, work: Callable[[pa.RecordBatch], T], place: str) -> Iterator[T]:
        name = document.column("id")[0].as_py()
        try:
            with watching.document(name):
                result = work(document)
        except (UserError, OSError, MemoryError):
            raise
        except BaseException as error:
            if not is_caught(error):
                raise
            text = document.column("text")[0].as_py()
            self.quarantine(name, place, f"{type(error).__name__}: {error}", text)
            self._last_error = error
            return
        yield result

    def _without_skipped(self, batch: pa.RecordBatch, place: str) -> pa.RecordBatch:
        hit = pa.array([kept_name(name) in self._skip for name in batch.column("id").to_pylist()], pa.bool_())
        for document in batch.filter(hit).select(["id", "text"]).to_pylist():
            self.quarantine(document["id"], place, self._skip[kept_name(document["id"])], document["text"])
        return batch.filter(pc.invert(hit))

    def _note(self, name: str) -> None:
        storage.commit_bytes(self._breadcrumb, name.encode("utf-8", "replace"), durable=False)
