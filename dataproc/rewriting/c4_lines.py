"""C4's rules for lines: keep those that are sentences of prose, drop menus, scripts and notices about cookies.

The definition is datatrove's `C4QualityFilter`, rule by rule and in its order. Lines are those of `str.splitlines`,
without white space at their ends. A line is dropped if one of its words (stretches between white space) has more than
1,000 characters or if it has fewer than 3 words; then citations (`[1]`, `[edit]`, `[citation needed]`) are taken out
of it, and it is dropped unless it ends in . ? ! " or ', and not in "...", or if it names JavaScript or a policy on
cookies. What is kept is joined by newlines, so blank lines go, too. Consequences of the order that are datatrove's:
"as he said. [1]" with a blank before the mark ends in a blank after it and is dropped, and a line of three words of
which one is a citation is kept.

What decides about the whole document is counted here and decided by rules: "lorem ipsum" and curly brackets are
counted in those lines that the rules named before them leave (datatrove looks for the first before it drops lines for
JavaScript, for the second before it drops them for policies), sentences in the lines that are kept.

Where we differ:

- Sentences are ours (`dataproc.text.scan`; what stands behind the last end counts as one), not those of spaCy or NLTK.
- In scripts without spaces words are counted as `line_units` says; datatrove takes a line of Chinese for one word.
- Letters are compared without case in ASCII; Python's `lower` also makes a k of the Kelvin sign.
- C4 is English. Texts whose sentences end in other marks than . ? ! are not asked (`c4_asked`): they stay as they are,
  and the preset's rules pass them by, as mC4 went without them. `terminal="any-script"` asks them, too, and takes the
  marks that end a sentence in any script, and closing quotes, for those of English; nothing then stays of a text in
  Thai, which has none. `terminal="none"`, which asks all, is how FineWeb uses C4.
- `blank_lines=True` leaves one blank line where there were some between kept lines, so that paragraphs stay apart.

Rewriting twice is rewriting once for texts without citations; a mark that is removed may leave too few words.

Cost: see `benchmarks/rewriting.py`. Memory: a copy of the batch's text, and 60 bytes a document.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.measures.columns import Column, Rewritten
from corpusmill.dataproc.rewriting.texts import check_settings, number_rows, share, spared_rows, text_array

POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
"""A line that holds one of these is dropped (C4's code, not its paper)."""


@dataclass(frozen=True, kw_only=True)
class C4Lines:
    """Keeps the lines that C4 keeps, without citations.

    Attributes:
        minimum_words: fewest words of a line; 0 for no limit.
        longest_word: characters that a word may have; 0 for no limit.
        terminal: how a line must end: "c4" in one of . ? ! " ', and texts that end sentences otherwise are not asked;
            "any-script" in a mark of any script; "none" anyhow.
        citations: whether they are removed.
        javascript: whether lines that name JavaScript are dropped.
        policy_phrases: lines that hold one of these are dropped; in lower case.
        blank_lines: whether one blank line stays where there were some.
        not_kinds: kinds of documents that keep their text; all their numbers are 0.
    """

    name: ClassVar[str] = "c4-lines"
    source: ClassVar[str] = "Raffel et al. 2020 (T5, C4), section 2.2; datatrove C4QualityFilter"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column(
            "c4_asked",
            "0 or 1",
            "1 where C4's line rules are asked: sentences end in . ? or !",
            whole=True,
        ),
        Column("c4_sentence_count", "sentences", "sentences in the lines that C4 keeps", whole=True),
        Column("c4_kept_line_count", "lines", "lines that C4 keeps", whole=True),
        Column("c4_lorem_ipsum_count", "times", "'lorem ipsum' in lines of prose, as C4 looks for it", whole=True),
        Column("c4_curly_bracket_count", "brackets", "'{' in lines of prose, as C4 looks for it", whole=True),
        Column("c4_removed_word_fraction", "share of words", "words in lines that C4 drops"),
    )

    minimum_words: int = 3
    longest_word: int = 1000
    terminal: Literal["c4", "any-script", "none"] = "c4"
    citations: bool = True
    javascript: bool = True
    policy_phrases: tuple[str, ...] = POLICY_PHRASES
    blank_lines: bool = False
    not_kinds: tuple[str, ...] = ("code",)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.COLUMNS

    def measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The numbers of `rewrite`."""
        return self.rewrite(batch).numbers

    def rewrite(self, batch: pa.RecordBatch) -> Rewritten:
        """The lines of each text that are kept; a text of which nothing is kept becomes empty."""
        from corpusmill.dataproc.rewriting import c4_kernel as kernel
        from corpusmill.dataproc.rewriting.c4_asked import find_asked
        from corpusmill.dataproc.text.unicode_tables import load_tables

        offsets, data = text_buffers(batch.column("text"))
        phrases = [(kernel.LOREM_IPSUM, "lorem ipsum")]
        phrases += [(kernel.JAVASCRIPT, "javascript")] if self.javascript else []
        phrases += [(kernel.POLICY, phrase) for phrase in self.policy_phrases]
        terminal = {"none": kernel.NO_MARK, "c4": kernel.C4_MARKS, "any-script": kernel.ANY_MARK}[self.terminal]
        spared = spared_rows(batch, self.not_kinds)
        if self.terminal == "c4":
            asked = np.zeros(batch.num_rows, np.uint8)
            find_asked(offsets, data, load_tables().classes, asked)
            spared |= 1 - asked
        bounds = np.zeros(batch.num_rows + 1, np.int64)
        out = np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint8)
        counts = np.zeros((batch.num_rows, 6), np.int64)
        kernel.rewrite_lines(
            offsets,
            data,
            read_only(spared, np.uint8),
            load_tables().classes,
            kernel.phrase_table(phrases),
            kernel.Limits(self.minimum_words, self.longest_word, terminal, int(self.citations), int(self.blank_lines)),
            *(bounds, out, read_only(out, np.uint8), counts),
        )
        removed = share(counts[:, kernel.REMOVED_WORDS], counts[:, kernel.WORDS])
        numbers = number_rows(self.COLUMNS, [1 - spared.astype(np.int64), *counts[:, : kernel.WORDS].T, removed])
        return Rewritten(text_array(bounds, out), numbers)
