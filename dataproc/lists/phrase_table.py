"""Lists of words and phrases as one table of hashed beginnings, which `dataproc.lists.phrases` finds in texts.

An entry is lower-cased and cut as `dataproc.text.words` cuts text; between two of its words stands one separator. The
table holds the hash of every beginning of every entry (its first letter, its first two letters, …), and tells which are
whole entries. Lists of several languages share one table: a list's hashes begin with a seed of its own.

Two small filters tell by an entry's first two and three characters that nothing begins at a place of a text, which is
what happens at most places, without a look into the table.

Memory: 24 to 48 bytes a byte of the lists, and 2 MB at most for the filters. Two different beginnings share a hash with
probability 2^-64.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.hashing import mix
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.lists.files import read_entries
from corpusmill.dataproc.text.unicode_tables import MARK, UNSPACED, load_tables
from corpusmill.dataproc.text.words import WORD

SEPARATOR = 32
"""What stands between two words of an entry."""

NONE = -1
"""No character, or no entry."""

_BEGINNING = 0
_SEED = 0xCBF29CE484222325
_STEP = 0x9E3779B97F4A7C15
_SEED_SHIFT = 32
"""Seeds of lists differ above all bits of a character: else one list's `a` would be another's `c`."""

_SMALLEST_FILTER, _LARGEST_FILTER = 1 << 12, 1 << 20
"""Places of a filter: 16 an entry between these bounds, so that few places are marked and most stay in the cache."""


class PhraseTable(NamedTuple):
    """Entries ready to be found; all arrays read-only.

    Attributes:
        keys: uint64[S], an open hash table of beginnings; 0 is an empty place. S is a power of two.
        entries: int32[S], the number of the entry that ends here plus 1, 0 for a mere beginning.
        pairs, triples: bool[M], whether an entry may begin with two, with three characters of this hash.
        weights: int64[E], words of each entry.
        seeds: uint64[L], one a list.
        joined: uint8[1], whether texts are taken without what stands between words.
        shortest: int64[1], characters of the shortest entry.
    """

    keys: np.ndarray
    entries: np.ndarray
    pairs: np.ndarray
    triples: np.ndarray
    weights: np.ndarray
    seeds: np.ndarray
    joined: np.ndarray
    shortest: np.ndarray


def make_table(lists: Sequence[Sequence[str]], *, joined: bool = False) -> tuple[PhraseTable, np.ndarray]:
    """(table, which entries hold no letter or number at all: bool, one an entry, all lists in a row).

    Such an entry is never found. Memory: 24 bytes a place, 1 to 2 places a byte of the lists.
    """
    flat = [entry for list_ in lists for entry in list_]
    offsets, data = text_buffers(pa.array(flat, pa.large_string()))
    places = 64
    while places < 2 * (len(data) + 1):
        places *= 2
    keys, entries = np.zeros(places, np.uint64), np.zeros(places, np.int32)
    marks = _SMALLEST_FILTER
    while marks < min(16 * len(flat), _LARGEST_FILTER):
        marks *= 2
    pairs, triples = np.zeros(marks, np.bool_), np.zeros(marks, np.bool_)
    weights, shortest = np.zeros(len(flat), np.int64), np.full(1, len(data) + 1, np.int64)
    seeds = read_only(
        np.array([_SEED ^ (number << _SEED_SHIFT) for number in range(max(len(lists), 1))], np.uint64), np.uint64
    )
    list_of = read_only(np.repeat(np.arange(len(lists)), [len(list_) for list_ in lists]), np.int64)
    flag = read_only(np.array([joined]), np.uint8)
    tables = load_tables()
    _insert(
        data,
        offsets,
        list_of,
        tables.classes,
        tables.lower,
        seeds,
        flag,
        keys,
        entries,
        pairs,
        triples,
        weights,
        shortest,
    )
    table = PhraseTable(
        read_only(keys, np.uint64),
        read_only(entries, np.int32),
        read_only(pairs, np.bool_),
        read_only(triples, np.bool_),
        read_only(weights, np.int64),
        seeds,
        flag,
        read_only(shortest, np.int64),
    )
    return table, weights == 0


def table_of_files(lists: Sequence[Sequence[str]], *, joined: bool = False) -> PhraseTable:
    """The table of lists that lie in files, each list in some.

    Raises:
        UserError: a file that is not there, cannot be read, or holds no entries; an entry without a letter or number.
    """
    read = [[(path, *entry) for path in paths for entry in read_entries(path)] for paths in lists]
    table, empty = make_table([[entry for _, _, entry in entries] for entries in read], joined=joined)
    for place in np.flatnonzero(empty)[:1]:
        path, number, entry = [line for entries in read for line in entries][place]
        raise UserError(f"'{entry}' has no letter or digit", f"{path}, line {number}", "remove the line")
    return table


@kernel_step
def advance(state, code):
    """The state of a hash after one more character; it begins with a list's seed."""
    return (state ^ np.uint64(code)) * np.uint64(_STEP)


