"""Finding words and phrases of lists in texts: one walk over each text, which looks beginnings up as it goes.

From the start of each word of a text the walk goes on as long as what it has read is the beginning of an entry
(`dataproc.lists.phrase_table`); most words end it at their second or third letter. So entries of any length and number
cost the same.

What counts as found:

- Whole words: a letter of a script with spaces may not stand before or after an entry that begins or ends with one.
  Characters of scripts written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) need no boundary, so there an
  entry is found anywhere; but no combining mark may follow it, since that would be another syllable.
- Between two words of an entry the text may have any white space and signs, but no end of a sentence: not a full stop
  with white space beside it, nor 。 and its like.
- The longest entry that begins at a place is taken, and the walk goes on behind it: no character counts twice.

`joined` tables are for texts such as URLs: entries and texts are taken without anything between words, and entries are
found anywhere, so "foobar" and "foo bar" are in "my-foo-bars.example".

Cost: 240 MB/s a core with 440 entries, 180 MB/s with 5,440; 400 MB/s for a joined table. Memory: 8 bytes an entry,
besides the table.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.lists.phrase_table import NONE, SEPARATOR, PhraseTable, advance, filter_place, look_up
from corpusmill.dataproc.text.unicode_tables import MARK, SPACE, TERMINAL, UNSPACED, load_tables
from corpusmill.dataproc.text.words import WORD

FOUND, DISTINCT, FOUND_WORDS, WORDS = range(4)
"""Columns of counts: entries found, different ones, the words that they have, and all words of the text.

