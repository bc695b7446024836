"""The Arrow copy of a vocabulary holds all of it, and a damaged one is a mistake that names it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.formats.vocabulary_file import SCHEMA, read_vocabulary_file, vocabulary_file
from corpusmill.tokenizer.special import SpecialToken
from corpusmill.tokenizer.vocabulary import Vocabulary

ADDED = (SpecialToken(0, "<｜x｜>", True), SpecialToken(9, "", False))
VOCABULARY = Vocabulary(
    pa.array([b"<x>", b"a", None, b"\xff\x00"], pa.large_binary()),
    np.array([[1, 1, 3], [3, 1, 1]], np.int32),
    1,
)


@pytest.mark.parametrize("merges", [VOCABULARY.merges, VOCABULARY.merges[:0]])
@pytest.mark.parametrize("whole_first", [True, False])
def test_all_of_it_comes_back(merges: np.ndarray, whole_first: bool) -> None:
    written = replace(VOCABULARY, merges=merges, whole_first=whole_first)
    read, added = read_vocabulary_file(vocabulary_file(written, ADDED), "here")
    assert read.tokens.equals(written.tokens) and added == ADDED
    assert read.merges.dtype == np.int32 and np.array_equal(read.merges, merges)
    assert (read.specials, read.whole_first) == (1, whole_first)


def test_slices_are_written_as_what_they_show() -> None:
    sliced = replace(VOCABULARY, tokens=VOCABULARY.tokens[1:], merges=VOCABULARY.merges[:0], specials=0)
    assert vocabulary_file(sliced, ()) == vocabulary_file(
        replace(sliced, tokens=pa.array(sliced.tokens.to_pylist(), pa.large_binary())), ()
    )
    assert read_vocabulary_file(vocabulary_file(sliced, ()), "here")[0].tokens.to_pylist() == [b"a", None, b"\xff\x00"]


def other(schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist([], schema=schema))
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ARROW1\x00\x00 and no more",
        vocabulary_file(VOCABULARY, ADDED)[:-20],
        other(SCHEMA),
        other(pa.schema({"x": pa.int8()})),
        vocabulary_file(replace(VOCABULARY, merges=np.array([[1, 1, 4]], np.int32)), ADDED),
        vocabulary_file(replace(VOCABULARY, merges=np.array([[-1, 1, 3]], np.int32)), ADDED),
    ],
)
def test_a_damaged_file_is_named(content: bytes) -> None:
    with pytest.raises(UserError, match=r"^folder/vocabulary\.arrow: damaged .*remove it"):
        read_vocabulary_file(content, "folder/vocabulary.arrow")
