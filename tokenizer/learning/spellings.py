"""How tokens are spelled while new ones are made: a growing array of bytes, and finding a token by its spelling."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.tokenizer.keys import Integer, hash_of, key_of, same_bytes
from corpusmill.tokenizer.vocabulary import byte_characters


class Spellings(NamedTuple):
    """The bytes of tokens.

    Attributes:
        data: uint8; token t is `data[starts[t] : starts[t + 1]]`, nothing for one that no text could spell.
        starts: int64, one more than there is room for tokens.
        slots: int32 (a power of two), a hash table of token + 1 by spelling.
    """

    data: np.ndarray
    starts: np.ndarray
    slots: np.ndarray


@kernel_part
def enter_spelling(spellings: Spellings, token: int) -> Integer:
    """The token that is spelled like `token`: an earlier one, or itself, which is then entered."""
    data, starts, slots = spellings
    start = starts[token]
    length = starts[token + 1] - start
    low, high = key_of(data, start, length)
    slot = np.int64(hash_of(low, high, length) & np.uint64(slots.shape[0] - 1))
    while slots[slot] != 0:
        other = np.int64(slots[slot]) - 1
        same_length = starts[other + 1] - starts[other] == length
        if same_length and same_bytes(data, starts[other], data, start, length):
            return other
        slot = (slot + 1) & (slots.shape[0] - 1)
    slots[slot] = token + 1
    return token


@kernel
def enter_spellings(spellings: Spellings, tokens: int) -> None:
    """Enters all tokens that have a spelling."""
    for token in range(tokens):
        if spellings.starts[token + 1] > spellings.starts[token]:
            enter_spelling(spellings, token)


@kernel_part
def spell(spellings: Spellings, left: int, right: int, token: int) -> None:
    """Writes the bytes of two tokens together as those of token number `token`, which comes after all others."""
    data, starts, _ = spellings
    end = starts[token]
    for part in (left, right):
        for place in range(starts[part], starts[part + 1]):
            data[end] = data[place]
            end += 1
    starts[token + 1] = end


def special_spelling(special: str) -> bytes | None:
    """The bytes that byte-level text would have to hold to spell this special token; None where no text does."""
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    return bytes(byte_of[c] for c in special) if all(c in byte_of for c in special) else None


def spellings_of(tokens: pa.LargeBinaryArray, special: Mapping[int, str], merges: np.ndarray, room: int) -> Spellings:
    """The spellings of the present tokens, with room for `room` in all.

    Args:
        tokens: large_binary, null for an id without a token.
        special: special tokens by id, inside or behind `tokens`. Each is entered as the bytes that text would spell it
            with, so that a merge that spells one is noticed.
        merges: int32 (M, 3), each of which makes a token of the next id behind all these.
        room: tokens in all, those to come included.
    """
    spelled = [token or b"" for token in tokens.to_pylist()]
    spelled += [b""] * (max(special, default=-1) + 1 - len(spelled))
    for number, text in special.items():
        spelled[number] = special_spelling(text) or b""
    for left, right, _ in merges.tolist():
        spelled.append(spelled[left] + spelled[right])
    starts = np.zeros(room + 1, np.int64)
    starts[1 : len(spelled) + 1] = np.cumsum([len(part) for part in spelled])
    data = np.frombuffer(b"".join(spelled), np.uint8).copy()
    spellings = Spellings(data, starts, np.zeros(1 << (4 * room).bit_length(), np.int32))
    enter_spellings(spellings, len(spelled))
    return spellings


def with_room(spellings: Spellings, tokens: int) -> Spellings:
    """The spellings with room for one more of any pair at least, and usually for all that will come."""
    starts = spellings.starts
    longest = int(np.diff(starts[: tokens + 1]).max())
    needed = int(starts[tokens]) + 2 * longest + 16 * (len(starts) - tokens)
    data = spellings.data
    return spellings._replace(data=np.concatenate([data, np.zeros(max(0, needed - len(data)), np.uint8)]))


def spelled_tokens(spellings: Spellings, first: int, end: int) -> pa.LargeBinaryArray:
    """The bytes of tokens `first` to `end`, that one not included."""
    starts = spellings.starts[first : end + 1]
    data = spellings.data[starts[0] : starts[-1]]
    buffers = [None, pa.py_buffer((starts - starts[0]).tobytes()), pa.py_buffer(data.tobytes())]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), end - first, buffers)
