"""Arrow's buffers as the arrays that kernels take."""

from typing import Any

import numpy as np
import pyarrow as pa


def read_only(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """A contiguous, aligned, unwritable view, or a copy where that takes one, with elements of `dtype` if it is given.

    Arrow's buffers are writable or not as they came to be, and numba compiles a kernel for each of the two: what goes
    into a kernel and is not written there goes through here.
    """
    view = np.require(array, dtype, ["C", "A"]).view(np.ndarray)[:]
    view.flags.writeable = False
    return view


def text_buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 of shape (N+1,), bytes uint8) of a string array, read-only, as views where Arrow's layout allows.

    Offsets index into the byte array as they are (they need not start at 0). Nulls are not allowed.
    """
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
