"""Marks of citations, held against the expression that defines them."""

import re
import sys
import unicodedata

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.rewriting.citation_marks import ZEROS
from corpusmill.dataproc.rewriting.citations import Citations

CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
PIECES = (
    "[",
    "]",
    "1",
    "23",
    "[edit]",
    "[citation needed]",
    "[citation",
    " needed]",
    "a",
    "\n",
    "٣",
    "९",
    "²",
    "é",
    "[]",
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=20).map("".join)


def batch_of(texts: list[str], kind: str = "prose") -> pa.RecordBatch:
    return pa.record_batch(
        {"text": pa.array(texts, pa.large_string()), "kind": pa.array([kind] * len(texts), pa.string())}
    )


@settings(deadline=None, max_examples=300)
@given(st.lists(TEXTS, max_size=4))
def test_what_goes_is_what_the_expression_finds(texts):
    rewritten = Citations().rewrite(batch_of(texts))
    assert rewritten.texts.to_pylist() == [CITATION.sub("", text) for text in texts]
    assert rewritten.numbers.column("citation_count").to_pylist() == [len(CITATION.findall(text)) for text in texts]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"[1]", b"[", b"]", b"\xff", b"\xe0\xa5", b"\xc3", b"edit", b"[edit]", b"7"])).map(
        b"".join
    )
)
def test_bytes_that_are_no_utf8_are_copied_as_they_are(data):
    raw = pa.array([data], pa.large_binary())
    texts = pa.LargeStringArray.from_buffers(1, raw.buffers()[1], raw.buffers()[2])
    rewritten = Citations().rewrite(pa.record_batch({"text": texts, "kind": ["prose"]})).texts
    assert rewritten.cast(pa.large_binary()).to_pylist() == [re.sub(rb"\[[0-9]*]|\[edit]", b"", data)]


def test_a_batch_without_marks_comes_back_as_it_is():
    batch = batch_of(["see [a] and [1, 2]", ""])
    assert Citations().rewrite(batch).texts is not None
    assert Citations().rewrite(batch).texts.buffers()[2].address == batch.column("text").buffers()[2].address


def test_an_index_in_code_is_no_citation():
    rewritten = Citations().rewrite(batch_of(["a[0] = []"], "code"))
    assert rewritten.texts.to_pylist() == ["a[0] = []"] and rewritten.numbers.column(0).to_pylist() == [0]


def test_the_digits_are_all_decimal_digits_of_unicode_14():
    digits = {zero + digit for zero in ZEROS for digit in range(10)}
    decimal = {code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Nd"}
    assert digits <= decimal
    if unicodedata.unidata_version == "14.0.0":
        assert digits == decimal
