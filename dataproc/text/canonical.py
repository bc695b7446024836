"""Canonical equivalence: texts that are the same text by Unicode (UAX #15), whatever way they are written, in NFC.

"é" is one character or two, a Korean syllable one, two or three, and a Vietnamese file from macOS is in NFD; people
see the same. What compares texts (de-duplication, decontamination) therefore looks at them in NFC. Nearly all text is
in NFC already, and a kernel sees that without making a copy: a text is passed if each of its characters may stand in
NFC, marks are in their order, and no character composes with the one before it. What does not pass goes to
`unicodedata`, a call a text.

The check errs on one side: what it passes is NFC, and a text in NFC that it does not pass (a mark that could compose,
were there not another one between) is only normalised in vain.

Cost: 15 GB/s on ASCII, 1.2 GB/s on Chinese, 0.4 GB/s on Thai and Hindi: 2 % of the time of signatures on English prose,
4 % on French and Spanish documentation, 30 to 40 % on other scripts. A text that has to be normalised takes longer.
"""

import functools
import unicodedata
from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.unicode_tables import kept_arrays

FORM_VERSION = 1
"""Raised whenever the tables' meaning changes."""

CLASS = 0xFF
NEVER = 0x100
SECOND = 0x200
_LAST = 16
_FIRST_MARK_LEAD = 0xCC
_HAN_LEADS = (0xE4, 0xE9)
"""First bytes of U+4000 to U+9FFF, in which nothing composes or decomposes."""
_BLOCK = 64
_SYLLABLES, _LEADS, _VOWELS, _TAILS = 0xAC00, 0x1100, 0x1161, 0x11A8


class _Form(NamedTuple):
    """`forms` uint32[0x110000]: a character's combining class, `NEVER` for one that is not NFC by itself, `SECOND` for
    one that composes with some other before it, and above these the class of the last character that it decomposes
    into; `pairs` uint64, sorted: first << 32 | second of all that compose (Hangul is reckoned)."""

    forms: np.ndarray
    pairs: np.ndarray


@functools.cache
def _form() -> _Form:
    return _Form(*kept_arrays(("forms", "pairs"), FORM_VERSION, _build))


def _build() -> tuple[np.ndarray, np.ndarray]:
    """Both tables from `unicodedata`; 0.5 s."""
    forms, pairs = np.zeros(0x110000, np.uint32), []
    for code in range(0x110000):
        character = chr(code)
        own = unicodedata.combining(character)
        forms[code] = own | own << _LAST
        decomposed = unicodedata.decomposition(character)
        if not decomposed or decomposed.startswith("<"):
            continue
        codes = [int(part, 16) for part in decomposed.split()]
        forms[code] = own | unicodedata.combining(unicodedata.normalize("NFD", character)[-1]) << _LAST
        if not unicodedata.is_normalized("NFC", character):
            forms[code] |= NEVER
        elif len(codes) == 2:
            pairs.append(codes[0] << 32 | codes[1])
    forms[[pair & 0xFFFFFFFF for pair in pairs]] |= SECOND
    forms[_VOWELS : _VOWELS + 21] |= SECOND
    forms[_TAILS : _TAILS + 27] |= SECOND
    return forms, np.array(sorted(pairs), np.uint64)


