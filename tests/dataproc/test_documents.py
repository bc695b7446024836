"""Addresses come apart as they were put together; text buffers are read-only views of any kind of string array."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.documents import address, split_address
from corpusmill.dataproc.kernels.buffers import read_only, text_buffers

KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()]


@given(st.integers(0, (1 << 32) - 1), st.lists(st.integers(0, (1 << 32) - 1), max_size=5))
def test_an_address_is_part_and_row(part: int, rows: list[int]) -> None:
    parts, back = split_address(address(part, np.array(rows, np.uint64)))
    assert back.tolist() == rows
    assert parts.tolist() == [part] * len(rows)


@given(st.lists(st.text(max_size=30), max_size=8), st.sampled_from(KINDS), st.data())
def test_buffers_hold_the_texts(texts: list[str], kind: pa.DataType, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(texts)))
    values = [text.encode() for text in texts] if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else texts
    offsets, content = text_buffers(pa.array(values, kind).slice(start))
    assert (offsets.dtype, content.dtype) == (np.int64, np.uint8)
    assert not offsets.flags.writeable and not content.flags.writeable
    got = [content[a:b].tobytes().decode() for a, b in itertools.pairwise(offsets)]
    assert got == texts[start:]


def test_large_strings_are_not_copied() -> None:
    texts = pa.array(["abc", "def"], pa.large_string())
    _, data = text_buffers(texts)
    assert data.ctypes.data == texts.buffers()[2].address


def test_null_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        text_buffers(pa.array(["a", None]))


def test_read_only_is_a_view_and_leaves_the_array_as_it_was() -> None:
    array = np.arange(4)
    view = read_only(array, np.int64)
    assert np.shares_memory(view, array)
    assert array.flags.writeable and not view.flags.writeable
    assert read_only(array[::2], np.int32).tolist() == [0, 2]
