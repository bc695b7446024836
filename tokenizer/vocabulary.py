"""What BPE training makes and encoding uses: the bytes of each id, and the merges in their order.

Ids that we train follow Hugging Face's trainer: special tokens, then the 256 bytes, then one for each merge that
spelled something new. The bytes are in the order of the characters that byte-level vocabularies (GPT-2's and all since)
write for them. A vocabulary from elsewhere may have its bytes anywhere, gaps among its ids, and the rule that a piece
that is a token as it stands is not merged (`whole_first`).
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError

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
    """A byte-level BPE model.

    Attributes:
        tokens: large_binary, the bytes of each id (of a special token: its spelling in UTF-8); null at ids that the
            model does not have, such as those of special tokens that stand among the others.
        merges: int32 (M, 3): left id, right id, id of the two together; earlier merges apply first.
        specials: how many of the first ids are special tokens, which no text yields.
        whole_first: a pretoken that is a token as it stands gets its id without merging.
    """

    tokens: pa.LargeBinaryArray
    merges: np.ndarray
    specials: int
    whole_first: bool = False

    def __len__(self) -> int:
        return len(self.tokens)

    def byte_ids(self) -> np.ndarray:
        """The id of each of the 256 bytes, int32. Raises UserError when one has none."""
        ordinary = self.tokens[self.specials :]
        numbers = np.flatnonzero(pc.fill_null(pc.equal(pc.binary_length(ordinary), 1), False).to_numpy(False))
        ids = np.full(256, -1, np.int32)
        spelled = b"".join(ordinary.take(pa.array(numbers)).to_pylist())
        ids[np.frombuffer(spelled, np.uint8)] = numbers + self.specials
        if len(missing := np.flatnonzero(ids < 0)):
            raise UserError(
                f"no token for the byte {missing[0]:#04x}", where="the vocabulary", hint="all 256 are needed"
            )
        return ids

    def prefix(self, size: int) -> "Vocabulary":
        """The vocabulary with the first `size` ids: what training stops at when asked for so many.

        Raises UserError when there are not so many, or the 256 bytes are not among them.
        """
        least = int(self.byte_ids().max()) + 1
        if not least <= size <= len(self):
            raise UserError(
                f"a vocabulary of {len(self):,} ids has no prefix of {size:,}", hint=f"the smallest is {least:,}"
            )
        kept = np.flatnonzero((self.merges < size).all(axis=1))
        # Training ends with the last new token: a merge that spelled an older one again came later, or not at all.
        _, first = np.unique(self.merges[kept, 2], return_index=True)
        kept = kept[: int(first.max(initial=-1)) + 1]
        return replace(self, tokens=self.tokens[:size], merges=self.merges[kept])
