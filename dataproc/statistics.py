"""Every number that a filter rule may look at, measured once: one row a document, one column a statistic.

`measure` walks each document once in a numba kernel (`dataproc.text.scan`, then `dataproc.text.repetition` on the keys
found) and divides the counts in numpy. Rules are comparisons over these columns (`dataproc.rules`), so thresholds can
be changed later without reading text. A row depends on its own text only, never on its neighbours or the batch.

Whatever is a share of nothing is 0: a document without words has a mean word length of 0, an empty one is 0 throughout.

Where the tools differ, a statistic says in its name whose meaning it has (sources: `dataproc.text.repetition`):

    …_dclm        every copy counts, the first one, too; divided by the characters of the units alone (lines, words)
    …_datatrove   the first copy is free; divided by all characters of the text
    …_fineweb     the first copy is free; divided by all characters but newlines

The meaning is theirs, the units are ours: lines are compared without white space at their ends, a paragraph ends at
any blank line, and a word is a run of letters, marks and numbers, so that punctuation is no word. Case matters, but for
stop words and "lorem ipsum". Han and kana characters are words by themselves. Thai, Lao, Khmer and Burmese are cut
only at spaces and signs, so a word there is a phrase. `mean_word_length` leaves out the words of all these scripts,
and `unspaced_fraction` tells how much of the text they are: one such character weighs as much as one word.

Cost: 40 to 60 MB/s of CPU time on one core (prose, docs, code), half that for documents whose words outgrow its
cache. Memory beside the batch: 60 bytes a byte of the batch's longest document are set aside, of which only those for
units that are there are touched: about 15 in prose.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa

from dataproc.documents import text_buffers
from dataproc.text.counts import Count
from dataproc.text.repetition import (
    LARGEST_NGRAM,
    LARGEST_TOP,
    SMALLEST_COVERED,
    count_ngrams,
    count_repeated,
    make_scratch,
)
from dataproc.text.scan import make_units, scan
from dataproc.text.unicode_tables import load_tables


@dataclass(frozen=True)
class Statistic:
    """One column: the sum of the counts `parts`, divided by the count `whole` where there is one.

    `unit` is what is counted, "share" for a number from 0 to 1, or "… per …". The type is int64, or float64 if divided.
    """

    name: str
    unit: str
    description: str
    parts: tuple[Count, ...]
    whole: Count | None = None


def _count(name: str, part: Count, unit: str, description: str) -> Statistic:
    return Statistic(name, unit, description, (part,))


def _share(name: str, parts: Count | tuple[Count, ...], whole: Count, description: str) -> Statistic:
    return Statistic(name, "share", description, parts if isinstance(parts, tuple) else (parts,), whole)


def _rate(name: str, part: Count, whole: Count, unit: str, description: str) -> Statistic:
    return Statistic(name, unit, description, (part,), whole)


def _named(name: str) -> Count:
    return Count[name]


_C = Count

_SIZES = (
    _count("byte_count", _C.BYTES, "bytes", "UTF-8 bytes"),
    _count("character_count", _C.CHARACTERS, "characters", "code points"),
    _count("word_count", _C.WORDS, "words", "runs of letters, marks and numbers; single Han and kana characters"),
    _count("line_count", _C.LINES, "lines", "all lines; a newline at the end begins no new one"),
    _count("text_line_count", _C.TEXT_LINES, "lines", "lines that hold more than white space"),
    _count("paragraph_count", _C.PARAGRAPHS, "paragraphs", "runs of text lines without a blank line between"),
    _count(
        "sentence_count", _C.SENTENCES, "sentences", "sentence ends: . ! ? and their like before white space; 。 always"
    ),
    _count("longest_word", _C.LONGEST_WORD, "characters", "length of the longest word"),
    _count("longest_stretch", _C.LONGEST_STRETCH, "characters", "length of the longest run without white space"),
    _count("longest_line", _C.LONGEST_LINE, "characters", "length of the longest line"),
)
_WORDS = (
    _rate(
        "mean_word_length",
        _C.SPACED_WORD_CHARACTERS,
        _C.SPACED_WORDS,
        "characters per word",
        "mean length of words; those of scripts written without spaces left out",
    ),
    _share(
        "unspaced_fraction",
        _C.UNSPACED_CHARACTERS,
        _C.SPACED_WORDS_OR_UNSPACED_CHARACTERS,
        "letters of scripts written without spaces, out of these and the words of other scripts",
    ),
    _rate("hash_word_ratio", _C.HASH_MARKS, _C.WORDS, "# per word", "hash marks"),
    _rate("ellipsis_word_ratio", _C.ELLIPSES, _C.WORDS, "ellipses per word", "… and ... (three dots)"),
    _rate("newline_word_ratio", _C.NEWLINES, _C.WORDS, "newlines per word", "newlines, of blank lines, too"),
    _share(
        "alphabetic_stretch_fraction",
        _C.ALPHABETIC_STRETCHES,
        _C.STRETCHES,
        "runs without white space that hold at least one letter",
    ),
    _count("stop_word_count", _C.STOP_WORDS, "words", "occurrences of Gopher's eight English stop words"),
    _count("distinct_stop_word_count", _C.DISTINCT_STOP_WORDS, "words", "how many of the eight stop words occur"),
    _count("lorem_ipsum_count", _C.LOREM_IPSUMS, "occurrences", "the word 'lorem' followed by the word 'ipsum'"),
    _count("curly_bracket_count", _C.CURLY_BRACKETS, "characters", "opening curly brackets"),
    _count("xml_header_count", _C.XML_HEADERS, "occurrences", "1 if '<?xml version=' is in the first 100 characters"),
)
_LINES = (
    _rate("mean_line_length", _C.LINE_CHARACTERS, _C.LINES, "characters per line", "mean length of all lines"),
    _share("bullet_line_fraction", _C.BULLET_LINES, _C.TEXT_LINES, "text lines that begin with a bullet, - or *"),
    _share("ellipsis_line_fraction", _C.ELLIPSIS_LINES, _C.TEXT_LINES, "text lines that end with … or ..."),
    _share(
        "terminal_line_fraction", _C.TERMINAL_LINES, _C.TEXT_LINES, "text lines whose last character ends a sentence"
    ),
    _share("short_line_fraction", _C.SHORT_LINES, _C.TEXT_LINES, "text lines of at most 30 characters"),
)
_CHARACTERS = (
    _share("alphabetic_fraction", _C.LETTERS, _C.CHARACTERS, "characters that are letters"),
    _share("alphanumeric_fraction", (_C.LETTERS, _C.NUMBERS), _C.CHARACTERS, "characters that are letters or numbers"),
    _share("number_fraction", _C.NUMBERS, _C.CHARACTERS, "characters that are numbers"),
    _share("white_space_fraction", _C.SPACES, _C.CHARACTERS, "characters that are white space"),
    _share("punctuation_fraction", _C.PUNCTUATIONS, _C.CHARACTERS, "characters that are punctuation or symbols"),
)


def _repetition() -> Iterator[Statistic]:
    every, later = "that occur more than once", "that occurred before"
    for unit, whole, characters in (
        ("line", _C.TEXT_LINES, _C.TEXT_LINE_CHARACTERS),
        ("paragraph", _C.PARAGRAPHS, _C.PARAGRAPH_CHARACTERS),
    ):
        kind, name = unit.upper(), f"duplicate_{unit}_fraction"
        yield _share(f"{name}_dclm", _named(f"REPEATED_{kind}S"), whole, f"{unit}s {every}")
        yield _share(f"{name}_datatrove", _named(f"LATER_{kind}S"), whole, f"{unit}s {later}")
        part, name = _named(f"LATER_{kind}_CHARACTERS"), f"duplicate_{unit}_character_fraction"
        yield _share(
            f"{name}_dclm", _named(f"REPEATED_{kind}_CHARACTERS"), characters, f"characters of {unit}s {every}"
        )
        yield _share(f"{name}_datatrove", part, _C.CHARACTERS, f"all copies but the first of {unit}s, out of the text")
        if unit == "line":
            yield _share(f"{name}_fineweb", part, _C.INLINE_CHARACTERS, "the same, out of the text without newlines")
    for n in range(2, LARGEST_TOP + 1):
        name, words = f"top_{n}gram_character_fraction", f"the most frequent {n} words in a row"
        yield _share(
            f"{name}_dclm", _named(f"TOP_{n}"), _C.WORD_CHARACTERS, f"{words}, if they occur twice; ties to the longest"
        )
        yield _share(
            f"{name}_datatrove", _named(f"JOINED_TOP_{n}"), _C.CHARACTERS, f"{words} and spaces; ties to the first"
        )
    for n in range(SMALLEST_COVERED, LARGEST_NGRAM + 1):
        name = f"duplicate_{n}gram_character_fraction"
        yield _share(f"{name}_dclm", _named(f"COVERED_{n}"), _C.WORD_CHARACTERS, f"words in {n}-grams {every}")
        yield _share(
            f"{name}_datatrove", _named(f"GREEDY_{n}"), _C.CHARACTERS, f"{n}-grams {later}, met from left to right"
        )


STATISTICS: dict[str, Statistic] = {
    statistic.name: statistic for statistic in (*_SIZES, *_WORDS, *_LINES, *_CHARACTERS, *_repetition())
}
"""Every statistic by name, in the order of the columns."""

SCHEMA = pa.schema(
    [
        pa.field(statistic.name, pa.int64() if statistic.whole is None else pa.float64(), nullable=False)
        for statistic in STATISTICS.values()
    ]
)


def measure(texts: pa.Array) -> pa.RecordBatch:
    """Measures documents: one row each, in order, with the columns of `SCHEMA`.

    Args:
        texts: string or large_string, without nulls. Invalid UTF-8 is measured as if each bad byte were U+FFFD.
    """
    offsets, data = text_buffers(texts)
    counts = np.zeros((len(offsets) - 1, len(Count)), np.int64)
    # Arrow's buffers are read-only or not as they came to be; one kind of argument means one compiled kernel.
    offsets, data = offsets.view(), data.view()
    offsets.flags.writeable = data.flags.writeable = False
    _count_documents(data, offsets, load_tables().classes, counts)
    return pa.RecordBatch.from_arrays([_column(statistic, counts) for statistic in STATISTICS.values()], schema=SCHEMA)


def _column(statistic: Statistic, counts: np.ndarray) -> pa.Array:
    total = counts[:, list(statistic.parts)].sum(axis=1)
    if statistic.whole is None:
        return pa.array(total)
    whole = counts[:, statistic.whole]
    return pa.array(np.divide(total, whole, out=np.zeros(len(total)), where=whole != 0))


@numba.njit(cache=True, nogil=True)
def _count_documents(data, offsets, classes, counts):
    """Fills counts[document] for each document data[offsets[document] : offsets[document + 1]]."""
    longest = np.int64(0)
    for document in range(counts.shape[0]):
        longest = max(longest, offsets[document + 1] - offsets[document])
    units = make_units(longest)
    scratch = make_scratch(longest // 2 + 2)
    for document in range(counts.shape[0]):
        row = counts[document]
        scan(data, offsets[document], offsets[document + 1], classes, units, row)
        lines, paragraphs, words = row[Count.TEXT_LINES], row[Count.PARAGRAPHS], row[Count.WORDS]
        count_repeated(units.line_keys, units.line_sizes, lines, scratch, row, np.int64(Count.REPEATED_LINES))
        count_repeated(
            units.paragraph_keys, units.paragraph_sizes, paragraphs, scratch, row, np.int64(Count.REPEATED_PARAGRAPHS)
        )
        count_ngrams(units.word_keys, units.word_ends, words, scratch, row)
