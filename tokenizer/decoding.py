"""Ids back to bytes and text: whole arrays at once, or as they come, one at a time.

A token may end inside a character, so bytes are what ids stand for; text is made of them at the end. Where bytes are no
UTF-8 (a model may say anything) each maximal broken stretch becomes one U+FFFD, as Unicode recommends and as both
Python and Hugging Face do it; `errors="strict"` refuses instead.

`StreamDecoder` gives text as soon as it is sure: an unfinished character waits for the next id, so what is given never
has to be taken back, and the parts together are the text that decoding all ids at once gives, however they are cut.

Special ids are spelled out, or left out where `hide_special`; hidden are those that a tokenizer file flags as special,
which of DeepSeek-V3's are all but FIM, roles and tools.

Cost: some 8 ns a token for arrays, a fifth of what encoding them takes.
"""

import codecs
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.encoder import Tokenizer

Errors = Literal["replace", "strict"]


def hidden_ids(tokenizer: Tokenizer) -> np.ndarray:
    """bool (vocab_size,), which ids readers that skip special tokens leave out."""
    hidden = np.zeros(tokenizer.vocab_size, bool)
    hidden[[token.id for token in tokenizer.special.tokens if token.special]] = True
    return hidden


def _spellings(tokenizer: Tokenizer, hide_special: bool) -> pa.LargeBinaryArray:
    """The bytes that each id gives, large_binary (vocab_size,); null where no token has it."""
    if not hide_special:
        return tokenizer.spellings
    return pc.if_else(pa.array(hidden_ids(tokenizer)), pa.scalar(b"", pa.large_binary()), tokenizer.spellings)


def _taken(spellings: pa.LargeBinaryArray, ids: np.ndarray) -> pa.LargeBinaryArray:
    """The bytes of each id. Raises UserError for an id that no token has."""
    if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= len(spellings)):
        raise UserError(f"there are {len(spellings):,} token ids; {ids.min()} to {ids.max()} were to be decoded")
    taken = spellings.take(pa.array(ids))
    if taken.null_count:
        raise UserError(f"no token has the id {ids[int(np.flatnonzero(taken.is_null())[0])]}")
    return taken


def decode_lists(tokenizer: Tokenizer, ids: pa.Array, *, hide_special: bool = False) -> pa.LargeBinaryArray:
    """The bytes of each list of ids, large_binary (N,); a cut character stays cut.

    Args:
        ids: list or large_list of integers (N,), without nulls.
        hide_special: leave special ids out rather than spell them.

    Raises UserError for an id that no token has.
    """
    lists = ids.offsets.to_numpy()
    numbers = ids.values.to_numpy()[lists[0] : lists[-1]]
    taken = _taken(_spellings(tokenizer, hide_special), numbers)
    _, offsets, data = taken.buffers()
    token_starts = np.frombuffer(offsets, np.int64)[taken.offset : taken.offset + len(taken) + 1] if len(taken) else [0]
    starts = np.asarray(token_starts, np.int64)[lists - lists[0]]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ids), [None, pa.py_buffer(starts), data])


def decode_texts(
    tokenizer: Tokenizer, ids: pa.Array, *, hide_special: bool = False, errors: Errors = "replace"
) -> pa.LargeStringArray:
    """The text of each list of ids, large_string (N,); arguments as of `decode_lists`.

    Bytes that are not UTF-8 become U+FFFD, one for each maximal broken stretch; with `errors="strict"` they raise a
    UserError that names the first such document.
    """
    return _texts(decode_lists(tokenizer, ids, hide_special=hide_special), errors, 0)


def _texts(documents: pa.LargeBinaryArray, errors: Errors, first: int) -> pa.LargeStringArray:
    """As text; documents are halved until those that are not UTF-8 stand alone, and Arrow reads all others at once."""
    try:
        return documents.cast(pa.large_string())
    except pa.ArrowInvalid as error:
        if len(documents) == 1:
            if errors == "strict":
                raise UserError("the ids do not spell UTF-8", where=f"document {first}") from error
            return pa.array([documents[0].as_py().decode(errors="replace")], pa.large_string())
    half = len(documents) // 2
    parts = _texts(documents[:half], errors, first), _texts(documents[half:], errors, first + half)
    return pa.concat_arrays(parts)


class StreamDecoder:
    """Text of ids as they come.

    Args:
        tokenizer: whose ids they are.
        hide_special: leave special ids out rather than spell them.
    """

    def __init__(self, tokenizer: Tokenizer, *, hide_special: bool = False) -> None:
        self._spellings = _spellings(tokenizer, hide_special)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, ids: int | Sequence[int] | np.ndarray) -> str:
        """The text that is certain now and was not before; perhaps none. Raises UserError for an id of no token."""
        numbers = np.atleast_1d(np.asarray(ids, np.int64))
        return self._decoder.decode(b"".join(_taken(self._spellings, numbers).to_pylist()))

    def finish(self) -> str:
        """The rest: U+FFFD for a character that never ended. The decoder is then as new."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
