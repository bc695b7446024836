"""Arrow's buffers as the arrays that kernels take; and plain Python strings as Arrow's, for a few of them."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError, is_utf8

Texts: TypeAlias = "pa.Array | pa.ChunkedArray | Iterable[str]"
"""N texts: an Arrow array of strings, which is taken as it lies in memory, or any iterable of str, which is copied."""


def read_only(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """A contiguous, aligned, unwritable view, or a copy where that takes one, with elements of `dtype` if it is given.

    Arrow's buffers are writable or not as they came to be, and numba compiles a kernel for each of the two: what goes
    into a kernel and is not written there goes through here.
    """
    view = np.require(array, dtype, ["C", "A"]).view(np.ndarray)[:]
    view.flags.writeable = False
    return view


def text_array(texts: Texts) -> pa.Array:
    """Texts as one Arrow array: an array as it is, strings as large_string (0.1 microseconds each, and their copy).

    Raises UserError for what is no list of str, and for a string that UTF-8 cannot write (a lone surrogate).
    """
    if isinstance(texts, pa.Array):
        return texts
    if isinstance(texts, pa.ChunkedArray):
        return pa.concat_arrays(texts.chunks) if texts.num_chunks else pa.array([], texts.type)
    if isinstance(texts, str | bytes):
        raise UserError("one text was given where a list of texts is expected", hint="put it in a list: [text]")
    strings = list(texts)
    for number, text in enumerate(strings):
        if not isinstance(text, str):
            raise UserError(f"not text, but {type(text).__name__}", f"text {number}", "give strings")
    try:
        return pa.array(strings, pa.large_string())
    except (UnicodeEncodeError, pa.ArrowException) as error:
        number = next(number for number, text in enumerate(strings) if not is_utf8(text))
        what = "this text has a lone surrogate, which UTF-8 cannot write"
        raise UserError(what, f"text {number}", "decode its bytes with errors='replace'") from error


def text_buffers(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 of shape (N+1,), bytes uint8) of a string array, read-only, as views where Arrow's layout allows.

    Offsets index into the byte array as they are (they need not start at 0). Raises ValueError for nulls, and what
    `text_array` does.
    """
    texts = text_array(texts)
    if texts.null_count:
        raise ValueError("text must not be null")
    if not pa.types.is_large_string(texts.type) and not pa.types.is_large_binary(texts.type):
        texts = texts.cast(pa.large_binary() if pa.types.is_binary(texts.type) else pa.large_string())
    _, offset_buffer, data_buffer = texts.buffers()
    if len(texts) == 0 or offset_buffer is None:
        return read_only(np.zeros(1), np.int64), read_only(np.zeros(0), np.uint8)
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return read_only(offsets, np.int64), read_only(data, np.uint8)
