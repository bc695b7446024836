"""What BPE training makes and encoding uses: the bytes of each id, and the merges in their order.

Ids follow Hugging Face's trainer: special tokens, then the 256 bytes, then one for each merge that spelled something
new. The bytes are in the order of the characters that byte-level vocabularies (GPT-2's and all since) write for them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

PRINTABLE = frozenset((*range(33, 127), *range(161, 173), *range(174, 256)))
"""Bytes that the byte-level alphabet spells as the character of the same number."""


@cache
def byte_characters() -> tuple[str, ...]:
    """The character that spells each byte: a printable one itself, the others U+0100 and on, in order."""
    others = iter(range(256, 512))
    return tuple(chr(byte) if byte in PRINTABLE else chr(next(others)) for byte in range(256))


@cache
def alphabet() -> tuple[int, ...]:
    """The 256 bytes in the order of their ids: by the character that spells them."""
    return tuple(sorted(range(256), key=byte_characters().__getitem__))


@dataclass(frozen=True)
class Vocabulary:
    """A trained byte-level BPE model.

    Attributes:
        tokens: large_binary, the bytes of each id (of a special token: its spelling in UTF-8).
        merges: int32 (M, 3): left id, right id, id of the two together; earlier merges apply first.
        specials: how many of the first ids are special tokens, which no text yields.
    """

    tokens: pa.LargeBinaryArray
    merges: np.ndarray
    specials: int

    def __len__(self) -> int:
        return len(self.tokens)

    def byte_ids(self) -> np.ndarray:
        """The id of each of the 256 bytes, int32."""
        ids = np.empty(256, np.int32)
        ids[list(alphabet())] = np.arange(self.specials, self.specials + 256)
        return ids