One character of a script without spaces weighs as much as one word, as in `dataproc.measures.statistics`. A joined
table counts no words.
"""

_ASCII = np.array([ord(chr(code).lower()) if chr(code).isalnum() else 0 for code in range(128)], np.uint8)
"""The lower case of each ASCII character of a word, 0 for one that separates words."""


def count_phrases(texts: pa.Array, lists: np.ndarray, table: PhraseTable) -> np.ndarray:
    """Counts, int64 of shape (N, 4) (`FOUND` …), of N texts; `lists` int64[N] is the list of each, or -1 for none."""
    offsets, data = text_buffers(texts)
    return count_in_buffers(data, offsets, lists, table)


def count_in_buffers(data: np.ndarray, offsets: np.ndarray, lists: np.ndarray, table: PhraseTable) -> np.ndarray:
    """`count_phrases` of the texts data[offsets[i] : offsets[i + 1]], uint8 and int64 as `read_only` gives them."""
    counts = np.zeros((len(offsets) - 1, 4), np.int64)
    tables = load_tables()
    _count(data, offsets, read_only(lists, np.int64), tables.classes, tables.lower, table, counts)
    return counts


@kernel_step
def _behind_separators(data, position, stop, classes):
    """(where the run of separators at `position` ends, whether a sentence ends in it)."""
    terminal = wide = space = False
    while position < stop:
        code, length = decode(data, position, stop)
        flags = classes[code]
        if flags & WORD:
            break
        space = space or flags & SPACE != 0
        terminal = terminal or flags & TERMINAL != 0
        wide = wide or (flags & TERMINAL != 0 and code >= 128)
        position += length
    return position, wide or (terminal and space)


@kernel_step
def _is_open(data, position, stop, classes, spaced):
    """Whether a word goes on at `position`, behind a character that is `spaced` or not."""
    if position >= stop:
        return False
    code, _ = decode(data, position, stop)
    flags = classes[code]
    if flags & MARK:
        return True
    return spaced and flags & WORD != 0 and flags & UNSPACED == 0


@kernel_step
def _longest(data, position, stop, classes, lower, seed, joined, keys, entries):
    """(number of the longest entry that begins at `position`, where it ends), or (-1, position)."""
    state = seed
    at = position
    best, best_end = np.int64(NONE), position
    while at < stop:
        code, length = decode(data, at, stop)
        flags = classes[code]
        if flags & WORD == 0:
            at, ended = _behind_separators(data, at, stop, classes)
            if joined:
                continue
            state = advance(state, np.int64(SEPARATOR))
            if ended or at >= stop or look_up(keys, entries, state) == NONE:
                break
            continue
        state = advance(state, np.int64(lower[code]))
        at += length
        known = look_up(keys, entries, state)
        if known == NONE:
            break
        if known > 0 and (joined or not _is_open(data, at, stop, classes, flags & UNSPACED == 0)):
            best, best_end = known - 1, at
    return best, best_end


@kernel_step
def _symbol(data, position, stop, classes, lower):
    """(a character of a word at `position`, or `SEPARATOR`, or `NONE` at the end; where the next one begins)."""
    if position >= stop:
        return np.int64(NONE), position
    byte = data[np.uint64(position)]
    if byte < 128:
        return np.int64(_ASCII[byte]) if _ASCII[byte] else np.int64(SEPARATOR), position + 1
    code, length = decode(data, position, stop)
    return np.int64(lower[code]) if classes[code] & WORD else np.int64(SEPARATOR), position + length


@kernel_step
def _may_begin(data, position, stop, classes, lower, seed, first, shortest, pairs, triples):
    """Whether an entry may begin with `first` and what stands behind it, at `position`."""
    second, position = _symbol(data, position, stop, classes, lower)
    if pairs[filter_place(pairs, seed, first, second, np.int64(NONE))]:
        if second == SEPARATOR:
            return True
        third, _ = _symbol(data, position, stop, classes, lower)
        if triples[filter_place(triples, seed, first, second, third)]:
            return True
        if shortest <= 2 and triples[filter_place(triples, seed, first, second, np.int64(NONE))]:
            return True
    return shortest == 1 and pairs[filter_place(pairs, seed, first, np.int64(NONE), np.int64(NONE))]


@kernel_step
def _count_text(
    data, position, stop, classes, lower, seed, shortest, keys, entries, pairs, triples, weights, seen, text
):
    """(entries found, different ones, words in them, all words) of data[position:stop].

    `seen` int64[E] is the last text that each entry was found in.
    """
    matches = distinct = matched_words = words = np.int64(0)
    # Whether the character before is of a word, and of a word of a script with spaces.
    in_word = open_word = False
    while position < stop:
        byte = data[np.uint64(position)]
        if byte < 128:
            first, length = np.int64(_ASCII[byte]), np.int64(1)
            if first == 0:
                in_word = open_word = False
                position += 1
                continue
            spaced = True
            starts = True
            if open_word:
                position += 1
                while position < stop and data[position] < 128 and _ASCII[data[position]]:
                    position += 1
                continue
        else:
            code, length = decode(data, position, stop)
            flags = classes[code]
            if flags & WORD == 0:
                in_word = open_word = False
                position += length
                continue
            first = np.int64(lower[code])
            spaced = flags & UNSPACED == 0
            starts = not (spaced and (open_word or (in_word and flags & MARK)))
        in_word = True
        words += 1 if starts else 0
        behind = position + length
        if starts and _may_begin(data, behind, stop, classes, lower, seed, first, shortest, pairs, triples):
            entry, end = _longest(data, position, stop, classes, lower, seed, False, keys, entries)
            if entry >= 0:
                matches += 1
                matched_words += weights[entry]
                words += weights[entry] - 1
                if seen[entry] != text:
                    seen[entry] = text
                    distinct += 1
                position = end
                open_word = False
                continue
        open_word = spaced
        position = behind
    return matches, distinct, matched_words, words


@kernel_step
def _count_joined(data, position, stop, classes, lower, seed, shortest, keys, entries, pairs, triples, seen, text):
    """(entries found, different ones) of data[position:stop], taken without anything between words.

    A window of the last three characters, or of as many as the shortest entry has, says where an entry may begin.
    """
    matches = distinct = np.int64(0)
    first = second = np.int64(NONE)
    first_at = second_at = np.int64(NONE)
    while position < stop:
        byte = data[np.uint64(position)]
        if byte < 128:
            code, length = np.int64(_ASCII[byte]), np.int64(1)
            if code == 0:
                position += 1
                continue
        else:
            code, length = decode(data, position, stop)
            if classes[code] & WORD == 0:
                position += length
                continue
            code = np.int64(lower[code])
        if shortest >= 3:
            start = first_at
            may_begin = start >= 0 and triples[filter_place(triples, seed, first, second, code)]
        elif shortest == 2:
            start = second_at
            may_begin = start >= 0 and pairs[filter_place(pairs, seed, second, code, np.int64(NONE))]
        else:
            start = position
            may_begin = True
        first, first_at, second, second_at = second, second_at, code, position
        position += length
        if may_begin:
            entry, end = _longest(data, start, stop, classes, lower, seed, True, keys, entries)
            if entry >= 0:
                matches += 1
                if seen[entry] != text:
                    seen[entry] = text
                    distinct += 1
                position = end
                first_at = second_at = np.int64(NONE)
    return matches, distinct


@kernel
def _count(data, offsets, lists, classes, lower, table, counts):
    seen = np.full(table.weights.size, -1, np.int64)
    joined, shortest = table.joined[0] != 0, table.shortest[0]
    keys, entries, pairs, triples, weights = table.keys, table.entries, table.pairs, table.triples, table.weights
    for text in range(lists.size):
        if lists[text] >= 0 and joined:
            counts[text, 0], counts[text, 1] = _count_joined(
                data,
                offsets[text],
                offsets[text + 1],
                classes,
                lower,
                table.seeds[lists[text]],
                shortest,
                keys,
                entries,
                pairs,
                triples,
                seen,
                text,
            )
        elif lists[text] >= 0:
            counts[text, 0], counts[text, 1], counts[text, 2], counts[text, 3] = _count_text(
                data,
                offsets[text],
                offsets[text + 1],
                classes,
                lower,
                table.seeds[lists[text]],
                shortest,
                keys,
                entries,
                pairs,
                triples,
                weights,
                seen,
                text,
            )
