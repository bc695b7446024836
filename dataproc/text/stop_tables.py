"""Stop words as kernels look them up: for each language a table of 64 slots in which none of its words collide.

A word's slot is the highest bits of its key times the language's multiplier, so a look-up is one multiplication and one
comparison, and the slot's number says which of the words was found. Multipliers are found by trying.
"""

import functools
import random
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.measures.stop_words import DEFAULT_LANGUAGE, STOP_WORDS, lists_of
from corpusmill.dataproc.text.units import CHAIN_SEED, CHAIN_STEP, LONGEST_STOP_WORD, SLOT_SHIFT, STOP_SLOTS

_ORDER = (DEFAULT_LANGUAGE, *(code for code in STOP_WORDS if code != DEFAULT_LANGUAGE))
"""Languages by number; the number after the last means no list."""

_WORD = (1 << 64) - 1


class StopTables(NamedTuple):
    """By number of the language: `keys` uint64 (languages, STOP_SLOTS), 0 in a free slot; `multipliers` uint64."""

    keys: np.ndarray
    multipliers: np.ndarray


def stop_key(word: str) -> int:
    """The key of a lower-case word, as `dataproc.text.units` computes it.

    Raises:
        ValueError: it is longer than what kernels look for.
    """
    if word.isascii() and len(word) <= 8:
        return int.from_bytes(word.encode(), "little")
    if word.isascii() or len(word.encode()) > LONGEST_STOP_WORD:
        raise ValueError(f"too long for a stop word: {word}")
    key = CHAIN_SEED
    for character in word:
        key = (key ^ ord(character)) * CHAIN_STEP & _WORD
    return key


@functools.cache
def load_stop_tables() -> StopTables:
    """The tables of all languages; built once a process, in some 20 ms."""
    keys = np.zeros((len(_ORDER) + 1, STOP_SLOTS), np.uint64)
    multipliers = np.zeros(len(_ORDER) + 1, np.uint64)
    for number, language in enumerate(_ORDER):
        wanted = [stop_key(word) for word in STOP_WORDS[language]]
        draw = random.Random(number)
        slots: list[int] = []
        while len(set(slots)) < len(wanted):
            multiplier = draw.getrandbits(64) | 1
            slots = [(key * multiplier & _WORD) >> SLOT_SHIFT for key in wanted]
        keys[number, slots] = wanted
        multipliers[number] = multiplier
    for table in (keys, multipliers):
        table.flags.writeable = False
    return StopTables(keys, multipliers)


def lists_numbered(languages: pa.Array) -> np.ndarray:
    """The number of each language's list, int64 of shape (N,)."""
    numbers = pc.index_in(lists_of(languages), pa.array(_ORDER, pa.string()))
    return pc.fill_null(numbers, len(_ORDER)).to_numpy(zero_copy_only=False).astype(np.int64)
