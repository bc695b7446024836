"""What rows of Arrow batches take once they are decoded, which their buffers do not say.

A value of a dictionary, or of a run, is there once and stands in many rows; a list of nothing but nulls has no buffer.
So rows are weighed before anything is made of them. Cost and memory: a few numbers a row; what lists hold is
weighed by their offsets, without a number for each of their values, but for dictionaries inside lists.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

STRINGS = (
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(),
)  # fmt: skip
VIEWS = (pa.string_view(), pa.binary_view())
VALUE_BYTES = 8
_FIRST_PRINTED, _PRINTED = 32, 96
MOST_WEIGHED = 1 << 22
"""Beyond so many values in lists, the longest of a dictionary stands for each."""


def decoded_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """About how many bytes each row takes as plain values (int64 of shape (N,)): a dictionary's value in each row that
    names it, and `VALUE_BYTES` for a number, a list or a null, which are objects in `meta`."""
    starts = np.arange(batch.num_rows)
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        total += _spans(column, starts, starts + 1)
    return total


def spelled_bytes(column: pa.Array) -> int:
    """About how many bytes JSON adds to a column, all rows together: it spells a control character in six, and so do we
    a byte that is no text in five. A value that many rows name counts for each."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return spelled_bytes(column.storage)
    if pa.types.is_dictionary(kind):
        return spelled_bytes(column.dictionary_decode()) if kind.value_type in STRINGS else 0
    if pa.types.is_run_end_encoded(kind):
        return spelled_bytes(pc.run_end_decode(column))
    if pa.types.is_struct(kind):
        return sum(map(spelled_bytes, column.flatten()))
    if pa.types.is_map(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = _offsets(column)
        children = [column.keys, column.items] if pa.types.is_map(kind) else [column.values]
        first, length = int(offsets[0]), int(offsets[-1]) - int(offsets[0])
        return sum(spelled_bytes(child.slice(first, length)) for child in children)
    if pa.types.is_fixed_size_list(kind):
        return spelled_bytes(column.values.slice(column.offset * kind.list_size, len(column) * kind.list_size))
    if kind in VIEWS:
        column = column.cast(pa.large_binary())
    if pa.types.is_fixed_size_binary(kind):
        data = np.frombuffer(column.buffers()[1] or b"", np.uint8)
        data = data[column.offset * kind.byte_width : (column.offset + len(column)) * kind.byte_width]
    elif kind in STRINGS:
        offsets = _offsets(column)
        data = np.frombuffer(column.buffers()[2] or b"", np.uint8)[int(offsets[0]) : int(offsets[-1])]
    else:
        return 0
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    spelled = data < _FIRST_PRINTED if is_text else data - np.uint8(_FIRST_PRINTED) >= _PRINTED
    return 5 * int(np.count_nonzero(spelled))


def _spans(column: pa.Array, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The decoded bytes of the values `starts` to `stops` of a column, for each pair of them."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _spans(column.storage, starts, stops)
    own = VALUE_BYTES * (stops - starts)
    if kind in STRINGS:
        if kind in VIEWS:
            column = column.cast(pa.large_binary())
        return own + _between(_offsets(column), starts, stops)
    if pa.types.is_dictionary(kind):
        return own + _chosen(_sizes(column.dictionary), column.indices, starts, stops)
    if pa.types.is_run_end_encoded(kind):
        return own + _chosen(_sizes(column.values), column, starts, stops)
    if pa.types.is_struct(kind):
        return own + sum(
            (_spans(column.field(number), starts, stops) for number in range(kind.num_fields)), np.zeros_like(own)
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        offsets = _offsets(column)
        children = [column.keys, column.items] if pa.types.is_map(kind) else [column.values]
        inside = (_spans(child, offsets[starts], offsets[stops]) for child in children)
        return own + sum(inside, np.zeros_like(own))
    if pa.types.is_fixed_size_list(kind):
        first, size = column.offset, kind.list_size
        return own + _spans(column.values, (first + starts) * size, (first + stops) * size)
    if pa.types.is_fixed_size_binary(kind):
        return own + kind.byte_width * (stops - starts)
    if pa.types.is_primitive(kind) or pa.types.is_null(kind) or pa.types.is_decimal(kind):
        return own
    return own + column.get_total_buffer_size()  # unions and views of lists, whose rows may share all of it


def _sizes(column: pa.Array) -> np.ndarray:
    numbers = np.arange(len(column))
    return _spans(column, numbers, numbers + 1)


def _chosen(sizes: np.ndarray, column: Any, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """As `_spans`, for values that are chosen from others, whose `sizes` are given, by an index or by runs."""
    first, last = int(starts.min(initial=0)), int(stops.max(initial=0))
    if not len(sizes):
        return np.zeros(len(starts), np.int64)
    if last - first > MOST_WEIGHED:
        return int(sizes.max()) * (stops - starts)
    if pa.types.is_run_end_encoded(column.type):
        rows = np.arange(column.offset + first, column.offset + last)
        places = np.searchsorted(np.asarray(column.run_ends), rows, side="right")
    else:
        places = np.asarray(column.slice(first, last - first).fill_null(0).cast(pa.int64()))
    return _between(np.concatenate([[0], np.cumsum(sizes[places])]), starts - first, stops - first)


def _between(ends: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    return (ends[stops] - ends[starts]).astype(np.int64)


def _offsets(column: pa.Array) -> np.ndarray:
    """The offsets of strings or lists, one more than there are values."""
    kind = column.type
    wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) or pa.types.is_large_list(kind)
    buffer = column.buffers()[1]
    if buffer is None or not len(column):
        return np.zeros(len(column) + 1, np.int64)
    width: Any = np.int64 if wide else np.int32
    return np.frombuffer(buffer, width, len(column) + 1, column.offset * np.dtype(width).itemsize).astype(np.int64)
