"""One document, scanned: its characters, words, stretches, lines, paragraphs and sentences, counted and keyed.

The text is read once into bitmaps (`dataproc.text.bitmaps`), and each kind of unit is then found from these
(`units`, `lines`, `marks` beside this module define them). A document is small beside the processor's cache, so several
walks that each do one thing are faster than one that has to think of all at every character.

The scan writes plain counts into one row of an int64 matrix, and 64-bit keys and sizes of words, text lines and
paragraphs into scratch arrays, from which `dataproc.text.repetition` finds what repeats. Two different lines (or words)
of a document share a key with probability 2^-64.

Cost: 2 ns a byte of English prose.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_step
from corpusmill.dataproc.text.bitmaps import classify
from corpusmill.dataproc.text.counts import Count
from corpusmill.dataproc.text.lines import count_lines
from corpusmill.dataproc.text.marks import CLOSERS, count_marks
from corpusmill.dataproc.text.units import count_stretches, count_words

__all__ = ["CLOSERS", "scan"]

ALONE_PER_10_WORDS = 17
OTHERS_PER_2_WORDS = 9
"""Characters of scripts without spaces that are taken as a word: 1.7 of Han and kana, 4.5 of Thai and its like."""


@kernel_step
def scan(data, start, stop, classes, lower, stop_words, multiplier, bitmaps, units, row):
    """Counts data[start:stop] into `row` (int64, by `Count`; all but what repeats) and fills `units`.

    How many words, text lines and paragraphs are in `units` is in `row`, too. `data` has 64 bytes or more behind
    `stop`, which may be anything and are not measured.
    """
    classify(data, start, stop, classes, lower, bitmaps, row)
    count_words(data, start, stop, bitmaps, lower, stop_words, multiplier, units, row)
    count_stretches(data, start, stop, bitmaps, units, row)
    count_lines(data, start, stop, bitmaps, units, row)
    count_marks(data, start, stop, classes, bitmaps, row)
    unspaced, alone = row[Count.UNSPACED_CHARACTERS], row[Count.ALONE_CHARACTERS]
    row[Count.SPACED_WORDS_OR_UNSPACED_CHARACTERS] = row[Count.SPACED_WORDS] + unspaced
    estimated = (10 * alone + ALONE_PER_10_WORDS // 2) // ALONE_PER_10_WORDS
    estimated += (2 * (unspaced - alone) + OTHERS_PER_2_WORDS // 2) // OTHERS_PER_2_WORDS
    row[Count.ESTIMATED_WORDS] = row[Count.SPACED_WORDS] + estimated
    row[Count.TOKENS] = row[Count.WORDS] + row[Count.MARK_RUNS]
    row[Count.DOCUMENTS] = np.int64(1)
