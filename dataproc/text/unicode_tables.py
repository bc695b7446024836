"""What each Unicode code point is, as two arrays that kernels index: classes (one byte of flags) and lower case.

Kernels cannot call `unicodedata`, and asking it for 1,114,112 code points takes 0.6 s. So the tables are built once for
each version of Unicode, kept as .npy files in the user's cache folder, and read (5.6 MB, about 3 ms) when first needed.
A cache file appears whole by a rename, so processes may build it at the same time: they write the same bytes. Where
the cache folder cannot be written, or holds a damaged file, the tables are built in memory.

Flags of a code point (`classes[c]`, uint8):

    LETTER       general categories L*
    MARK         M*
    NUMBER       N*
    PUNCTUATION  P* and S*: punctuation and symbols
    TERMINAL     punctuation that ends a sentence: the property Sentence_Terminal of Unicode 14, and two Khmer signs
    SPACE        `str.isspace`: line ends, tabs, all kinds of blanks
    ALONE        letters and numbers of Han, kana, Yi, Tangut, Nushu, Khitan: each is a word by itself
    UNSPACED     letters and marks of scripts that put no space between words: ALONE ones; those of line breaking class
                 SA (UAX #14: Thai, Lao, Khmer, Burmese, …); Tibetan, Javanese, Balinese and others whose breaks go by
                 syllables

All other code points (controls, format characters, surrogates, unassigned) have no flag. Kernels compiled by njit hold
the flags as constants, so a change here compiles them again.
"""

import contextlib
import functools
import secrets
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.cache import user_cache_folder

TABLE_VERSION = 2
"""Raised whenever the meaning of a flag or of the lower-case map changes, so that an old cache file is not read."""

LETTER = 1
MARK = 2
NUMBER = 4
PUNCTUATION = 8
TERMINAL = 16
SPACE = 32
ALONE = 64
UNSPACED = 128

_CODE_POINTS = sys.maxunicode + 1
_CATEGORY_FLAGS = {"L": LETTER, "M": MARK, "N": NUMBER, "P": PUNCTUATION, "S": PUNCTUATION, "Z": 0, "C": 0}

_ALONE_RANGES = (
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3021, 0x3029),  # Suzhou numerals
    (0x3038, 0x303B),
    (0x3041, 0x30FF),  # hiragana, katakana
    (0x31F0, 0x31FF),  # katakana for Ainu
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA000, 0xA48C),  # Yi syllables
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0xFF66, 0xFF9F),  # half-width katakana
    (0x17000, 0x18DFF),  # Tangut, Khitan small script
    (0x1AFF0, 0x1B2FF),  # further kana, Nushu
    (0x20000, 0x323AF),
)
_UNSPACED_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Burmese
    (0x1700, 0x177F),  # Tagalog, Hanunoo, Buhid, Tagbanwa
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A00, 0x1AAF),  # Buginese, Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x1BC0, 0x1BFF),  # Batak
    (0x3105, 0x312F),  # Bopomofo
    (0x31A0, 0x31BF),
    (0xA930, 0xA95F),  # Rejang
    (0xA980, 0xA9DF),  # Javanese
    (0xA9E0, 0xA9FF),  # Burmese extended
    (0xAA00, 0xAADF),  # Cham, Burmese extended, Tai Viet
    (0x116D0, 0x116FF),  # Burmese extended
    (0x11700, 0x1174F),  # Ahom
    (0x11EE0, 0x11F5F),  # Makasar, Kawi
    (0x12000, 0x1254F),  # cuneiform
    (0x13000, 0x1467F),  # hieroglyphs
)
# fmt: off
_TERMINAL_RANGES = (
    (0x0021, 0x0021), (0x002E, 0x002E), (0x003F, 0x003F), (0x0589, 0x0589), (0x061D, 0x061F), (0x06D4, 0x06D4),
    (0x0700, 0x0702), (0x07F9, 0x07F9), (0x0837, 0x0837), (0x0839, 0x0839), (0x083D, 0x083E), (0x0964, 0x0965),
    (0x104A, 0x104B), (0x1362, 0x1362), (0x1367, 0x1368), (0x166E, 0x166E), (0x1735, 0x1736), (0x17D4, 0x17D5),
    (0x1803, 0x1803), (0x1809, 0x1809), (0x1944, 0x1945), (0x1AA8, 0x1AAB), (0x1B5A, 0x1B5B), (0x1B5E, 0x1B5F),
    (0x1B7D, 0x1B7E), (0x1C3B, 0x1C3C), (0x1C7E, 0x1C7F), (0x203C, 0x203D), (0x2047, 0x2049), (0x2E2E, 0x2E2E),
    (0x2E3C, 0x2E3C), (0x2E53, 0x2E54), (0x3002, 0x3002), (0xA4FF, 0xA4FF), (0xA60E, 0xA60F), (0xA6F3, 0xA6F3),
    (0xA6F7, 0xA6F7), (0xA876, 0xA877), (0xA8CE, 0xA8CF), (0xA92F, 0xA92F), (0xA9C8, 0xA9C9), (0xAA5D, 0xAA5F),
    (0xAAF0, 0xAAF1), (0xABEB, 0xABEB), (0xFE52, 0xFE52), (0xFE56, 0xFE57), (0xFF01, 0xFF01), (0xFF0E, 0xFF0E),
    (0xFF1F, 0xFF1F), (0xFF61, 0xFF61), (0x10A56, 0x10A57), (0x10F55, 0x10F59), (0x10F86, 0x10F89),
    (0x11047, 0x11048), (0x110BE, 0x110C1), (0x11141, 0x11143), (0x111C5, 0x111C6), (0x111CD, 0x111CD),
    (0x111DE, 0x111DF), (0x11238, 0x11239), (0x1123B, 0x1123C), (0x112A9, 0x112A9), (0x1144B, 0x1144C),
    (0x115C2, 0x115C3), (0x115C9, 0x115D7), (0x11641, 0x11642), (0x1173C, 0x1173E), (0x11944, 0x11944),
    (0x11946, 0x11946), (0x11A42, 0x11A43), (0x11A9B, 0x11A9C), (0x11C41, 0x11C42), (0x11EF7, 0x11EF8),
    (0x16A6E, 0x16A6F), (0x16AF5, 0x16AF5), (0x16B37, 0x16B38), (0x16B44, 0x16B44), (0x16E98, 0x16E98),
    (0x1BC9F, 0x1BC9F), (0x1DA88, 0x1DA88),
)
# fmt: on


