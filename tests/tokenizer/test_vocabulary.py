"""A vocabulary finds its bytes wherever they are, and its first ids are the vocabulary of a shorter training."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.vocabulary import Vocabulary, alphabet

NO_MERGES = np.empty((0, 3), np.int32)


def of(tokens: list[bytes | None], specials: int = 0, merges: list[tuple[int, int, int]] | None = None) -> Vocabulary:
    rows = np.array(merges or [], np.int32).reshape(-1, 3)
    return Vocabulary(pa.array(tokens, pa.large_binary()), rows, specials)


@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_bytes_are_found_in_any_order_with_gaps_between(random: object, specials: int) -> None:
    tokens: list[bytes | None] = [*(bytes([byte]) for byte in range(256)), None, None, b"ab", b"\xff\xff"]
    random.shuffle(tokens)  # type: ignore[attr-defined]
    tokens = [*[b"a", b"b", b"<s>"][:specials], *tokens]  # a special token may be spelled like a byte
    byte_ids = of(tokens, specials).byte_ids()
    assert byte_ids.dtype == np.int32
    assert [tokens[number] for number in byte_ids] == [bytes([byte]) for byte in range(256)]
    assert byte_ids.min() >= specials


def test_a_byte_without_a_token_is_named() -> None:
    tokens = [bytes([byte]) for byte in range(256) if byte != 0xC0]
    with pytest.raises(UserError, match="no token for the byte 0xc0"):
        of([*tokens, b"\xc0\xc1"]).byte_ids()


@pytest.mark.parametrize("size", [259, 260, 500, 1999, 2999, 3000])
def test_a_prefix_is_what_training_for_that_size_gives(trained: Vocabulary, source_texts: list[str], size: int) -> None:
    counts = count_pretokens(pa.array(source_texts, pa.large_string()))
    first = [token.decode() for token in trained.tokens[: trained.specials].to_pylist()]
    shorter = train_merges(counts, size, first)
    prefix = trained.prefix(size)
    assert prefix.tokens.equals(shorter.tokens) and prefix.specials == shorter.specials
    assert np.array_equal(prefix.merges, shorter.merges)


def test_a_prefix_ends_with_the_last_new_token() -> None:
    tokens = [*(bytes([byte]) for byte in alphabet()), b"ab", b"abc", b"bc", b"abcd"]
    a, b, c, d = (alphabet().index(byte) for byte in b"abcd")
    merges = [(a, b, 256), (256, c, 257), (b, c, 258), (a, 258, 257), (257, d, 259)]
    vocabulary = replace(of(tokens, 0, merges), whole_first=True)
    assert vocabulary.prefix(259).merges.tolist() == [list(row) for row in merges[:3]]  # the fourth spells no new token
    assert vocabulary.prefix(258).merges.tolist() == [list(row) for row in merges[:2]]
    shorter = vocabulary.prefix(260)
    assert shorter.merges.tolist() == [list(row) for row in merges] and shorter.whole_first


def test_prefixes_that_there_are_not() -> None:
    vocabulary = of([b"<s>", *(bytes([byte]) for byte in range(256))], 1)
    assert vocabulary.prefix(257).tokens.equals(vocabulary.tokens)
    for size in (256, 258):
        with pytest.raises(UserError, match=f"no prefix of {size}; the smallest is 257"):
            vocabulary.prefix(size)
