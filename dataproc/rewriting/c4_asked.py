"""Of which texts C4's line rules are asked: those whose sentences end in . ? or !, as C4's English ones do.

mC4 left these rules out because not every language has such marks (Xue et al. 2021, section 3.1). Here each text says
so itself, since a crawl names no languages and a script does not decide (Urdu ends sentences in ۔, Arabic in a dot;
Hindi in ।, Marathi in a dot). The rules are not asked of a text that has more sentence marks of its own script than
dots, question and exclamation marks before white space, nor of one that is mostly in a script without spaces between
words: of these Thai and Lao have no mark at all. A text without any letter counts as one that they are asked of.

Cost: a look at each byte, and a decoding up to the 64th mark where any is past U+0580; not measured.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_in_place
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.unicode_tables import LETTER, SPACE, TERMINAL, UNSPACED

ENOUGH_MARKS, ENOUGH_LETTERS = 64, 1 << 14
_FIRST_LEAD = 0xD6
"""The first byte of U+0580 and on, among which all marks and scripts are that matter here."""

_ENDS = np.array([ord(mark) for mark in ".?!"], np.int64)


@kernel_in_place
def find_asked(offsets, data, classes, asked):
    """Fills `asked`, uint8 (N,): 1 for texts that C4's line rules are for.

    Args:
        offsets, data: the texts, as from `buffers.text_buffers`.
        classes: of `unicode_tables.load_tables()`.
    """
    for row in range(offsets.shape[0] - 1):
        position, stop = offsets[row], offsets[row + 1]
        high = np.uint8(0)
        for place in range(position, stop):
            high = max(high, data[np.uint64(place)])
        asked[row] = 1
        if high < _FIRST_LEAD:
            continue
        plain = others = letters = unspaced = np.int64(0)
        waiting = False  # the character before is one of . ? !
        while position < stop and plain + others < ENOUGH_MARKS and letters < ENOUGH_LETTERS:
            code, length = decode(data, position, stop)
            position += length
            flags = classes[code]
            plain += np.int64(waiting and flags & SPACE != 0)
            waiting = code == _ENDS[0] or code == _ENDS[1] or code == _ENDS[2]
            others += np.int64(code >= 128 and flags & TERMINAL != 0)
            letters += np.int64(flags & LETTER != 0)
            unspaced += np.int64(flags & LETTER != 0 and flags & UNSPACED != 0)
        plain += np.int64(waiting)
        asked[row] = np.uint8(others <= plain and 2 * unspaced <= letters)
