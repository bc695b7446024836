"""MADLAD-400's questionable sentences: how many of a document's sentences break which of its rules.

Kudugunta et al. 2023 (MADLAD-400), section 2.3, call a sentence questionable that breaks one of five rules, and drop a
document with fewer than five sentences or with more than a fifth of them questionable:

    1  document consistency   its language is not the document's               (not here: it takes a model a sentence)
    2  list case              more than half of 12 tokens or more begin with a capital letter
    3  abnormal lengths       fewer than 20 characters, or more than 500
    4  technical characters   more than a fifth of its characters are among 0-9 { } + / ( ) >
    5  cursed                 it holds a string or pattern of the paper's list

The paper leaves open what a sentence is. As in allenai/datamap-rs, which Dolma 3 was filtered with, one ends at marks
. ! ? before white space, and the marks are not part of it; here also at the full-width marks. Tokens are what stands
between white space. All patterns of the list are taken for regular expressions, as in the paper's own code.

Cost: 40 MB/s of CPU time a core (regular expressions of Arrow, whose white space is that of ASCII). Memory: the
batch's text, twice.
"""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.measures.columns import Column

SENTENCE_END = r"[.!?]+\s+|[。！？]+\s*"
FEWEST_TOKENS, SHORTEST, LONGEST = 12, 20, 500
MOST_CAPITALS, MOST_TECHNICAL = 0.5, 0.2
CAPITAL, TOKEN, TECHNICAL = r"(?:^|\s)\p{Lu}", r"\S+", r"[0-9{}+/()>]"

CURSED = "|".join(
    (
        " №",
        "\ufffd\ufffd\ufffd",
        r"\|\s*$",
        r" nr\.$",
        "aute irure dolor ",
        " sunt in culpa qui ",
        "orem ipsum ",
        " quis nostrud ",
        " adipisicing ",
        " dolore eu ",
        " cupidatat ",
        "autem vel eum",
        "wisi enim ad",
        " sex ",
        " porn ",
        "黄色电影",
        "mp3",
        "ownload",
        r"Vol\.",
        r" Ep\.",
        "Episode",
        r" г\.\s*$",
        r" кг\.\s*$",
        r" шт\.",
        "Develop",
        "Facebook",
        " crusher ",
        " xxx ",
        r"(?: \.\.\.){9}",
        r"(?: \.\.\.\.){9}",
        "(?: [^ ]){9}",
        ", ..,,? ..,,? ..,,? ..,,?",
    )
)
"""Kudugunta et al. 2023, appendix on cursed regexes; three replacement characters stand for bytes that were no text."""


class MadladSentences:
    """Measures the sentences of documents; needs no settings."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("madlad_sentence_count", "sentences", "sentences: . ! ? before white space end them", whole=True),
        Column("madlad_list_case_fraction", "share", "sentences most of whose 12 tokens or more begin with a capital"),
        Column("madlad_abnormal_length_fraction", "share", "sentences of fewer than 20 or more than 500 characters"),
        Column("madlad_technical_fraction", "share", "sentences of which a fifth is 0-9 { } + / ( ) >"),
        Column("madlad_cursed_fraction", "share", "sentences that hold a string or pattern of MADLAD-400's list"),
        Column("madlad_questionable_fraction", "share", "sentences of which any of these four is true"),
        Column("madlad_list_case_or_cursed_fraction", "share", "sentences of list case, or cursed"),
    )

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.COLUMNS

    def measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row a document of `batch`, of which `text` is looked at."""
        pieces = pc.split_pattern_regex(batch.column("text").cast(pa.large_string()), SENTENCE_END)
        documents = pc.list_parent_indices(pieces).to_numpy(zero_copy_only=False)
        sentences = pc.utf8_trim_whitespace(pieces.flatten())
        there = pc.not_equal(sentences, "")
        sentences, documents = sentences.filter(there), documents[there.to_numpy(zero_copy_only=False)]
        counts = np.bincount(documents, minlength=batch.num_rows)
        broken = _broken(sentences)
        list_case, _, _, cursed = broken
        flags = (*broken, np.any(broken, axis=0), list_case | cursed)
        shares = [_share(documents[flag], counts) for flag in flags]
        return pa.RecordBatch.from_arrays(
            [pa.array(counts, pa.int64()), *map(pa.array, shares)], names=[column.name for column in self.COLUMNS]
        )


def _broken(sentences: pa.Array) -> tuple[np.ndarray, ...]:
    """Which of S sentences break rules 2, 3, 4 and 5: four bool arrays of shape (S,)."""

    def numbers(values: pa.Array) -> np.ndarray:
        return values.to_numpy(zero_copy_only=False)

    lengths = numbers(pc.utf8_length(sentences))
    tokens = numbers(pc.count_substring_regex(sentences, TOKEN))
    capitals = numbers(pc.count_substring_regex(sentences, CAPITAL))
    technical = numbers(pc.count_substring_regex(sentences, TECHNICAL))
    return (
        (tokens >= FEWEST_TOKENS) & (capitals > MOST_CAPITALS * tokens),
        (lengths < SHORTEST) | (lengths > LONGEST),
        technical > MOST_TECHNICAL * lengths,
        numbers(pc.match_substring_regex(sentences, CURSED)),
    )


def _share(documents: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How often each document is among `documents`, out of its count."""
    times = np.bincount(documents, minlength=len(counts))
    return np.divide(times, counts, out=np.zeros(len(counts)), where=counts != 0)
