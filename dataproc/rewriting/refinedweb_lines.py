"""RefinedWeb's rules for lines: drop counters, headings in capitals and lone words, cut phrases of navigation.

The paper names the rules (Penedo et al. 2023, appendix G.2), DCLM wrote them down (`dclm_baseline_refinedweb.yaml`).
From a line of at most 10 words we cut, in any case, "items in cart" anywhere, "sign-in" at its beginning and "read
more" with the dots behind it at its end. A line is dropped if more than half of its characters are in upper case, if
all are numerals, if it is a counter ("3 likes", "1.2K views"), if it has fewer than two words, or if cutting left
nothing. White space at a line's ends counts for nothing, blank lines stay, and all else stays byte for byte. The share
of words that are gone is a number: RefinedWeb rejects a document that loses more than 5 %.

Where we differ from DCLM: it judges lines first and cuts then, so what is left of a line is never judged; its "Read
more..." is an expression in which each dot stands for any character; a line with white space around it is compared
whole; and a line of Chinese or Thai is one word there, and dropped (`line_units` says how we count). A character is in
upper case if its lower case is another one.

Rewriting twice is rewriting once. Cost: see `benchmarks/rewriting.py`. Memory: a copy of the batch's text.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.measures.columns import Column, Rewritten
from corpusmill.dataproc.rewriting.texts import check_settings, number_rows, share, spared_rows, text_array


@dataclass(frozen=True, kw_only=True)
class RefinedWebLines:
    """Keeps the lines that RefinedWeb keeps.

    Attributes:
        minimum_words: fewest words of a line; 0 for no limit.
        not_kinds: kinds of documents that keep their text; their number is 0.
    """

    name: ClassVar[str] = "refinedweb-lines"
    source: ClassVar[str] = "Penedo et al. 2023 (RefinedWeb), appendix G.2; Li et al. 2024 (DCLM), refinedweb.yaml"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column(
            "refinedweb_removed_word_fraction", "share of words", "words that RefinedWeb's rules for lines take out"
        ),
    )

    minimum_words: int = 2
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
        """The lines of each text that are kept; of a batch in which all are, the texts themselves."""
        from corpusmill.dataproc.rewriting import refinedweb_kernel as kernel
        from corpusmill.dataproc.text.unicode_tables import load_tables

        texts = batch.column("text")
        offsets, data = text_buffers(texts)
        bounds, counts = np.zeros(batch.num_rows + 1, np.int64), np.zeros((batch.num_rows, 3), np.int64)
        out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
        spared = read_only(spared_rows(batch, self.not_kinds), np.uint8)
        kernel.rewrite_lines(
            offsets, data, spared, *load_tables(), self.minimum_words, bounds, out, read_only(out, np.uint8), counts
        )
        changed = counts[:, kernel.CHANGED_LINES].any()
        removed = share(counts[:, kernel.REMOVED_WORDS], counts[:, kernel.WORDS])
        return Rewritten(text_array(bounds, out) if changed else texts, number_rows(self.COLUMNS, [removed]))
