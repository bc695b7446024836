"""tiktoken's rule, in which any pair may merge whose bytes are a token, as merges in a row: equal on every text."""

from itertools import pairwise, product

import numpy as np
import pyarrow as pa
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.tokenizer.formats.splits import all_pairs, merges_by_rank, same_by_rank
from corpusmill.tokenizer.vocabulary import Vocabulary

TEXTS = [b"".join(letters) for length in range(1, 9) for letters in product((b"a", b"b"), repeat=length)]
NO_MERGES = np.empty((0, 3), np.int32)


def of(tokens: list[bytes | None], merges: np.ndarray = NO_MERGES, whole_first: bool = False) -> Vocabulary:
    return Vocabulary(pa.array(tokens, pa.large_binary()), merges, 0, whole_first)


def by_rank(piece: bytes, ids: dict[bytes, int]) -> list[int]:
    """The ids by tiktoken's rule, slowly."""
    if piece in ids:
        return [ids[piece]]
    parts = [piece[place : place + 1] for place in range(len(piece))]
    while True:
        joined = [ids.get(left + right, len(ids)) for left, right in pairwise(parts)]
        if min(joined, default=len(ids)) == len(ids):
            return [ids[part] for part in parts]
        place = joined.index(min(joined))
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


def by_merges(piece: bytes, ids: dict[bytes, int], merges: np.ndarray, whole_first: bool) -> list[int]:
    """The ids by Hugging Face's rule, slowly."""
    if whole_first and piece in ids:
        return [ids[piece]]
    order = {(left, right): (row, whole) for row, (left, right, whole) in enumerate(merges.tolist())}
    never = (len(merges), 0)
    parts = [ids[piece[place : place + 1]] for place in range(len(piece))]
    while True:
        joined = [order.get(pair, never) for pair in pairwise(parts)]
        if min(joined, default=never) == never:
            return parts
        place = joined.index(min(joined))
        parts[place : place + 2] = [joined[place][1]]


tokens_of_two_letters = st.lists(st.text("ab", min_size=2, max_size=5), unique=True, max_size=12).flatmap(
    lambda longer: st.permutations([b"a", b"b", *(token.encode() for token in longer)])
)


@given(tokens_of_two_letters)
def test_merges_say_what_ranks_say(tokens: list[bytes]) -> None:
    ids = {token: number for number, token in enumerate(tokens)}
    merges = merges_by_rank(of(tokens))
    assert all(tokens[left] + tokens[right] == tokens[whole] for left, right, whole in merges.tolist())
    assert (np.diff(merges[:, 2]) > 0).all()
    for piece in TEXTS:
        assert by_merges(piece, ids, merges, whole_first=True) == by_rank(piece, ids)


def test_a_token_may_be_made_of_later_ones() -> None:
    tokens = [b"a", b"b", b"abb", b"bb", b"ab"]
    assert merges_by_rank(of(tokens)).tolist() == [[0, 3, 2], [1, 1, 3], [0, 1, 4]]


def test_a_token_that_its_own_bytes_do_not_reach_has_no_merge() -> None:
    tokens = [b"a", b"b", b"ab", b"bb", b"abb", b"aab"]  # aab becomes a, ab; and abb becomes ab, b
    assert merges_by_rank(of(tokens)).tolist() == [[0, 1, 2], [1, 1, 3], [2, 1, 4], [0, 2, 5]]
    tokens = [b"a", b"b", b"bb", b"ab", b"abab", b"bbab", b"babb"]  # babb becomes b, a, bb
    assert merges_by_rank(of(tokens)).tolist() == [[1, 1, 2], [0, 1, 3], [3, 3, 4], [2, 3, 5]]


@given(st.data())
def test_a_vocabulary_that_passes_for_the_same_is_the_same(data: st.DataObject) -> None:
    tokens = [b"a", b"b"]
    merges = []
    while len(tokens) < 9:  # any pairs, whether they are of use or not
        left, right = (data.draw(st.integers(0, len(tokens) - 1)) for _ in range(2))
        whole = tokens[left] + tokens[right]
        if whole in tokens:
            break
        tokens.append(whole)
        merges.append((left, right, len(tokens) - 1))
    rows = np.array(merges, np.int32).reshape(-1, 3)
    ids = {token: number for number, token in enumerate(tokens)}
    whole_first = data.draw(st.booleans())
    if same_by_rank(of(tokens, rows, whole_first)):
        for piece in TEXTS:
            assert by_merges(piece, ids, rows, whole_first) == by_rank(piece, ids)


def test_what_is_not_the_same() -> None:
    tokens = [b"a", b"b", b"c", b"bc", b"ab", b"abc"]
    same = np.array([(1, 2, 3), (0, 1, 4), (0, 3, 5)], np.int32)
    assert same_by_rank(of(tokens, same))
    unreached = np.array([(1, 2, 3), (0, 1, 4), (4, 2, 5)], np.int32)  # abc becomes a, bc before ab is made
    assert not same_by_rank(of(tokens, unreached))
    assert not same_by_rank(of(tokens, unreached, whole_first=True))
    assert not same_by_rank(of(tokens, same[::-1].copy()))  # merged in another order than ids are
    assert same_by_rank(of([*tokens, b"ca"], same, whole_first=True)) is False  # tiktoken merges c, a


def test_a_trained_vocabulary_is_the_same_by_rank(trained: Vocabulary) -> None:
    assert same_by_rank(trained)
    assert np.array_equal(merges_by_rank(trained), trained.merges)


def test_pairs_leave_special_tokens_and_gaps_alone() -> None:
    vocabulary = Vocabulary(pa.array([b"ab", b"b", b"a", None, b"ab"], pa.large_binary()), NO_MERGES, 1)
    assert all_pairs(vocabulary).tolist() == [[2, 1, 4]]


@pytest.mark.parametrize("tokens", [[b"aa", b"aaa", b"aaaa"], [b"ab", b"ba", b"aba", b"abab"]])
def test_the_slow_rule_is_tiktokens(tokens: list[bytes]) -> None:
    ids = {token: number for number, token in enumerate([*(bytes([byte]) for byte in range(256)), *tokens])}
    encoding = tiktoken.Encoding("test", pat_str=r"[\s\S]+", mergeable_ranks=ids, special_tokens={})
    for piece in TEXTS:
        assert encoding.encode_ordinary(piece.decode()) == by_rank(piece, ids)
