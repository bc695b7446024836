"""Cutting into documents: at items, end tokens and told segments; padding is left out; strange ids are errors."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange.documents import cut_documents, document_ids
from corpusmill.dataproc.exchange.pieces import Tokens
from corpusmill.dataproc.sequences.shards import SpecialIds
from tests.dataproc.exchange.shardset import EOS, PAD, VOCAB

SPECIAL = SpecialIds(eos=EOS, pad=PAD, fim_begin=92, fim_hole=93, fim_end=94)


def tokens(items, lengths=None, first=0, dtype=np.int32):
    offsets = np.cumsum([0, *map(len, items)])
    segments = None
    if lengths is not None:
        segments = (np.cumsum([0, *map(len, lengths)]), np.array([token for row in lengths for token in row], np.int32))
    return Tokens(first, offsets, np.array([token for item in items for token in item], dtype), segments)


def cut(items, lengths=None, special=SPECIAL, add_eos=False, **more):
    documents = cut_documents(tokens(items, lengths, **more), special, VOCAB, add_eos=add_eos, path="f")
    pairs = zip(documents.offsets[:-1], documents.offsets[1:], strict=True)
    return documents, [documents.tokens[a:b].tolist() for a, b in pairs]


def reference(items, lengths, special, add_eos):
    """The rules, item by item."""
    documents = []
    for number, item in enumerate(items):
        if lengths is not None:
            stops = np.cumsum(lengths[number]).tolist()
            item = item[: stops[-1]] if stops else []
        else:
            stops, had = [], len(item)
            while item and item[-1] == special.pad:
                item = item[:-1]
            if special.pad == special.eos and len(item) < had:
                item = [*item, special.eos]
        document = []
        for place, token in enumerate(item, 1):
            document.append(token)
            if token == special.eos or place in stops or place == len(item):
                documents.append(document + [special.eos] * (add_eos and token != special.eos))
                document = []
    return documents


ITEMS = st.lists(st.lists(st.sampled_from([1, 2, 3, EOS, EOS]), max_size=12), max_size=8)


@given(ITEMS, st.lists(st.integers(0, 4), min_size=8, max_size=8), st.booleans(), st.booleans(), st.data())
def test_documents_are_those_of_the_rules(items, pads, add_eos, has_lengths, data):
    lengths = None
    if has_lengths:
        lengths = []
        for item in items:
            cuts = sorted({0, len(item), *data.draw(st.lists(st.integers(0, len(item)), max_size=3))})
            lengths.append([b - a for a, b in pairwise(cuts)])
    items = [item + [PAD] * pad for item, pad in zip(items, pads, strict=False)]
    cut_items, documents = cut(items, lengths, add_eos=add_eos)
    assert documents == reference(items, lengths, SPECIAL, add_eos)
    assert cut_items.padding == sum(item.count(PAD) for item in items)


@given(ITEMS, st.booleans())
def test_where_pad_and_end_are_one_id_the_first_of_a_run_is_the_end(items, add_eos):
    special = SpecialIds(eos=EOS, pad=EOS)
    assert cut(items, special=special, add_eos=add_eos)[1] == reference(items, None, special, add_eos)


def test_documents_know_their_item_their_number_and_their_markers():
    cut_items, documents = cut([[1, EOS, 2, EOS], [92, 3, 93, 94, EOS], [], [5]], first=7)
    assert documents == [[1, EOS], [2, EOS], [92, 3, 93, 94, EOS], [5]]
    assert document_ids(cut_items, "web/f").to_pylist() == ["web/f#7.0", "web/f#7.1", "web/f#8", "web/f#10"]
    assert cut_items.fim.tolist() == [False, False, True, False]


def test_where_there_are_no_items_the_place_of_a_token_is_the_name():
    read = tokens([[1, EOS, 2, 3, EOS]], first=100)._replace(has_items=False)
    documents = cut_documents(read, SPECIAL, VOCAB, add_eos=False, path="f")
    assert document_ids(documents, "web/f").to_pylist() == ["web/f#100", "web/f#102"]
    with pytest.raises(UserError, match="f, token 101: token id 90 is outside"):
        cut_documents(read, SPECIAL, 3, add_eos=False, path="f")


def test_documents_without_an_end_get_one_only_if_asked():
    assert cut([[1], [2, EOS]])[1] == [[1], [2, EOS]]
    cut_items, documents = cut([[1], [2, EOS], [3, 4]], add_eos=True)
    assert documents == [[1, EOS], [2, EOS], [3, 4, EOS]] and cut_items.ended == 2


def test_nothing_gives_no_documents():
    for items in ([], [[]], [[PAD, PAD]]):
        cut_items, documents = cut(items, add_eos=True)
        assert documents == [] and len(cut_items) == 0 and document_ids(cut_items, "a").to_pylist() == []


@pytest.mark.parametrize(
    ("items", "more", "line"),
    [
        ([[1], [2, 95]], {}, "f, item 8, token 1: token id 95 is outside the vocabulary of 95; name the tokenizer"),
        ([[1], [-1]], {}, "f, item 8, token 0: token id -1 is outside"),
        ([[1], [1 << 40]], {"dtype": np.int64}, f"token id {1 << 40} is outside"),
        ([[1], [2, PAD, 3]], {}, "f, item 8, token 1: the pad token 91 stands inside a document"),
        ([[1], [2]], {"lengths": [[1], [2]]}, "f, item 8: segment lengths do not match the tokens"),
        ([[1], [2, 3]], {"lengths": [[1], [3, -1]]}, "f, item 8: segment lengths do not match the tokens"),
    ],
)
def test_ids_of_another_tokenizer_are_one_line_with_their_place(items, more, line):
    with pytest.raises(UserError) as caught:
        cut(items, first=7, **more)
    assert line in str(caught.value) and "\n" not in str(caught.value)