@kernel_step
def _key(state):
    key = mix(state)
    return key if key != 0 else np.uint64(1)


@kernel_step
def filter_place(marks, seed, first, second, third):
    """Where a filter (of a power of two places) tells of an entry's first characters.

    `NONE` is for those that it has not, and for what stands behind a separator.
    """
    mixed = (np.uint64(first) * np.uint64(961) + np.uint64(second) * np.uint64(31) + np.uint64(third)) ^ seed
    mixed *= np.uint64(_STEP)
    return (mixed >> np.uint64(40)) & np.uint64(marks.size - 1)


@kernel_step
def look_up(keys, entries, state):
    """What is known of a beginning: the number of an entry plus 1, `_BEGINNING`, or `NONE`."""
    mask = np.uint64(keys.size - 1)
    key = _key(state)
    place = key & mask
    while keys[place] != 0:
        if keys[place] == key:
            return np.int64(entries[place])
        place = (place + np.uint64(1)) & mask
    return np.int64(NONE)


@kernel
def _insert(data, offsets, list_of, classes, lower, seeds, joined, keys, entries, pairs, triples, weights, shortest):
    """Fills the table with all beginnings of all entries; an entry that is there already stays the first one."""
    mask = np.uint64(keys.size - 1)
    for entry in range(offsets.size - 1):
        state = seeds[list_of[entry]]
        position, stop = offsets[entry], offsets[entry + 1]
        place = np.uint64(0)
        first = second = third = np.int64(NONE)
        separated, spaced = False, False
        size = 0
        while position < stop:
            code, length = decode(data, position, stop)
            flags = classes[code]
            position += length
            if flags & WORD == 0:
                separated = True
                continue
            steps = 2 if separated and size and not joined[0] else 1
            goes_on = size and steps == 1 and (spaced or flags & MARK) and flags & UNSPACED == 0
            weights[entry] += 0 if goes_on else 1
            separated = False
            spaced = flags & UNSPACED == 0
            for step in range(steps):
                symbol = np.int64(SEPARATOR) if step + 1 < steps else np.int64(lower[code])
                if size == 0:
                    first = symbol
                elif size == 1:
                    second = symbol
                elif size == 2 and second != SEPARATOR:
                    third = symbol
                size += 1
                state = advance(state, symbol)
                key = _key(state)
                place = key & mask
                while keys[place] != 0 and keys[place] != key:
                    place = (place + np.uint64(1)) & mask
                keys[place] = key
        if size:
            if entries[place] == 0:
                entries[place] = entry + 1
            pairs[filter_place(pairs, seeds[list_of[entry]], first, second, np.int64(NONE))] = True
            triples[filter_place(triples, seeds[list_of[entry]], first, second, third)] = True
            shortest[0] = min(shortest[0], size)
