from pathlib import Path

import pytest
import torch

from tests.training.shardmaker import write_shard_set


@pytest.fixture
def shard_folder(tmp_path: Path) -> Path:
    """40 patterned sequences of 32 tokens in three shards, and nine held-back ones."""
    return write_shard_set(tmp_path / "shards")


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors are slower with two threads; and other tests may run beside these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
