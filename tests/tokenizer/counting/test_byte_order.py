"""Strings come in the order of their bytes, whatever they begin with."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.tokenizer.counting.byte_order import byte_order
from corpusmill.tokenizer.pretokens import read_text

WORDS = st.one_of(
    st.binary(max_size=4),
    st.lists(st.sampled_from([b"\0", b"\xff", b"prefixes", b"a"]), max_size=5).map(b"".join),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(WORDS, st.integers(0, 3)), max_size=40, unique=True))
def test_as_python_sorts_bytes_and_then_groups(rows: list[tuple[bytes, int]]) -> None:
    offsets, data = read_text(pa.array([word for word, _ in rows], pa.large_binary()))
    order = byte_order(offsets, data, np.array([group for _, group in rows], np.int32))
    assert [rows[place] for place in order] == sorted(rows)


def test_a_slice_is_sorted_as_if_it_were_alone() -> None:
    words = pa.array([b"zz", b"longer than eight b", b"longer than eight a", b"longer th", b"a"], pa.large_binary())
    offsets, data = read_text(words[1:4])
    assert byte_order(offsets, data, np.zeros(3, np.int32)).tolist() == [2, 1, 0]
