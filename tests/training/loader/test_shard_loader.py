import gc
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_key
from corpusmill.training.loader import shard_set
from corpusmill.training.loader.batch import Batch
from corpusmill.training.loader.shard_loader import ShardLoader, held_back
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.attention import document_mask
from corpusmill.training.order.permutation import permute
from corpusmill.training.order.plan import Phase, Plan
from tests.training.shardmaker import (
    PAD,
    patterned_rows,
    write_grouped_set,
    write_manifest,
    write_shard,
    write_shard_set,
)

PLAN = Plan((Phase({"web": 0.7, "code": 0.3}, sequences=50), Phase({"books": 0.5, "web": 0.25, "code": 0.25})))


@pytest.fixture
def grouped(tmp_path: Path) -> Path:
    return write_grouped_set(tmp_path / "grouped", {"web": 30, "code": 11, "books": 20})


def rows_of(loader: ShardLoader, batches: int) -> list[int]:
    return [row for _ in range(batches) for row in next(loader).rows.tolist()]


# Reading


@pytest.mark.parametrize("storage", ["plain", "packed", "zstd"])
def test_rows_come_back_as_they_were_written_in_any_storage(tmp_path: Path, storage: str):
    shards = ShardSet(write_shard_set(tmp_path / "shards", storage=storage))
    rows = patterned_rows(40, 32, 0)
    expected = [row for number in range(3) for row in rows[number::3]]
    assert len(shards) == 40 and shards.sequence_length == 32
    for wanted in ([39, 0, 17], [5, 5], list(range(40))):
        batch = shards.read(np.array(wanted))
        assert batch.tokens.dtype == torch.int64 and batch.tokens.shape == (len(wanted), 32)
        for place, row in enumerate(wanted):
            flat = [token for part in expected[row] for token in part]
            assert batch.tokens[place].tolist() == flat + [PAD] * (32 - len(flat))
            assert batch.segment_lengths[place].tolist() == [len(part) for part in expected[row]]
            numbers = [number for number, part in enumerate(expected[row]) for _ in part]
            assert batch.segments[place].tolist() == numbers + [-1] * (32 - len(flat))
            assert batch.valid[place].sum() == len(flat)
    for (ids, lengths), row in zip(shards.token_rows(np.arange(40)), expected, strict=True):
        assert ids.dtype == np.int32 and lengths.tolist() == [len(part) for part in row]
        assert ids[: lengths.sum()].tolist() == [token for part in row for token in part]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(1, 4), max_size=4), min_size=1, max_size=5))
def test_segments_positions_and_mask_equal_those_counted_token_by_token(rows):
    width = 16
    lengths = [np.array(row, np.int32) for row in rows]
    batch = Batch(torch.zeros((len(rows), width), dtype=torch.int64), np.arange(len(rows)), lambda: lengths)
    segments, positions = [], []
    for row in rows:
        stretches = [*enumerate(row), (-1, width - sum(row))]
        segments.append([number for number, length in stretches for _ in range(length)])
        positions.append([place for _, length in stretches for place in range(length)])
    assert batch.segments.dtype == torch.int32 and batch.segments.tolist() == segments
    assert batch.position_ids.dtype == torch.int64 and batch.position_ids.tolist() == positions
    assert torch.equal(batch.valid, batch.segments >= 0)
    assert torch.equal(batch.document_mask, document_mask(batch.segments))


def test_a_set_opens_only_what_it_reads_and_closes_what_was_used_longest_ago(grouped: Path, monkeypatch):
    opened: list[str] = []
    real = shard_set.open_reader
    monkeypatch.setattr(shard_set, "open_reader", lambda path: opened.append(Path(path).name) or real(path))
    shards = ShardSet(grouped, open_shards=2)
    assert opened == ["shard-00000.arrow"] and len(shards) == 61 and len(shards.entries) == 9
    everything = ShardSet(grouped).read(np.arange(61)).tokens
    opened.clear()
    for wanted in ([0, 8, 1], [0, 16], [9], [0]):
        assert torch.equal(shards.read(np.array(wanted)).tokens, everything[wanted])
    assert opened == [f"shard-00000{part}.arrow" for part in ("_001", "_002", "_001", "")]
    order = np.random.default_rng(0).integers(0, 61, 500)
    assert torch.equal(shards.read(order).tokens, everything[order])


