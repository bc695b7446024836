"""Character references: the 2,231 names of HTML, from Python's own table, and numbers.

The longest name that stands counts; one without a semicolon is known for the 106 that the standard lists so. Numbers
are mended as the standard says: Windows-1252 for 0x80 to 0x9F, U+FFFD for zero, surrogates and what is no code point.
Names are looked up by hash, at most `LONGEST` bytes of them, so a reference costs a bounded number of steps.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import html.entities

import numpy as np

from corpusmill.dataproc.extraction.names import FNV_SEED, FNV_STEP, name_key
from corpusmill.dataproc.kernels.compiling import kernel_step

_ENTITIES = sorted(html.entities.html5.items())
LONGEST = max(len(name) for name, _ in _ENTITIES)
LONGEST_BARE = max(len(name) for name, _ in _ENTITIES if not name.endswith(";"))
_SLOTS = 8192
_SLOT_MASK = np.uint64(_SLOTS - 1)
_SHIFT = np.uint64(20)


def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(keys, places, bounds, data): the characters of the reference in a slot are data[bounds[place] : ...]."""
    keys, places = np.zeros(_SLOTS, np.uint64), np.full(_SLOTS, -1, np.int64)
    values = [value.encode() for _, value in _ENTITIES]
    for place, (name, _) in enumerate(_ENTITIES):
        key = name_key(name)
        slot = int(key) >> 20 & (_SLOTS - 1)
        while places[slot] >= 0:
            slot = slot + 1 & (_SLOTS - 1)
        keys[slot], places[slot] = key, place
    bounds = np.cumsum([0, *map(len, values)]).astype(np.int64)
    return keys, places, bounds, np.frombuffer(b"".join(values), np.uint8)


_KEYS, _PLACES, BOUNDS, CHARACTERS = _table()
_WINDOWS = np.array(
    [ord(bytes([byte]).decode("cp1252", "ignore") or chr(byte)) for byte in range(0x80, 0xA0)], np.int64
)


@kernel_step
def _place(key):
    slot = (key >> _SHIFT) & _SLOT_MASK
    while _PLACES[slot] >= 0:
        if _KEYS[slot] == key:
            return _PLACES[slot]
        slot = (slot + np.uint64(1)) & _SLOT_MASK
    return np.int64(-1)


@kernel_step
def named_reference(data, start, stop):
    """(place of its characters, bytes read) of the name at `start`, behind "&"; (-1, 0) if there is none."""
    key = FNV_SEED
    found = np.int64(-1)
    size = np.int64(0)
    last = min(stop, start + LONGEST)
    position = start
    while position < last:
        byte = data[position]
        key = (key ^ np.uint64(byte)) * FNV_STEP
        position += 1
        if byte == 0x3B:
            place = _place(key)
            if place >= 0:
                return place, position - start
            break
        lower = byte | 0x20
        if not (0x61 <= lower <= 0x7A or 0x30 <= byte <= 0x39):
            break
        if position - start <= LONGEST_BARE:
            place = _place(key)
            if place >= 0:
                found = place
                size = position - start
    return found, size


@kernel_step
def numeric_reference(data, start, stop):
    """(code point, bytes read) of the number that begins at `start`, behind "&#"; (0, 0) if there is none."""
    position = start
    base = np.int64(10)
    if position < stop and (data[position] | 0x20) == 0x78:
        base = np.int64(16)
        position += 1
    first = position
    code = np.int64(0)
    while position < stop:
        byte = np.int64(data[position])
        digit = byte - 0x30
        if base == 16 and 0x61 <= (byte | 0x20) <= 0x66:
            digit = (byte | 0x20) - 0x57
        elif digit < 0 or digit > 9:
            break
        code = min(code * base + digit, np.int64(0x110000))
        position += 1
    if position == first:
        return np.int64(0), np.int64(0)
    if position < stop and data[position] == 0x3B:
        position += 1
    if 0x80 <= code < 0xA0:
        code = _WINDOWS[code - 0x80]
    if code == 0 or 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        code = np.int64(0xFFFD)
    return code, position - start
