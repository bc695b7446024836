"""Spans in documents: borders of characters, bytes covered, text cut out."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.spans import Spans, covered_bytes, cut, gather_bytes, to_characters

TEXTS = st.lists(st.text("aé語𝄞\n", max_size=12), min_size=1, max_size=4)


@st.composite
def spanned(draw):
    """Texts, and spans of bytes in them, sorted, overlapping or not."""
    texts = draw(TEXTS)
    rows = []
    for row, text in enumerate(texts):
        size = len(text.encode())
        for _ in range(draw(st.integers(0, 3))):
            start = draw(st.integers(0, size))
            rows.append((row, start, draw(st.integers(start, size))))
    columns = np.array(sorted(rows), np.int64).reshape(-1, 3).T
    return texts, Spans(*columns)


def bytes_covered(texts, spans):
    masks = [np.zeros(len(text.encode()), bool) for text in texts]
    for row, start, end in zip(*spans, strict=True):
        masks[row][start:end] = True
    return masks


@settings(deadline=None, max_examples=300)
@given(spanned())
def test_a_span_gives_up_the_characters_that_it_holds_in_part(case):
    texts, spans = case
    shrunk = to_characters(pa.array(texts, pa.large_string()), spans)
    for row, start, end, left, right in zip(*spans, shrunk.starts, shrunk.ends, strict=True):
        borders = [len(texts[row][:i].encode()) for i in range(len(texts[row]) + 1)]
        inner = [border for border in borders if start <= border <= end]
        if len(inner) > 1:
            assert (left, right) == (inner[0], inner[-1])
        else:
            assert left == right


@settings(deadline=None, max_examples=300)
@given(spanned())
def test_what_is_left_is_what_no_span_covers_and_valid_text(case):
    texts, spans = case
    array = pa.array([*texts, "unread"], pa.large_string())[: len(texts)]
    spans = to_characters(array, spans)
    left = cut(array, spans)
    left.validate(full=True)
    masks = bytes_covered(texts, spans)
    expected = [
        bytes(np.frombuffer(text.encode(), np.uint8)[~mask]).decode() for text, mask in zip(texts, masks, strict=True)
    ]
    assert left.to_pylist() == expected
    assert covered_bytes(len(texts), spans).tolist() == [int(mask.sum()) for mask in masks]


def test_stretches_are_gathered_in_order():
    data = np.frombuffer(b"abcdefgh", np.uint8)
    offsets, out = gather_bytes(data, np.array([3, 0, 7]), np.array([2, 0, 1]))
    assert offsets.tolist() == [0, 2, 2, 3] and bytes(out) == b"deh"