class Tables(NamedTuple):
    """Read-only arrays over all code points: `classes` uint8[0x110000] of flags, `lower` uint32[0x110000]."""

    classes: np.ndarray
    lower: np.ndarray


@functools.cache
def load_tables() -> Tables:
    """The tables, from the cache folder, or else built and cached."""
    return Tables(*kept_arrays(Tables._fields, TABLE_VERSION, lambda: build_tables()))


def kept_arrays(names: Sequence[str], version: int, build: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    """Arrays that only the version of Unicode decides, read-only: from the cache folder, or else built and kept there.

    Args:
        names: of the arrays, for their files.
        version: raised whenever what the arrays mean changes, so that an old file is not read.
        build: makes them, the first of them one element for each code point.
    """
    folder = user_cache_folder() / "unicode"
    stem = f"unicode-{unicodedata.unidata_version}-v{version}"
    paths = [folder / f"{stem}-{name}.npy" for name in names]
    arrays = _read(paths)
    if arrays is None:
        arrays = build()
        for path, array in zip(paths, arrays, strict=True):
            _write(path, array)
    for array in arrays:
        array.flags.writeable = False
    return arrays


def build_tables() -> Tables:
    """Builds both tables from this Python's `unicodedata`, without any file. Takes 0.6 s."""
    characters = [chr(code) for code in range(_CODE_POINTS)]
    classes = np.fromiter((_CATEGORY_FLAGS[unicodedata.category(c)[0]] for c in characters), np.uint8, _CODE_POINTS)
    classes[[code for code, c in enumerate(characters) if c.isspace()]] |= SPACE
    for first, last in _ALONE_RANGES:
        block = classes[first : last + 1]
        block[(block & (LETTER | NUMBER)) != 0] |= ALONE | UNSPACED
    for first, last in _UNSPACED_RANGES:
        block = classes[first : last + 1]
        block[(block & (LETTER | MARK)) != 0] |= UNSPACED
    for first, last in _TERMINAL_RANGES:
        block = classes[first : last + 1]
        block[(block & PUNCTUATION) != 0] |= TERMINAL
    # A map from one code point to one: U+0130 alone lowers to two, of which the first is its simple lower case.
    lower = np.fromiter((ord(c.lower()[0]) for c in characters), np.uint32, _CODE_POINTS)
    return Tables(classes, lower)


def _read(paths: Sequence[Path]) -> Sequence[np.ndarray] | None:
    """The arrays of the files; None where one is missing or damaged."""
    try:
        arrays = [np.load(path, allow_pickle=False) for path in paths]
    except (OSError, ValueError, EOFError):
        return None
    whole = arrays[0].shape == (_CODE_POINTS,) and all(array.ndim == 1 and array.dtype.kind == "u" for array in arrays)
    return arrays if whole else None


def _write(path: Path, table: np.ndarray) -> None:
    """Keeps a table if the folder allows it. Not `storage.commit_file`: a cache needs no fsync and may be lost."""
    temporary = path.with_name(f".tmp-{secrets.token_hex(6)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, table, allow_pickle=False)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
