"""Words of lines as numbers: the hashes that fastText gives them, and a vocabulary that grows as text goes by.

fastText's hash (FNV-1a of 32 bits, in which a byte above 127 is taken as a negative number) names the rows of n-grams,
so it has to be that one. Two words of a vocabulary of a million share it in some hundred cases, so words are told
apart by 64 bits of another hash: among a million words, two are taken for one with a probability of 3e-8.

Memory of a vocabulary: 12 bytes a slot of a table at most half full; a word has 20 bytes, and its spelling as a bytes
object (41 more).
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.kernels.hashing import mix

_FNV32_START, _FNV32_STEP = 2166136261, 16777619
_FNV64_STEP = 0x100000001B3
LONG_START = np.uint64(0xCBF29CE484222325)
_BLANK = 32
_CHUNK_WORDS = 1 << 20
_FIRST_SLOTS = 1 << 16


@kernel
def long_step(long, byte):
    """The long hash of a word, which starts as `LONG_START`, one byte further."""
    return (long ^ np.uint64(byte)) * np.uint64(_FNV64_STEP)


@kernel
def long_end(long):
    """The long hash of a word that ends here: uint64, never 0."""
    mixed = mix(long)
    return mixed if mixed != np.uint64(0) else np.uint64(1)


@kernel_part
def hash_word(data, start, stop):
    """(fastText's hash as an int32, 64 bits that tell words apart, as uint64 and never 0) of the bytes start..stop."""
    short, long = np.uint64(_FNV32_START), LONG_START
    for i in range(start, stop):
        byte = np.uint64(data[i])
        signed = byte if byte < np.uint64(128) else byte | np.uint64(0xFFFFFF00)
        short = ((short ^ signed) * np.uint64(_FNV32_STEP)) & np.uint64(0xFFFFFFFF)
        long = long_step(long, byte)
    return np.int32(np.uint32(short)), long_end(long)


@kernel
def hash_whole_word(word):
    """`hash_word` of all bytes of an array."""
    return hash_word(word, 0, len(word))


@kernel
def find_slot(keys, key):
    """The slot of a key, or the free one (key 0) where it would go; `keys` is a power of two long and not full."""
    mask = np.uint64(len(keys) - 1)
    slot = key & mask
    while keys[slot] != np.uint64(0) and keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@kernel
def insert_words(keys, numbers, long_hashes):
    """Fills an empty table: word i, of hash `long_hashes[i]`, gets the number i; of equal hashes the first stays."""
    for i in range(len(long_hashes)):
        slot = find_slot(keys, long_hashes[i])
        if keys[slot] == np.uint64(0):
            keys[slot] = long_hashes[i]
            numbers[slot] = i


@kernel
def count_tokens(offsets, data, ends):
    """Tokens of all lines, one a line for its end included; `ends[i]` is the number of those up to line i's end."""
    count = 0
    for row in range(len(offsets) - 1):
        in_word = False
        for i in range(offsets[row], offsets[row + 1]):
            is_blank = data[i] == _BLANK
            if not is_blank and not in_word:
                count += 1
            in_word = not is_blank
        count += 1
        ends[row] = count
    return count


@kernel
def _number(offsets, data, first, last, keys, numbers, known, counts, short_hashes, long_hashes, places, out):
    """Numbers the tokens of the lines first..last-1; new words get the next numbers, from `known` on.

    Word 0 is the line's end. Returns the number of words known afterwards; `places` holds (start, stop) of new words.
    """
    written = 0
    for row in range(first, last):
        position, stop = offsets[row], offsets[row + 1]
        while position < stop:
            if data[position] == _BLANK:
                position += 1
                continue
            end = position + 1
            while end < stop and data[end] != _BLANK:
                end += 1
            short, long = hash_word(data, position, end)
            slot = find_slot(keys, long)
            if keys[slot] == np.uint64(0):
                keys[slot] = long
                numbers[slot] = known
                short_hashes[known], long_hashes[known] = short, long
                places[known, 0], places[known, 1] = position, end
                counts[known] = 0
                known += 1
            number = numbers[slot]
            counts[number] += 1
            out[written] = number
            written += 1
            position = end
        counts[0] += 1
        out[written] = 0
        written += 1
    return known


class WordNumbers:
    """Gives each word a number, in the order in which words are first seen; 0 is the line's end.

    Attributes:
        counts: int64 of shape (W,), how often each word was seen.
        short_hashes: int32 of shape (W,), fastText's.
    """

    def __init__(self) -> None:
        end = np.frombuffer(b"</s>", np.uint8)
        short, long = hash_whole_word(end)
        self._known = 1
        self._spelled: list[bytes] = [end.tobytes()]
        self._counts = np.zeros(_FIRST_SLOTS, np.int64)
        self._short = np.full(_FIRST_SLOTS, short, np.int32)
        self._long = np.full(_FIRST_SLOTS, long, np.uint64)
        self._keys = np.zeros(0, np.uint64)
        self._numbers = np.zeros(0, np.int32)

    @property
    def counts(self) -> np.ndarray:
        return self._counts[: self._known]

    @property
    def short_hashes(self) -> np.ndarray:
        return self._short[: self._known]

    @property
    def spellings(self) -> list[bytes]:
        """The bytes of each word."""
        return self._spelled

    def number(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(numbers, int32, of all tokens of N lines; where each line's tokens end among them, int64 of shape (N,))."""
        ends = np.empty(len(offsets) - 1, np.int64)
        out = np.empty(count_tokens(offsets, data, ends), np.int32)
        row, done = 0, 0
        while row < len(ends):
            last = max(row + 1, int(np.searchsorted(ends, done + _CHUNK_WORDS, "right")))
            tokens = int(ends[last - 1]) - done
            self._reserve(tokens)
            places = np.empty((self._known + tokens, 2), np.int64)
            before = self._known
            self._known = int(
                _number(
                    offsets, data, row, last, self._keys, self._numbers, before,
                    self._counts, self._short, self._long, places, out[done : done + tokens],
                )
            )  # fmt: skip
            view = memoryview(data)  # type: ignore[arg-type]
            self._spelled += [bytes(view[start:stop]) for start, stop in places[before : self._known].tolist()]
            row, done = last, done + tokens
        return out, ends

    def _reserve(self, more: int) -> None:
        """Makes room for so many new words."""
        needed = self._known + more
        if needed > len(self._counts):
            size = max(2 * len(self._counts), needed)
            self._counts, self._short, self._long = (
                np.concatenate([array, np.zeros(size - len(array), array.dtype)])
                for array in (self._counts, self._short, self._long)
            )
        if 2 * needed > len(self._keys):
            slots = 1 << int(2 * needed - 1).bit_length()
            self._keys, self._numbers = np.zeros(slots, np.uint64), np.zeros(slots, np.int32)
            # Word 0 stays out of the table: a line has no token that is spelled as its end (`lines`).
            insert_words(self._keys, self._numbers, self._long[1 : self._known])
            self._numbers += np.where(self._keys != 0, 1, 0).astype(np.int32)
