from pathlib import Path
from typing import Any

import pytest
import torch

from corpusmill.dataproc.errors import UserError
from corpusmill.training.parallel.ranks import ALONE, join_ranks
from tests.training.two_processes import run_ranks


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_launcher_a_process_is_alone_and_waits_for_nobody():
    with join_ranks("cpu") as ranks:
        assert ranks == ALONE
        assert ranks.leads and ranks.alone
        ranks.barrier()
        assert ranks.same({"a": [1, None]}) == {"a": [1, None]}
        tensor = torch.tensor([1.0, 2.0])
        assert ranks.sum_(tensor) is tensor and tensor.tolist() == [1.0, 2.0]
    assert not torch.distributed.is_initialized()


def test_an_incomplete_launch_names_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="MASTER_ADDR, MASTER_PORT is not set"), join_ranks("cpu"):
        pass
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UserError, match="WORLD_SIZE is 'two'"), join_ranks("cpu"):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_a_users_mistake():
    with pytest.raises(UserError, match="no CUDA device"), join_ranks("cuda"):
        pass


def what_two_ranks_settle() -> dict[str, Any]:
    with join_ranks("cpu") as ranks:
        own = torch.tensor([ranks.rank + 1, 10 * ranks.rank])
        every_second = torch.zeros(4, dtype=torch.float32)[::2].fill_(ranks.rank + 0.5)
        results = {
            "rank": ranks.rank,
            "world_size": ranks.world_size,
            "leads": ranks.leads,
            "sum": ranks.sum_(own).tolist(),
            "sum of a view": ranks.sum_(every_second).tolist(),
            "same": ranks.same({"from": ranks.rank, "text": "ü" * (1 + 99 * ranks.rank), "none": None}),
        }
        ranks.barrier()
        with join_ranks("cpu") as again:
            results["again"] = [again.rank, again.world_size]
        ranks.barrier()  # the inner one left the group open
    threads = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    return {**results, "open": torch.distributed.is_initialized(), "threads": "".join(threads)}


@pytest.mark.slow
def test_two_ranks_settle_numbers_and_values_and_leave_nothing_behind():
    results = run_ranks(2, "tests.training.parallel.test_ranks:what_two_ranks_settle")
    assert [one["rank"] for one in results] == [0, 1]
    assert [one["leads"] for one in results] == [True, False]
    for rank, one in enumerate(results):
        assert one["world_size"] == 2
        assert one["sum"] == [3, 10]
        assert one["sum of a view"] == [2.0, 2.0]
        assert one["same"] == {"from": 0, "text": "ü", "none": None}
        assert one["again"] == [rank, 2]
        assert not one["open"]
        assert "gloo" not in one["threads"], "threads of a closed group abort the process when it ends"
