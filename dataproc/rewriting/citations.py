"""Citations of an encyclopaedia taken out of the text: `[1]`, `[]`, `[edit]`, `[citation needed]` (`citation_marks`).

This is the rule of C4 and DCLM by itself, for datasets that keep all their lines. White space around a mark stays.
Rewriting twice is rewriting once, unless marks stand in each other: "[[1]2]" becomes "[2]".

In code `[]` is an empty list and `[1]` an index, so documents of kind `code` keep their text.

Cost: one pass, see `benchmarks/rewriting.py`. Memory: a copy of the batch's text.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.measures.columns import Column, Rewritten
from corpusmill.dataproc.rewriting.texts import check_settings, number_rows, spared_rows, text_array


@dataclass(frozen=True, kw_only=True)
class Citations:
    """Takes marks of citations out of the text.

    Attributes:
        not_kinds: kinds of documents that keep their text; their number is 0.
    """

    name: ClassVar[str] = "citations"
    source: ClassVar[str] = "Raffel et al. 2020 (C4), code; DCLM citation_removal_modifier"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("citation_count", "marks", "[1], [], [edit] and [citation needed]", whole=True),
    )

    not_kinds: tuple[str, ...] = ("code",)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.COLUMNS

    def measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The number of `rewrite`."""
        return self.rewrite(batch).numbers

    def rewrite(self, batch: pa.RecordBatch) -> Rewritten:
        """The texts without marks; of a batch without any, the texts themselves."""
        from corpusmill.dataproc.rewriting.citation_marks import remove_citations

        texts = batch.column("text")
        offsets, data = text_buffers(texts)
        bounds, counts = np.zeros(batch.num_rows + 1, np.int64), np.zeros(batch.num_rows, np.int64)
        out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
        spared = read_only(spared_rows(batch, self.not_kinds), np.uint8)
        remove_citations(offsets, data, spared, bounds, out, counts)
        return Rewritten(text_array(bounds, out) if counts.any() else texts, number_rows(self.COLUMNS, [counts]))
