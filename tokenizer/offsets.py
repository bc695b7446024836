"""Where each token lies in its document's text, in bytes or in characters, for whole arrays and only when asked for.

Offsets follow from the ids alone: tokens tile the bytes of a document, so a token starts where the one before it ends.
In characters they are what Hugging Face's byte-level offsets are: a token covers every character of which it holds a
byte, so where a character is spread over tokens each of them covers all of it, and their ranges overlap. The number of
characters begun before a token, and whether its first byte continues one, are all that takes; both are counted once
for each id of the vocabulary, and no text is looked at.

A special id covers its spelling, as it does where a trusted span spelled it (`trusted.py`). Text that splitting at
boundaries changed (`boundary.py`) has the same bytes, and so its ids have offsets, too.

Cost: about 3 ns and 16 bytes a token on top of encoding.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.pretokens import read_text

Unit = Literal["byte", "character"]
UNITS: tuple[Unit, ...] = ("byte", "character")


@dataclass(frozen=True)
class TokenOffsets:
    """Ids of N documents and where they lie.

    Attributes:
        ids: large_list<int32> (N,).
        starts, ends: large_list<int64> (N,), with the lists of `ids`: token k of a document is `text[start : end]`, of
            its UTF-8 bytes or of its characters.
    """

    ids: pa.LargeListArray
    starts: pa.LargeListArray
    ends: pa.LargeListArray


@kernel
def place_tokens(
    ids: np.ndarray, lists: np.ndarray, sizes: np.ndarray, begun: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> None:
    """Fills `starts` and `ends`, int64, one for each of the ids that the lists hold.

    Args:
        ids: int32; document d is `ids[lists[d] : lists[d + 1]]`.
        sizes: int64 (vocabulary,), units that begin within each id.
        begun: int64 (vocabulary,), 1 where an id's first unit began before it.
    """
    first = lists[0]
    for document in range(lists.shape[0] - 1):
        place = 0
        for token in range(lists[document], lists[document + 1]):
            starts[token - first] = place - begun[ids[token]]
            place += sizes[ids[token]]
            ends[token - first] = place


def character_starts(spellings: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(characters that begin within each spelling, 1 where its first byte continues one), int64 (N,) both.

    Args:
        spellings: large_binary (N,), null where an id has no token.
    """
    offsets, data = read_text(spellings.fill_null(b""))
    leads = (data & 0xC0) != 0x80
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(leads, dtype=np.int64)])
    continued = np.zeros(len(spellings), np.int64)
    filled = np.flatnonzero(np.diff(offsets))
    continued[filled] = ~leads[offsets[filled]]
    return np.diff(before[offsets]), continued


def token_offsets(tokenizer: Tokenizer, ids: pa.Array, unit: Unit = "byte") -> TokenOffsets:
    """Where the tokens of documents lie.

    Args:
        ids: list or large_list of int32, the ids of each document, from its first token on; all of the vocabulary.
        unit: "byte" of the document's UTF-8, or "character".
    """
    if unit not in UNITS:
        raise ValueError(f"a unit is one of {', '.join(UNITS)}")
    ids = ids.cast(pa.large_list(pa.int32()))
    if unit == "byte":
        sizes = pc.binary_length(tokenizer.spellings).fill_null(0).to_numpy().astype(np.int64)
        begun = np.zeros(len(sizes), np.int64)
    else:
        sizes, begun = character_starts(tokenizer.spellings)
    lists = ids.offsets.to_numpy()
    starts, ends = (np.empty(lists[-1] - lists[0], np.int64) for _ in range(2))
    place_tokens(
        *(read_only(ids.values.to_numpy()), read_only(lists), read_only(sizes), read_only(begun), starts, ends),
    )
    own = pa.array(lists - lists[0])
    return TokenOffsets(ids, *(pa.LargeListArray.from_arrays(own, pa.array(places)) for places in (starts, ends)))


def encode_with_offsets(tokenizer: Tokenizer, texts: pa.Array, unit: Unit = "byte") -> TokenOffsets:
    """`tokenizer.encode(texts)` and where each token lies; arguments as there and in `token_offsets`."""
    return token_offsets(tokenizer, tokenizer.encode(texts), unit)
