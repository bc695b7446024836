"""Canonical equivalence: texts that are the same text by Unicode (UAX #15), whatever way they are written, in NFC.

"é" is one character or two, a Korean syllable one, two or three, and a Vietnamese file from macOS is in NFD; people
see the same. What compares texts (de-duplication, decontamination) therefore looks at them in NFC. Nearly all text is
in NFC already, and a kernel sees that without making a copy: a text is passed if each of its characters may stand in
NFC, marks are in their order, and no character composes with the one before it. What does not pass goes to
`unicodedata`, a call a text.

The check errs on one side: what it passes is NFC, and a text in NFC that it does not pass (a mark that could compose,
were there not another one between) is only normalised in vain.

Cost: 15 GB/s on ASCII, 2.6 to 3.3 GB/s on Chinese, Japanese, Korean and Russian, 0.5 GB/s on Thai and Hindi. Of the
time of signatures that is 2 % on English prose, 3 to 5 % on French, Spanish and German documentation, 5 to 8 % on these
four, 24 % where most letters have marks, 7 % on a mixture of them all with code. A text that has to be normalised takes
25 ns a byte more.
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
_STRETCH = 4096
"""Bytes that are marked at a time."""
_BLOCK = 64
_SYLLABLES, _LEADS, _VOWELS, _TAILS = 0xAC00, 0x1100, 0x1161, 0x11A8


class _Form(NamedTuple):
    """`forms` uint32[0x110000]: a character's combining class, `NEVER` for one that is not NFC by itself, `SECOND` for
    one that composes with some other before it, and above these the class of the last character that it decomposes
    into; `pairs` uint64, sorted: first << 32 | second of all that compose (Hangul is reckoned); `looks` uint8[0x10000],
    1 for a character that has a class or one of the two bits."""

    forms: np.ndarray
    pairs: np.ndarray
    looks: np.ndarray


@functools.cache
def _form() -> _Form:
    forms, pairs = kept_arrays(("forms", "pairs"), FORM_VERSION, _build)
    return _Form(forms, pairs, ((forms[:0x10000] & (CLASS | NEVER | SECOND)) != 0).astype(np.uint8))


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
def _mark_others(data, start, stop, marks):
    """Writes to `marks` for each byte of data[start:stop] whether a character that is not plain may begin there.

    Plain ones need no look; they are many scripts by few comparisons, so that 32 bytes are compared at once: below 0xCC
    nothing begins from U+0300 on; then Cyrillic without its marks, Vietnamese, dashes and quotation marks, kana and
    their punctuation, Han, Hangul, and forms of full width. `data` goes on for two bytes at least.
    """
    for place in range(stop - start):
        first = data[np.uint64(start + place)]
        second, third = data[np.uint64(start + place + 1)], data[np.uint64(start + place + 2)]
        plain = (
            (first < _FIRST_MARK_LEAD)
            | (first == 0xD0)
            | (first == 0xD1)
            | ((first == 0xE1) & ((second == 0xBA) | (second == 0xBB)))
            | ((first == 0xE2) & (second == 0x80) & (third > 0x81))
            | ((first == 0xE3) & (second == 0x80) & (third < 0xAA))
            | ((first == 0xE3) & (second == 0x82) & ((third < 0x99) | (third > 0x9A)))
            | ((first == 0xE3) & ((second == 0x81) | (second == 0x83)))
            | ((first >= 0xE4) & (first <= 0xE9))
            | ((first == 0xEA) & (second >= 0xB0))
            | ((first >= 0xEB) & (first <= 0xEC))
            | ((first == 0xED) & (second < 0x9E))
            | ((first == 0xEF) & ((second == 0xBC) | (second == 0xBD)))
        )
        marks[np.uint64(place)] = not plain


@kernel_step
def _highest(data, start, stop):
    high = np.uint8(0)
    for place in range(start, stop):
        high = max(high, data[np.uint64(place)])
    return high


@kernel_step
def _may_follow(data, start, position, code, form, forms, pairs):
    """Whether a character with a combining class, or one that composes, is NFC after what stands before it."""
    place = position - 1
    while place > start and data[place] & 0xC0 == 0x80:
        place -= 1
    previous, _ = decode(data, place, position)
    last = np.int64(forms[previous]) >> _LAST
    here = form & CLASS
    if here and here < last:
        return False
    return not (form & SECOND and (last or _composes(previous, code, pairs)))


@kernel_step
def _looked_at(data, start, position, end, stop, forms, looks, pairs):
    """Where the characters that begin in data[position:end] end, all of them surely NFC; -1 where one is not."""
    while position < end:
        lead = np.int64(data[np.uint64(position)])
        if lead < _FIRST_MARK_LEAD:
            position += 1
            continue
        if 0xE0 <= lead < 0xF0 and position + 2 < stop:
            second, third = np.int64(data[np.uint64(position + 1)]), np.int64(data[np.uint64(position + 2)])
            code = (lead & 0x0F) << 12 | (second & 0x3F) << 6 | third & 0x3F
            if (second & 0xC0 == 0x80) & (third & 0xC0 == 0x80) and not looks[np.uint64(code)]:
                position += 3
                continue
        code, length = decode(data, position, stop)
        form = np.int64(forms[code])
        if form & NEVER:
            return np.int64(-1)
        marks = form & (CLASS | SECOND) and position > start
        if marks and not _may_follow(data, start, position, code, form, forms, pairs):
            return np.int64(-1)
        position += length
    return position


@kernel_step
def _passes(data, start, stop, forms, looks, pairs, marks):
    """Whether data[start:stop] is surely NFC: by stretches, and in those with a mark by blocks."""
    position = start
    while position < stop:
        end = min(position + marks.shape[0], stop - 2)
        if end <= position:
            return _looked_at(data, start, position, stop, stop, forms, looks, pairs) >= 0
        if _highest(data, position, end) < _FIRST_MARK_LEAD:
            position = end
            continue
        first = position
        _mark_others(data, first, end, marks)
        for block in range(first, end, _BLOCK):
            after = min(block + _BLOCK, end)
            if _highest(marks, block - first, after - first):
                position = _looked_at(data, start, max(position, block), after, stop, forms, looks, pairs)
                if position < 0:
                    return False
        position = max(position, end)
    return True


@kernel
def _list_others(offsets, data, forms, looks, pairs, others):
    """Writes the rows of the texts that may not be in NFC; returns how many there are."""
    marks = np.empty(_STRETCH, np.uint8)
    count = np.int64(0)
    for row in range(offsets.shape[0] - 1):
        others[count] = row
        count += np.int64(not _passes(data, offsets[row], offsets[row + 1], forms, looks, pairs, marks))
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


def other_texts(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, list[bytes]]:
    """(rows int64 of the texts that may not be in NFC, rising; these texts in NFC).

    A byte that is not UTF-8 stays as it is.

    Args:
        offsets, data: as from `buffers.text_buffers`.
    """
    form = _form()
    rows = np.empty(len(offsets), np.int64)
    offsets, data = read_only(offsets, np.int64), read_only(data, np.uint8)
    rows = rows[: _list_others(offsets, data, form.forms, form.looks, form.pairs, rows)]
    return rows, [_normalised(bytes(data[offsets[row] : offsets[row + 1]])) for row in rows.tolist()]


def to_nfc(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texts in NFC: (offsets int64 (N + 1,), bytes uint8, rows int64 of those that may have changed, rising).

    The arrays are the same ones where nothing has to change; where something has, all texts are copied, at 1 GB/s. What
    treats each text by itself takes `other_texts` and copies nothing.

    Args:
        offsets, data: as from `buffers.text_buffers`.
    """
    rows, texts = other_texts(offsets, data)
    offsets, data = read_only(offsets, np.int64), read_only(data, np.uint8)
    if not len(rows):
        return offsets, data, rows
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
