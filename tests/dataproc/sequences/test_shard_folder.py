"""The names beside the shards of a folder, those of now and those of corpusmill 0.1.0."""

from pathlib import Path

import pytest

from corpusmill.dataproc.sequences.shard_folder import held_back_folder, is_held_back, set_folder, vocabulary_path
from corpusmill.training.loader.shard_loader import held_back
from tests.training.shardmaker import write_shard_set


@pytest.mark.parametrize("prefix", ["_", ""], ids=["now", "older"])
def test_held_back_shards_and_the_vocabulary_are_found_in_either_layout(prefix: str, tmp_path: Path) -> None:
    write_shard_set(tmp_path)
    (tmp_path / "_validation").rename(tmp_path / f"{prefix}validation")
    (tmp_path / f"{prefix}vocabulary.parquet").touch()
    assert held_back_folder(str(tmp_path)) == str(tmp_path / f"{prefix}validation")
    assert vocabulary_path(str(tmp_path)) == str(tmp_path / f"{prefix}vocabulary.parquet")
    assert set_folder(str(tmp_path / f"{prefix}validation")) == str(tmp_path)
    assert is_held_back(f"{prefix}validation/shard-00000.arrow") and not is_held_back("shard-00000.arrow")
    shards = held_back(tmp_path)
    assert shards is not None and len(shards) == 9
