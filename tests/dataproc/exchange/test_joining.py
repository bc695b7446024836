"""Joining: whatever the packing cut, and wherever the pieces lie, every document comes back whole and once."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.exchange import items as module
from corpusmill.dataproc.exchange.items import sequence_items, shard_batches
from tests.dataproc.exchange.shardset import EOS, all_documents, expected_rows, lists_of, make_shards

bodies = st.lists(st.lists(st.integers(0, 89), max_size=40).map(lambda body: [*body, EOS]), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(bodies, st.integers(1, 9), st.integers(1, 4), st.sampled_from(["best-fit", "concat", "none"]), st.integers(1, 3))
def test_every_document_comes_back_whole_and_once(documents, length, rows, policy, partitions):
    with tempfile.TemporaryDirectory() as folder:
        shards = make_shards(Path(folder), documents, length, rows, policy)
        joined, missing = all_documents(shards, partitions)
    assert missing == 0
    assert sorted(document for items in joined for document in lists_of(items)) == sorted(documents)
    names = [segment for items in joined for (segment,) in items.segments.to_pylist()]
    assert sorted(int(name["document"].strip("d\n\\")) for name in names) == list(range(len(documents)))
    assert all(name["start"] == 0 for name in names)
    assert [name["length"] for name in names] == [len(document) for items in joined for document in lists_of(items)]


def test_documents_of_one_shard_stand_in_the_order_of_their_first_segments(tmp_path):
    documents = [[number, number, EOS] for number in range(9)]
    ((whole, *_), missing) = all_documents(make_shards(tmp_path, documents, length=7, rows=100))
    assert lists_of(whole) == [part for row in expected_rows(documents, 7) for part in split(row)] and not missing


@pytest.mark.parametrize("batch_tokens", [1, 4, 10, 1 << 20])
def test_items_are_handed_on_in_batches_of_whole_items(tmp_path, monkeypatch, batch_tokens):
    monkeypatch.setattr(module, "BATCH_TOKENS", batch_tokens)
    documents = [[number, number, EOS] for number in range(9)]
    whole = all_documents(make_shards(tmp_path, documents, length=7, rows=100))[0][0]
    batches = list(whole.batches())
    assert [document for batch in batches for document in lists_of(batch)] == lists_of(whole)
    assert [row for batch in batches for row in batch.segments.to_pylist()] == whole.segments.to_pylist()
    assert max(map(len, batches)) <= max(1, -(-batch_tokens // 3))


def split(row):
    cuts = [0, *(place + 1 for place, token in enumerate(row) if token == EOS)]
    return [row[a:b] for a, b in pairwise(cuts)]


def test_a_document_that_lacks_a_piece_is_written_as_far_as_it_goes_and_counted(tmp_path):
    document = [*range(20), EOS]
    shards = make_shards(tmp_path, [document], length=7, rows=1)
    joined, missing = all_documents([shards[0], shards[2]])
    assert sorted(piece for items in joined for piece in lists_of(items)) == [document[:7], document[14:]]
    assert missing == 2


@pytest.mark.parametrize("storage", ["plain", "packed", "zstd"])
@pytest.mark.parametrize("padding", [True, False])
def test_sequences_keep_or_lose_their_padding(tmp_path, storage, padding):
    documents = [[1, 2, EOS], [3, EOS], [4, 5, 6, 7, EOS]]
    shards = make_shards(tmp_path, documents, length=8, rows=9, storage=storage)
    (items,) = [sequence_items(*batch, padding=padding) for path in shards for batch in shard_batches(path)]
    rows = expected_rows(documents, 8)
    assert items.text_tokens == 10
    assert np.diff(items.offsets).tolist() == ([8] * len(rows) if padding else [len(row) for row in rows])
    assert [document[: len(row)] for document, row in zip(lists_of(items), rows, strict=True)] == rows
