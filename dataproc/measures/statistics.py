"""Every number that a filter rule may look at, measured once: one row a document, one column a statistic.

`measure` scans each document in numba kernels (`dataproc.text.scan`, then `dataproc.text.repetition` on the keys found)
and divides the counts in numpy. Rules are comparisons over these columns (`dataproc.rules`), so thresholds can be
changed later without reading text. A row depends on its own text and language only, never on its neighbours or the
batch.

Whatever is a share of nothing is 0: a document without words has a mean word length of 0, an empty one is 0 throughout.

Where the tools differ, a statistic says in its name whose meaning it has (sources: `dataproc.text.repetition`):

    …_dclm        every copy counts, the first one, too; divided by the characters of the units alone (lines, words)
    …_datatrove   the first copy is free; divided by all characters of the text
    …_fineweb     the first copy is free; divided by all characters but newlines
    …_dolma       characters of all repeated n-grams, as often as they overlap; divided by those of all n-grams
    …_curator     NeMo Curator's sets of characters

The meaning is theirs, the units are ours: lines are compared without white space at their ends, a paragraph ends at
any blank line, and a word is a run of letters, marks and numbers, so that punctuation is not a word. Case matters, but
for stop words and "lorem ipsum". datatrove takes punctuation for words, so its ratios and its n-grams are over tokens:
words, and runs of the same mark (`token_count`). Tools that split at white space have `stretch_count`.

Han and kana characters are words by themselves. Thai, Lao, Khmer and Burmese are cut only at spaces and signs, so a
word there is a phrase. Statistics of words therefore scale with the script: `estimated_word_count` takes 1.7 Han or
kana characters, or 4.5 of those others, for one word (`dataproc.text.scan`); ratios to words are to these,
`mean_word_length` leaves such words out, and `unspaced_fraction` says how much of the text they are. For scripts with
spaces all of this is the plain number of words.

Stop words are those of the document's language (`dataproc.measures.stop_words`); where that has no list, their counts
are -1.

Cost: 145 MB/s of CPU time on one core for English novels and reviews, 90 for English documentation in Markdown, 80 for
code, 70 for Chinese and Japanese; two thirds of it is n-grams, the more the more repeats. Memory beside the batch: 29
bytes a byte of the batch's longest document, of which only those for existing units are touched; 70 to 200 for
each of its tokens; and a copy of the batch's last document.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import Texts, read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.measures.statistic_columns import SCHEMA, STATISTICS, TOKEN_NGRAMS, Statistic
from corpusmill.dataproc.text.bitmaps import make_bitmaps
from corpusmill.dataproc.text.bits import BLOCK
from corpusmill.dataproc.text.counts import Count
from corpusmill.dataproc.text.repetition import count_repetition, make_scratch
from corpusmill.dataproc.text.scan import scan
from corpusmill.dataproc.text.stop_tables import lists_numbered, load_stop_tables
from corpusmill.dataproc.text.unicode_tables import load_tables
from corpusmill.dataproc.text.units import make_units

SLACK = BLOCK
"""Bytes that have to lie behind a document in its buffer."""

FIRST_ROOM = 4096
"""Tokens of a document that scratch is made for at first; a larger document has it made again."""

__all__ = ["SCHEMA", "STATISTICS", "TOKEN_NGRAMS", "Statistic", "measure"]


def measure(
    texts: Texts, languages: "pa.Array | Sequence[str | None] | None" = None, *, token_ngrams: bool = True
) -> pa.RecordBatch:
    """Measures documents: one row each, in order, with the columns of `SCHEMA`.

    Args:
        texts: string or large_string of shape (N,), without nulls, or any iterable of str. Invalid UTF-8 is measured
            as if each bad byte were U+FFFD, but two different bad bytes are two different characters.
        languages: strings or nulls of shape (N,): whose stop words to look for, see `dataproc.measures.stop_words`.
            Without them all documents count as English.
        token_ngrams: whether to measure `TOKEN_NGRAMS`; without them these columns are left out, and the rest takes two
            thirds of the time.

    Raises UserError if the texts are not strings, ValueError if one is null or the number of languages differs.
    """
    offsets, data = text_buffers(texts)
    documents = len(offsets) - 1
    if languages is not None and not isinstance(languages, pa.Array | pa.ChunkedArray):
        languages = pa.array(languages, pa.string())
    if languages is not None and len(languages) != documents:
        raise ValueError(f"{len(languages)} languages of {documents} texts")
    counts = np.zeros((documents, len(Count)), np.int64)
    numbers = np.zeros(documents, np.int64) if languages is None else lists_numbered(languages)
    # Kernels read 64 bytes at a time, so the documents at the very end of the buffer are measured in a copy of them.
    split = int(np.searchsorted(offsets[1:], len(data) - SLACK, side="right"))
    _count_all(data, offsets[: split + 1], numbers[:split], counts[:split], token_ngrams)
    if split < documents:
        first = int(offsets[split])
        tail = np.zeros(int(offsets[-1]) - first + SLACK, np.uint8)
        tail[:-SLACK] = data[first : int(offsets[-1])]
        _count_all(tail, offsets[split:] - first, numbers[split:], counts[split:], token_ngrams)
    wanted = [statistic for statistic in STATISTICS.values() if token_ngrams or statistic.name not in TOKEN_NGRAMS]
    schema = pa.schema([SCHEMA.field(statistic.name) for statistic in wanted])
    return pa.RecordBatch.from_arrays([_column(statistic, counts) for statistic in wanted], schema=schema)


def _count_all(
    data: np.ndarray, offsets: np.ndarray, languages: np.ndarray, counts: np.ndarray, token_ngrams: bool
) -> None:
    if len(counts):
        tables, stop_tables = load_tables(), load_stop_tables()
        longest = int(np.diff(offsets).max())
        _count_documents(
            read_only(data, np.uint8),
            read_only(offsets, np.int64),
            read_only(languages, np.int64),
            tables.classes,
            tables.lower,
            stop_tables.keys,
            stop_tables.multipliers,
            longest,
            token_ngrams,
            counts,
        )


def _column(statistic: Statistic, counts: np.ndarray) -> pa.Array:
    total = counts[:, list(statistic.parts)].sum(axis=1)
    if statistic.whole is None:
        return pa.array(total)
    whole = statistic.times * counts[:, statistic.whole]
    return pa.array(np.divide(total, whole, out=np.zeros(len(total)), where=whole != 0))


@kernel
def _count_documents(data, offsets, languages, classes, lower, stop_keys, multipliers, longest, token_ngrams, counts):
    """Fills counts[document] for each document data[offsets[document] : offsets[document + 1]]."""
    bitmaps = make_bitmaps(longest)
    units = make_units(longest)
    room = np.int64(FIRST_ROOM)
    scratch = make_scratch(room)
    for document in range(counts.shape[0]):
        start, stop, language = offsets[document], offsets[document + 1], languages[document]
        row = counts[document]
        scan(data, start, stop, classes, lower, stop_keys[language], multipliers[language], bitmaps, units, row)
        needed = max(row[Count.TOKENS], row[Count.TEXT_LINES])
        if needed > room:
            room = 2 * needed
            scratch = make_scratch(room)
        count_repetition(data, start, stop, bitmaps, units, scratch, token_ngrams, row)
