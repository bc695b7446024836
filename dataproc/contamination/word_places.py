"""Where words stand in a text, and whether two stretches of words are the same: what a hash alone cannot tell.

Words are those of `dataproc.text.words.word_hashes`, one for one; here their first and last bytes are wanted, which
costs a decoding of every character (250 MB/s) and is done only for documents in which something was found.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.unicode_tables import MARK, UNSPACED
from corpusmill.dataproc.text.words import WORD


@kernel
def word_places(data, start, stop, classes, starts, stops):
    """Writes first byte and byte after the last of each word of data[start:stop]; returns how many there are.

    Args:
        data: UTF-8 bytes, uint8.
        start, stop: the text's bytes, int64.
        classes: of `unicode_tables.load_tables()`.
        starts, stops: int64 with room for (stop - start + 1) // 2 entries; places in `data`.
    """
    count = np.int64(0)
    in_word = False
    alone = False
    position = start
    while position < stop:
        code, length = decode(data, position, stop)
        flags = classes[code]
        if in_word and (flags & WORD == 0 or (flags & MARK == 0 and (alone or flags & UNSPACED != 0))):
            stops[count] = position
            count += 1
            in_word = False
        if flags & WORD != 0 and not in_word:
            in_word = True
            alone = flags & UNSPACED != 0
            starts[count] = position
        position += length
    if in_word:
        stops[count] = stop
        count += 1
    return count


@kernel
def same_words(data, starts, stops, word, other_data, other_starts, other_stops, other_word, length, lower):
    """Whether `length` words from `word` on are, in lower case, those of another text from `other_word` on."""
    for step in range(length):
        place, stop = np.int64(starts[word + step]), np.int64(stops[word + step])
        other, other_stop = np.int64(other_starts[other_word + step]), np.int64(other_stops[other_word + step])
        while place < stop and other < other_stop:
            code, size = decode(data, place, stop)
            other_code, other_size = decode(other_data, other, other_stop)
            if lower[code] != lower[other_code]:
                return False
            place += size
            other += other_size
        if place < stop or other < other_stop:
            return False
    return True


@kernel
def characters_before(offsets, data, rows, points, before):
    """How many characters of its text stand before each point; `rows` rise, `points` count bytes from a text's start.

    Args:
        offsets, data: N texts (`documents.text_buffers`).
        rows, points: int64 of shape (P,).
        before: int64 of shape (P,), filled.
    """
    most = np.int64(0)
    for point in range(rows.shape[0]):
        most = max(most, offsets[rows[point] + 1] - offsets[rows[point]])
    counted = np.empty(most + 1, np.int64)
    open_row = np.int64(-1)
    for point in range(rows.shape[0]):
        row = rows[point]
        if row != open_row:
            open_row = row
            characters = np.int64(0)
            for byte in range(offsets[row], offsets[row + 1]):
                counted[byte - offsets[row]] = characters
                characters += data[byte] & 0xC0 != 0x80
            counted[offsets[row + 1] - offsets[row]] = characters
        before[point] = counted[points[point]]
