from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dataproc.errors import UserError
from tests.training.shardmaker import PAD, patterned_rows, write_shard
from training.data import ShardLoader, ShardSet, held_back
from training.permutation import permute


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_a_permutation_is_a_bijection(size, key):
    found = permute(np.arange(size), size, key)
    assert np.array_equal(np.sort(found), np.arange(size))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2**45), st.integers(0, 2**64 - 1), st.integers(0, 2**31))
def test_a_permutation_of_many_stays_in_range_without_repeats(size, key, start):
    positions = np.unique(np.minimum(np.arange(start, start + 200), size - 1))
    found = permute(positions, size, key)
    assert found.min() >= 0 and found.max() < size and len(np.unique(found)) == len(positions)


def test_a_permutation_shuffles_well():
    size = 1000
    orders = np.stack([permute(np.arange(size), size, key) for key in range(200)])
    # Each place holds each tenth of the values about equally often, and neighbours are not kept together.
    tenths = np.stack([np.bincount(orders[:, place] * 10 // size, minlength=10) for place in (0, 1, 499, 999)])
    assert ((tenths - 20) ** 2 / 20).sum(1).max() < 35
    assert (np.abs(np.diff(orders, axis=1)) == 1).mean() < 0.005
    assert len({tuple(order[:4]) for order in orders}) == 200


def test_small_permutations_reach_every_order():
    assert len({tuple(permute(np.arange(3), 3, key).tolist()) for key in range(300)}) == 6


def test_rows_come_back_as_they_were_written(shard_folder: Path):
    shards = ShardSet(shard_folder)
    rows = patterned_rows(40, 32, 0)
    expected = [row for number in range(3) for row in rows[number::3]]
    assert len(shards) == 40 and shards.sequence_length == 32
    batch = shards.read(np.array([39, 0, 17]))
    assert batch.tokens.dtype == torch.int64 and batch.tokens.shape == (3, 32)
    for place, row in enumerate((39, 0, 17)):
        flat = [token for part in expected[row] for token in part]
        assert batch.tokens[place].tolist() == flat + [PAD] * (32 - len(flat))
        assert batch.segment_lengths[place].tolist() == [len(part) for part in expected[row]]
        numbers = [number for number, part in enumerate(expected[row]) for _ in part]
        assert batch.segments[place].tolist() == numbers + [-1] * (32 - len(flat))
        assert batch.valid[place].sum() == len(flat)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_the_global_order_is_the_same_for_any_world_size(shard_folder: Path, world_size: int):
    alone = ShardLoader(shard_folder, 1, seed=4)
    expected = [int(next(alone).rows[0]) for _ in range(90)]
    ranks = [ShardLoader(shard_folder, 5, rank, world_size, seed=4) for rank in range(world_size)]
    found: list[int] = []
    while len(found) < 90:
        for rank in ranks:
            found += next(rank).rows.tolist()
    assert found[:90] == expected
    assert all(rank.sequences_consumed == len(found) for rank in ranks)


def test_an_epoch_holds_each_sequence_once_and_the_next_is_shuffled_anew(shard_folder: Path):
    order = ShardLoader(shard_folder, 8, seed=1).order(0, 80)
    assert sorted(order[:40]) == list(range(40)) == sorted(order[40:])
    assert order[:40].tolist() != order[40:].tolist()
    assert order.tolist() != ShardLoader(shard_folder, 8, seed=2).order(0, 80).tolist()


def test_one_integer_resumes_on_another_number_of_ranks(shard_folder: Path):
    before = ShardLoader(shard_folder, 4, seed=1)
    straight = [next(before).rows.tolist() for _ in range(20)]
    resumed = [ShardLoader(shard_folder, 2, rank, 2, seed=1) for rank in range(2)]
    for rank in resumed:
        rank.sequences_consumed = 24
    found = [[row for rank in resumed for row in next(rank).rows.tolist()] for _ in range(14)]
    assert found == straight[6:]


def test_held_back_sequences_are_apart(shard_folder: Path):
    apart = held_back(shard_folder)
    assert apart is not None and len(apart) == 9 and len(ShardSet(shard_folder)) == 40
    assert held_back(shard_folder / "validation") is None


def test_missing_empty_and_broken_shards_are_the_users_to_mend(tmp_path: Path, shard_folder: Path):
    with pytest.raises(UserError, match="no token shards"):
        ShardSet(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no token shards"):
        ShardSet(tmp_path / "empty")
    write_shard(tmp_path / "zero" / "shard-00000.arrow", [], 32)
    with pytest.raises(UserError, match="no sequence"):
        ShardSet(tmp_path / "zero")
    with pytest.raises(UserError, match="fewer than a batch of 42"):
        ShardLoader(shard_folder, 21, 0, 2)
    broken = shard_folder / "shard-00001.arrow"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match="shard-00001"):
        ShardSet(shard_folder)


def test_shards_of_different_length_are_refused(shard_folder: Path):
    write_shard(shard_folder / "shard-00009.arrow", patterned_rows(3, 16, 0), 16)
    with pytest.raises(UserError, match="sequence_length"):
        ShardSet(shard_folder)