def test_decoded_batches_are_kept_within_their_bound(tmp_path: Path):
    folder = write_shard_set(tmp_path / "shards", storage="zstd")
    one = ShardSet(folder)
    everything = one.read(np.arange(40)).tokens
    assert len(one._decoded) == 6 and one._decoded_size == sum(part.bytes for part in one._decoded.values())
    small = ShardSet(folder, decoded_bytes=one._decoded_size // 2)
    for start in range(0, 40, 8):
        assert torch.equal(small.read(np.arange(start, start + 8)).tokens, everything[start : start + 8])
        assert small._decoded_size <= one._decoded_size // 2
    assert len(ShardSet(folder, decoded_bytes=0).read(np.arange(40)).segment_lengths) == 40


def test_lengths_may_be_asked_for_long_after_the_shard_was_closed(grouped: Path):
    shards = ShardSet(grouped, open_shards=1)
    early = shards.read(np.array([0, 60]))
    shards.read(np.arange(20))
    assert [lengths.tolist() for lengths in early.segment_lengths] == [
        ShardSet(grouped).segment_lengths(np.array([row]))[0].tolist() for row in (0, 60)
    ]


def test_rows_beyond_the_set_are_a_bug(grouped: Path):
    for row in (-1, 61):
        with pytest.raises(IndexError):
            ShardSet(grouped).read(np.array([0, row]))
        with pytest.raises(IndexError):
            ShardSet(grouped).segment_lengths(np.array([row]))


def test_held_back_sequences_are_apart(shard_folder: Path):
    apart = held_back(shard_folder)
    assert apart is not None and len(apart) == 9 and len(ShardSet(shard_folder)) == 40
    assert held_back(shard_folder / "_validation") is None
    write_manifest(shard_folder)
    again = held_back(shard_folder)
    assert again is not None and len(again) == 9 and len(ShardSet(shard_folder)) == 40


def test_missing_and_empty_folders_are_the_users_to_mend(tmp_path: Path, shard_folder: Path):
    with pytest.raises(UserError, match="no token shards"):
        ShardSet(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no token shards"):
        ShardSet(tmp_path / "empty")
    write_shard(tmp_path / "zero" / "shard-00000.arrow", [], 32)
    with pytest.raises(UserError, match="no sequence"):
        ShardSet(tmp_path / "zero")
    with pytest.raises(UserError, match="fewer than a batch of 42"):
        next(ShardLoader(shard_folder, 21, 0, 2))
    with pytest.raises(UserError, match="need a local cache"):
        ShardSet("memory://somewhere/shards")


def test_a_shard_that_does_not_fit_is_named_when_it_is_first_read(shard_folder: Path, grouped: Path):
    write_shard(shard_folder / "shard-00009.arrow", patterned_rows(3, 16, 0), 16)
    shards = ShardSet(shard_folder)
    assert len(shards.read(np.arange(40)).tokens) == 40
    with pytest.raises(UserError, match=r"shard-00009.arrow: this shard's sequence_length differs"):
        shards.read(np.arange(43))
    broken = grouped / "shard-00001.arrow"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match="shard-00001"):
        ShardSet(grouped).read(np.arange(61))
    write_shard(broken, patterned_rows(7, 32, 0), 32, group="code")
    with pytest.raises(UserError, match=r"shard-00001.*damaged .record batch 0 has 7 rows instead of 8"):
        ShardSet(grouped).read(np.arange(61))
    write_shard(broken, patterned_rows(8, 32, 0), 32, group="maths")
    with pytest.raises(UserError, match="of the group 'maths', the manifest says 'code'"):
        ShardSet(grouped).read(np.arange(61))


# The order


def test_without_a_plan_the_order_is_that_of_one_permutation_an_epoch(shard_folder: Path):
    loader = ShardLoader(shard_folder, 8, seed=3)
    for epoch in range(2):
        expected = permute(np.arange(40), 40, random_key(3, "order", f"epoch {epoch}"))
        assert loader.order(40 * epoch, 40).tolist() == expected.tolist()


@pytest.mark.parametrize("plan", [None, PLAN])
@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_the_global_batches_are_the_same_for_any_world_size(grouped: Path, world_size: int, plan, prefetch: int):
    alone = ShardLoader(grouped, 1, seed=4, plan=plan)
    expected = rows_of(alone, 120)
    ranks = [ShardLoader(grouped, 5, rank, world_size, 4, plan, prefetch=prefetch) for rank in range(world_size)]
    actual: list[int] = []
    while len(actual) < 120:
        for rank in ranks:
            actual += next(rank).rows.tolist()
    assert actual[:120] == expected
    assert all(rank.sequences_consumed == len(actual) for rank in ranks)


def test_an_epoch_holds_each_sequence_once_and_the_next_is_shuffled_anew(shard_folder: Path):
    order = ShardLoader(shard_folder, 8, seed=1).order(0, 80)
    assert sorted(order[:40]) == list(range(40)) == sorted(order[40:])
    assert order[:40].tolist() != order[40:].tolist()
    assert order.tolist() != ShardLoader(shard_folder, 8, seed=2).order(0, 80).tolist()


@pytest.mark.parametrize("plan", [None, PLAN])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_killed_run_resumes_with_the_same_next_batch_on_any_ranks(
    grouped: Path, plan, world_size: int, prefetch: int
):
    before = ShardLoader(grouped, 4, seed=1, plan=plan, prefetch=prefetch)
    rows_of(before, 6)
    state = before.state()
    assert state == {"sequences_consumed": 24, "plan": before.sequence_order.fingerprint}
    straight = rows_of(before, 24)
    tokens = before.shards.read(np.array(straight)).tokens
    resumed = [ShardLoader(grouped, 2, rank, world_size, 1, plan, prefetch=prefetch) for rank in range(world_size)]
    for rank in resumed:
        rank.load_state(state)
    batches = [next(rank) for _ in range(96 // (2 * world_size)) for rank in resumed]
    assert [row for batch in batches for row in batch.rows.tolist()] == straight
    assert torch.equal(torch.cat([batch.tokens for batch in batches]), tokens)


def test_a_state_of_another_order_is_refused(grouped: Path):
    state = ShardLoader(grouped, 4, seed=1, plan=PLAN).state()
    for other in (ShardLoader(grouped, 4, seed=2, plan=PLAN), ShardLoader(grouped, 4, seed=1)):
        with pytest.raises(UserError, match="the state is of the order") as caught:
            other.load_state(state)
        assert "\n" not in str(caught.value) and other.sequences_consumed == 0


@pytest.mark.parametrize("prefetch", [0, 2])
def test_setting_the_state_in_the_middle_moves_a_loader(grouped: Path, prefetch: int):
    loader = ShardLoader(grouped, 3, prefetch=prefetch)
    first = rows_of(loader, 10)
    loader.sequences_consumed = 3
    assert rows_of(loader, 9) == first[3:]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_plan_that_ends_ends_the_iteration_at_a_whole_global_batch(grouped: Path, prefetch: int):
    plan = Plan((Phase({"web": 1}, sequences=50),))
    for rank in range(2):
        loader = ShardLoader(grouped, 4, rank, 2, plan=plan, prefetch=prefetch)
        assert sum(1 for _ in loader) == 6 and loader.sequences_consumed == 48
        assert next(loader, None) is None


# Global batches of any size


def taken(loader: ShardLoader, sequences: int) -> list[int]:
    """The rows of a rank's share, whose batches are as the loader promises them."""
    before = loader.sequences_consumed
    batches = loader.take(sequences)
    sizes = [len(batch.rows) for batch in batches]
    assert all(size == loader.micro_batch for size in sizes[:-1])
    assert all(0 < size <= loader.micro_batch for size in sizes)
    assert loader.sequences_consumed == before + sequences
    for batch in batches:
        assert torch.equal(batch.tokens, loader.shards.read(batch.rows).tokens)
    return [row for batch in batches for row in batch.rows.tolist()]


@pytest.fixture(scope="module")
def one_set(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    groups = {"web": 30, "code": 11, "books": 20}
    return ShardSet(write_grouped_set(tmp_path_factory.mktemp("shards") / "grouped", groups))


@st.composite
def stretches(draw) -> tuple[list[int], int, int, int]:
    """Sizes of global batches that never shrink, and the ranks, micro-batch and prefetched batches that take them."""
    sizes = sorted(draw(st.lists(st.integers(1, 61), min_size=1, max_size=4)))
    return sizes, draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.sampled_from([0, 0, 1, 3]))


@settings(max_examples=60, deadline=None)
@given(st.lists(stretches(), min_size=1, max_size=3), st.sampled_from([None, PLAN]))
def test_the_shares_of_all_ranks_make_the_global_order_whatever_the_batch_and_the_ranks(one_set: ShardSet, run, plan):
    expected = ShardLoader(one_set, 1, seed=4, plan=plan)
    state = expected.state()
    position = 0
    for sizes, world_size, micro_batch, prefetch in run:  # each stretch resumes the one before on other ranks
        ranks = [
            ShardLoader(one_set, micro_batch, rank, world_size, 4, plan, prefetch=prefetch)
            for rank in range(world_size)
        ]
        for rank in ranks:
            rank.load_state(state)
        for size in sizes:
            shares = [taken(rank, size) for rank in ranks]
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
            assert [row for share in shares for row in share] == expected.order(position, size).tolist()
            position += size
        (state,) = {tuple(rank.state().items()) for rank in ranks}
        state = dict(state)
        for rank in ranks:
            rank.close()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches_taken_and_iterated_follow_each_other_in_one_order(grouped: Path, prefetch: int):
    loader = ShardLoader(grouped, 4, seed=2, prefetch=prefetch)
    actual = taken(loader, 10) + rows_of(loader, 2) + taken(loader, 10) + taken(loader, 10) + taken(loader, 3)
    loader.sequences_consumed = 5
    assert actual == loader.order(0, 41).tolist()
    assert taken(loader, 3) == actual[5:8]


def test_batches_of_the_same_size_are_made_ahead_and_of_another_made_again(grouped: Path, monkeypatch):
    read: list[list[int]] = []
    loader = ShardLoader(grouped, 2, prefetch=2)
    real = loader.shards.read
    monkeypatch.setattr(loader.shards, "read", lambda rows, pin: read.append(rows.tolist()) or real(rows, pin))
    order = loader.order(0, 61).tolist()
    loader.take(4)
    wait_until(lambda: len(read) == 5)  # two are in use, two wait, and one waits for its place
    assert [row for rows in read for row in rows] == order[:10]
    loader.take(4)
    wait_until(lambda: len(read) == 7)
    assert [row for rows in read for row in rows] == order[:14]
    read.clear()
    loader.take(6)
    assert read[:3] == [order[8:10], order[10:12], order[12:14]]
    loader.close()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_batch_that_the_plan_cannot_fill_is_refused_on_all_ranks_and_a_smaller_one_given(grouped, prefetch: int):
    plan = Plan((Phase({"web": 1}, sequences=50),))
    for rank in range(3):
        loader = ShardLoader(grouped, 4, rank, 3, plan=plan, prefetch=prefetch)
        loader.take(24)
        loader.take(24)
        with pytest.raises(UserError, match="the plan has 2 sequences left, and a batch is of 24") as caught:
            loader.take(24)
        assert "\n" not in str(caught.value) and loader.sequences_consumed == 48
        assert len(taken(loader, 2)) == (1 if rank < 2 else 0)
        with pytest.raises(UserError, match="the plan has 0 sequences left"):
            loader.take(1)


def test_only_the_batch_has_to_fit_the_shards_and_not_the_micro_batch_of_every_rank(grouped: Path):
    loader = ShardLoader(grouped, 50, 1, 2)
    assert len(taken(loader, 61)) == 30
    with pytest.raises(UserError, match="61 sequences are fewer than a batch of 62"):
        loader.take(62)
    with pytest.raises(UserError, match="61 sequences are fewer than a batch of 100"):
        next(loader)
    with pytest.raises(ValueError, match="0 sequences"):
        loader.take(0)


def test_an_error_in_the_background_leaves_the_batch_to_be_taken_again(grouped: Path):
    broken = grouped / "shard-00001.arrow"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    loader = ShardLoader(grouped, 2, prefetch=4)
    bad = next(place for place, row in enumerate(loader.order(0, 61).tolist()) if 30 <= row < 38)
    for _ in range(bad // 6):
        loader.take(6)
    with pytest.raises(UserError, match="shard-00001"):
        loader.take(6)
    assert loader.sequences_consumed == bad // 6 * 6 and prefetch_threads() == 0
    broken.write_bytes(whole)
    assert taken(loader, 6) == loader.order(bad // 6 * 6, 6).tolist()
    loader.close()


# Prefetching


def prefetch_threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def wait_until(law) -> None:
    deadline = time.monotonic() + 10
    while not law():
        assert time.monotonic() < deadline, "this did not come true within ten seconds"
        time.sleep(0.01)


def test_batches_made_ahead_are_not_counted_and_end_with_the_loader(grouped: Path):
    gc.collect()
    wait_until(lambda: prefetch_threads() == 0)
    loader = ShardLoader(grouped, 4, prefetch=3)
    assert prefetch_threads() == 0
    next(loader)
    ahead = loader._ahead
    assert ahead is not None
    wait_until(lambda: ahead._made.full())
    assert loader.sequences_consumed == 4 and prefetch_threads() == 1
    loader.close()
    assert prefetch_threads() == 0
    assert rows_of(loader, 3) == loader.order(4, 12).tolist() and prefetch_threads() == 1
    loader = ahead = None
    gc.collect()
    wait_until(lambda: prefetch_threads() == 0)


def test_an_error_in_the_background_reaches_the_consumer_in_its_turn(grouped: Path):
    broken = grouped / "shard-00001.arrow"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    loader = ShardLoader(grouped, 1, prefetch=4)
    before = loader.order(0, 200).tolist()
    bad = next(place for place, row in enumerate(before) if 30 <= row < 38)
    assert rows_of(loader, bad) == before[:bad]
    with pytest.raises(UserError, match="shard-00001"):
        next(loader)
    assert loader.sequences_consumed == bad and prefetch_threads() == 0
    broken.write_bytes(whole)
    assert rows_of(loader, 20) == before[bad : bad + 20]


def test_pinned_memory_is_asked_for_only_where_there_is_a_gpu(grouped: Path):
    batch = next(ShardLoader(grouped, 4, pin=True))
    assert batch.tokens.is_pinned() == torch.cuda.is_available()