@kernel_step
def _composes(first, second, pairs):
    """Whether two characters become one in NFC."""
    if _VOWELS <= second < _VOWELS + 21:
        return _LEADS <= first < _LEADS + 19
    if _TAILS <= second < _TAILS + 27:
        return _SYLLABLES <= first < _SYLLABLES + 11172 and (first - _SYLLABLES) % 28 == 0
    wanted = np.uint64(first) << np.uint64(32) | np.uint64(second)
    low, high = np.int64(0), np.int64(pairs.shape[0])
    while low < high:
        middle = (low + high) // 2
        if pairs[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low < pairs.shape[0] and pairs[low] == wanted


@kernel_step
def _plain_stop(data, position, stop):
    """Where the blocks end from `position` on in which no character from U+0300 on begins."""
    while position + _BLOCK <= stop:
        high = np.uint8(0)
        for place in range(position, position + _BLOCK):
            high = max(high, data[np.uint64(place)])
        if high >= _FIRST_MARK_LEAD:
            break
        position += _BLOCK
    return position


@kernel_step
def _passes(data, start, stop, forms, pairs):
    """Whether data[start:stop] is surely NFC."""
    position = start
    while position < stop:
        if data[np.uint64(position)] < _FIRST_MARK_LEAD:
            position = _plain_stop(data, position, stop)
            while position < stop and data[np.uint64(position)] < _FIRST_MARK_LEAD:
                position += 1
            continue
        if data[position] == 0xE2 and position + 2 < stop and data[position + 1] == 0x80 and data[position + 2] > 0x81:
            position += 3  # quotation marks and dashes
            continue
        if _HAN_LEADS[0] <= data[position] <= _HAN_LEADS[1]:
            position += 3
            continue
        code, length = decode(data, position, stop)
        form = np.int64(forms[code])
        if form & NEVER:
            return False
        here = form & CLASS
        if (here or form & SECOND) and position > start:
            place = position - 1
            while place > start and data[place] & 0xC0 == 0x80:
                place -= 1
            previous, _ = decode(data, place, position)
            last = np.int64(forms[previous]) >> _LAST
            if (here and here < last) or (form & SECOND and (last or _composes(previous, code, pairs))):
                return False
        position += length
    return True


@kernel
def _list_others(offsets, data, forms, pairs, others):
    """Writes the rows of the texts that may not be in NFC; returns how many there are."""
    count = np.int64(0)
    for row in range(offsets.shape[0] - 1):
        others[count] = row
        count += np.int64(not _passes(data, offsets[row], offsets[row + 1], forms, pairs))
    return count


@kernel
def _copy(offsets, data, rows, bounds, others, new_offsets, out):
    """Copies all texts to `out`, but the rows that have a new form in `others`."""
    changed = 0
    for row in range(offsets.shape[0] - 1):
        first, last, at = offsets[row], offsets[row + 1], new_offsets[row]
        if changed < rows.shape[0] and rows[changed] == row:
            for place in range(bounds[changed], bounds[changed + 1]):
                out[at] = others[place]
                at += 1
            changed += 1
        else:
            out[at : at + last - first] = data[first:last]


def to_nfc(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texts in NFC: (offsets int64 (N + 1,), bytes uint8, rows int64 of those that may have changed, rising).

    The arrays are the same ones where nothing has to change. A byte that is not UTF-8 stays as it is.

    Args:
        offsets, data: as from `buffers.text_buffers`.
    """
    form = _form()
    rows = np.empty(len(offsets), np.int64)
    offsets, data = read_only(offsets, np.int64), read_only(data, np.uint8)
    rows = rows[: _list_others(offsets, data, form.forms, form.pairs, rows)]
    if not len(rows):
        return offsets, data, rows
    texts = [_normalised(bytes(data[offsets[row] : offsets[row + 1]])) for row in rows.tolist()]
    sizes = np.diff(offsets)
    sizes[rows] = [len(text) for text in texts]
    new_offsets, bounds = np.zeros(len(offsets), np.int64), np.zeros(len(rows) + 1, np.int64)
    np.cumsum(sizes, out=new_offsets[1:])
    np.cumsum(sizes[rows], out=bounds[1:])
    out = np.empty(int(new_offsets[-1]), np.uint8)
    _copy(offsets, data, rows, bounds, read_only(np.frombuffer(b"".join(texts), np.uint8)), new_offsets, out)
    return read_only(new_offsets), read_only(out), rows


def _normalised(text: bytes) -> bytes:
    decoded = text.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", decoded).encode("utf-8", "surrogateescape")


def places_before(text: bytes, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of a text for bytes of its NFC form, int64: each stretch grows to whole stretches that compose.

    Args:
        text: one text, as it was.
        starts, stops: int64, first bytes of stretches in its NFC form, and the bytes after their last.
    """
    decoded = text.decode("utf-8", "surrogateescape")
    codes = np.frombuffer(decoded.encode("utf-32-le", "surrogatepass"), np.uint32)
    opens = np.flatnonzero(_form().forms[codes] & 0xFFFF == 0)  # nothing before these composes with them
    opens = np.unique(np.append(opens, 0))
    sizes = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
    sizes[(codes >= 0xDC80) & (codes < 0xDD00)] = 1
    before = np.append(np.add.reduceat(sizes, opens), 0)
    after = before.copy()
    ends = np.append(opens[1:], len(codes))
    for group in np.flatnonzero((ends - opens > 1) | (_form().forms[codes[opens]] & 0xFFFF != 0)).tolist():
        piece = unicodedata.normalize("NFC", decoded[opens[group] : ends[group]])
        after[group] = len(piece.encode("utf-8", "surrogateescape"))
    old, new = (np.concatenate([[0], np.cumsum(lengths[:-1])]) for lengths in (before, after))
    return old[np.searchsorted(new, starts, side="right") - 1], old[np.searchsorted(new, stops, side="left")]
