"""ShardLoader as a dataset of torch's: the same batches in the same order for any number of workers, and resumed."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from corpusmill.dataproc.errors import UserError
from corpusmill.training.loader.batch import Batch, join_batches
from corpusmill.training.loader.shard_loader import ShardLoader
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.order.plan import Phase, Plan
from tests.training.shardmaker import write_grouped_set, write_shard_set

ENDING = Plan((Phase({"web": 0.7, "code": 0.3}, sequences=47),))


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    groups = {"web": 30, "code": 11, "books": 20}
    return write_grouped_set(tmp_path_factory.mktemp("shards") / "grouped", groups)


def workers_loader(loader: ShardLoader, workers: int, **more: Any) -> DataLoader:
    return DataLoader(loader, batch_size=None, num_workers=workers, **more)


def rows_of(batches: Any, count: int | None = None) -> list[int]:
    rows: list[int] = []
    for number, batch in enumerate(batches, 1):
        rows += batch.rows.tolist()
        if number == count:
            break
    return rows


def equal(batch: Batch, other: Batch) -> bool:
    tensors = ("tokens", "segments", "position_ids", "labels", "cu_seqlens", "document_mask")
    same = [torch.equal(getattr(batch, name), getattr(other, name)) for name in tensors]
    return all(same) and (batch.rows == other.rows).all() and batch.sequences_consumed == other.sequences_consumed


# Batches


@pytest.mark.parametrize("storage", ["plain", "packed", "zstd"])
def test_a_batch_is_the_same_after_pickling(tmp_path: Path, storage: str):
    loader = ShardLoader(write_shard_set(tmp_path / "shards", storage=storage), 5)
    for batch in (next(loader), next(loader)):
        again = pickle.loads(pickle.dumps(batch))  # noqa: S301 - our own, of a moment ago
        assert equal(batch, again)
    assert again.sequences_consumed == 10


def test_labels_and_borders_follow_from_the_documents(grouped: Path):
    batch = next(ShardLoader(grouped, 4))
    for row, lengths in enumerate(batch.segment_lengths):
        firsts = [0, *lengths.cumsum().tolist()]
        wanted = batch.tokens[row].clone()
        wanted[firsts[:-1]] = -100
        wanted[firsts[-1] :] = -100
        assert torch.equal(batch.labels[row], wanted)
    assert batch.cu_seqlens.dtype == torch.int32
    begins = torch.nonzero(batch.position_ids.reshape(-1) == 0).reshape(-1).tolist()
    assert batch.cu_seqlens.tolist() == [*begins, 4 * 32]


def test_batches_joined_are_one_of_all_their_sequences(grouped: Path):
    loader = ShardLoader(grouped, 2)
    joined = join_batches([next(loader), next(loader)])
    loader.sequences_consumed = 0
    assert equal(joined, join_batches([ShardLoader(grouped, 4).__next__()]))
    assert joined.to("cpu").sequences_consumed == 4


# Workers


@pytest.mark.parametrize("plan", [None, ENDING])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_order_is_the_same_for_any_number_of_workers(grouped: Path, plan, workers: int):
    for rank in range(2):
        assert_same_order(grouped, plan, rank, workers)


@pytest.mark.slow
def test_it_is_the_same_in_workers_that_are_spawned_and_not_forked(grouped: Path):
    assert_same_order(grouped, ENDING, 1, 2, multiprocessing_context="spawn")


def assert_same_order(folder: Path, plan: Plan | None, rank: int, workers: int, **more: Any) -> None:
    expected = ShardLoader(folder, 3, rank, 2, seed=4, plan=plan)
    loader = ShardLoader(folder, 3, rank, 2, seed=4, plan=plan)
    actual = 0
    for batch, wanted in zip(workers_loader(loader, workers, **more), expected, strict=plan is not None):
        assert equal(batch, wanted)
        assert loader.state_after(batch) == expected.state()
        actual += 1
        if actual == 20:
            break
    assert actual == (20 if plan is None else 7)


def test_a_loader_that_made_batches_ahead_may_be_handed_to_workers(grouped: Path):
    loader = ShardLoader(grouped, 3, prefetch=2)
    expected = ShardLoader(grouped, 3).order(0, 60).tolist()
    assert rows_of(loader, 4) == expected[:12]
    assert rows_of(workers_loader(loader, 2), 6) == expected[12:30]
    assert rows_of(loader, 2) == expected[12:18]
    loader.close()


@pytest.mark.parametrize("persistent", [False, True])
def test_a_plan_is_read_once_an_epoch_however_many_workers_there_are(grouped: Path, persistent: bool):
    once = rows_of(ShardLoader(grouped, 3, plan=ENDING))
    assert len(once) == 45
    alone = workers_loader(ShardLoader(grouped, 3, plan=ENDING), 0)
    several = workers_loader(ShardLoader(grouped, 3, plan=ENDING), 2, persistent_workers=persistent)
    for _ in range(2):
        assert rows_of(alone) == once
        assert rows_of(several) == once


def test_a_loop_that_was_left_goes_on_after_its_last_batch_with_other_workers(grouped: Path):
    expected = ShardLoader(grouped, 3, seed=2).order(0, 90).tolist()
    actual: list[int] = []
    state = None
    for workers in (2, 0, 3, 1):
        loader = ShardLoader(grouped, 3, seed=2)
        if state is not None:
            loader.load_state(state)
        for number, batch in enumerate(workers_loader(loader, workers), 1):
            actual += batch.rows.tolist()
            if number == 5:
                state = loader.state_after(batch)
                break
    assert actual == expected[:60]


def test_a_loader_and_its_shards_may_be_pickled(grouped: Path):
    loader = ShardLoader(grouped, 4, plan=ENDING, prefetch=1)
    assert isinstance(loader, IterableDataset)
    rows_of(loader, 2)
    again = pickle.loads(pickle.dumps(loader))  # noqa: S301
    assert again.state_dict() == loader.state_dict() and rows_of(again, 3) == rows_of(loader, 3)
    shards = pickle.loads(pickle.dumps(ShardSet(grouped)))  # noqa: S301
    assert len(shards) == 61 and torch.equal(
        shards.read(again.order(0, 40)).tokens, shards.read(again.order(0, 40)).tokens
    )
    loader.close()
    again.close()


def test_a_batch_of_no_order_has_no_state(grouped: Path):
    loader = ShardLoader(grouped, 4)
    with pytest.raises(ValueError, match="of no order"):
        loader.state_after(loader.shards.read(loader.order(0, 4)))


# torchdata's loader, which asks datasets for their states


def stateful(loader: ShardLoader, workers: int, **more: Any) -> Any:
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")
    return torchdata.StatefulDataLoader(loader, batch_size=None, num_workers=workers, **more)


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("every", [1, 4])
def test_a_stateful_loader_resumes_in_the_middle_exactly(grouped: Path, workers: int, every: int):
    straight = rows_of(ShardLoader(grouped, 3, plan=ENDING))
    for taken in (0, 1, 5, 14):
        before = stateful(ShardLoader(grouped, 3, plan=ENDING), workers, snapshot_every_n_steps=every)
        first = iter(before)
        actual = [row for _ in range(taken) for row in next(first).rows.tolist()]
        state = pickle.loads(pickle.dumps(before.state_dict()))  # noqa: S301 - as a checkpoint keeps it
        del first, before
        after = stateful(ShardLoader(grouped, 3, plan=ENDING), workers, snapshot_every_n_steps=every)
        after.load_state_dict(state)
        assert actual + rows_of(after) == straight
        assert rows_of(after) == straight  # the epoch after it is a whole one
        if (workers, every) != (2, 1) and taken == 5:
            break  # each of them starts processes


def test_a_stateful_loader_with_other_workers_is_refused_in_one_line(grouped: Path):
    before = stateful(ShardLoader(grouped, 3), 2)
    assert len(rows_of(before, 5)) == 15
    state = before.state_dict()
    after = stateful(ShardLoader(grouped, 3), 3)
    after.load_state_dict(state)
    with pytest.raises(
        UserError, match=r"the state is of worker (\d) of 2, and this is worker \1 of 3.*state_after"
    ) as caught:
        next(iter(after))
    assert "\n" not in str(caught.value)


def test_a_state_of_a_worker_or_of_another_order_is_refused(grouped: Path):
    loader = ShardLoader(grouped, 3)
    with pytest.raises(UserError, match="worker 1 of 2, and this is no worker"):
        loader.load_state_dict(loader.state_dict() | {"number": 1, "workers": 2})
    with pytest.raises(UserError, match="the state is of the order"):
        loader.load_state_dict(ShardLoader(grouped, 3, seed=9).state_dict())
    loader.load_state_dict(ShardLoader(grouped, 1).state() | {"sequences_consumed": 6})
    assert loader.sequences_consumed == 6
