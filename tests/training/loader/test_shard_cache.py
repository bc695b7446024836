import multiprocessing
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shards import shard_entries
from corpusmill.training.loader.shard_cache import ShardCache
from corpusmill.training.loader.shard_loader import ShardLoader, held_back
from corpusmill.training.loader.shard_set import ShardSet
from tests.training.shardmaker import write_grouped_set

GROUPS = {"web": 30, "code": 11, "books": 20}


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return write_grouped_set(tmp_path / "here", GROUPS)


@pytest.fixture(params=["memory", "file"])
def remote(request, local: Path, tmp_path: Path) -> str:
    """The same shards behind a URL."""
    if request.param == "file":
        return f"file://{shutil.copytree(local, tmp_path / 'there')}"
    url = f"memory://{tmp_path.name}/shards"
    filesystem, inner = fsspec.core.url_to_fs(url)
    filesystem.put(str(local), inner, recursive=True)
    return url


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".lock-"))


def test_remote_shards_are_read_as_local_ones(local: Path, remote: str, tmp_path: Path):
    cache = ShardCache(tmp_path / "cache", 1 << 30)
    far = ShardLoader(ShardSet(remote, cache), 4, seed=3)
    assert len(kept(cache.folder)) == 1
    near = ShardLoader(local, 4, seed=3)
    for _ in range(30):
        assert torch.equal(next(far).tokens, next(near).tokens)
    assert {path.name for path in kept(cache.folder)} == {
        f"{entry.digest}.arrow" for entry in shard_entries(str(local))
    }
    assert held_back(remote, cache) is None


def test_what_is_there_is_not_fetched_again(remote: str, tmp_path: Path):
    cache = ShardCache(tmp_path / "cache", 1 << 30)
    ShardSet(remote, cache).read(np.arange(61))
    times = {path: path.stat().st_ino for path in kept(cache.folder)}
    ShardSet(remote, ShardCache(tmp_path / "cache", 1 << 30)).read(np.arange(61))
    assert times == {path: path.stat().st_ino for path in kept(cache.folder)}


def test_the_cache_stays_within_its_bound_and_drops_what_was_used_longest_ago(local: Path, remote: str, tmp_path: Path):
    entries = shard_entries(remote)
    limit = sum(entry.bytes for entry in entries[:3])
    cache = ShardCache(tmp_path / "cache", limit)
    names = [f"{entry.digest}.arrow" for entry in entries]
    for number in (0, 1, 2, 0, 3):
        cache.use(entries[number], lambda entry, path: None)
        assert sum(path.stat().st_size for path in kept(cache.folder)) <= limit
    assert {path.name for path in kept(cache.folder)} == {names[0], names[2], names[3]}
    # Files that are mapped may lose their names: all of the set can be read through a cache of two shards.
    shards = ShardSet(remote, cache)
    order = np.random.default_rng(0).permutation(61)
    assert torch.equal(shards.read(order).tokens, ShardSet(local).read(order).tokens)


def test_a_shard_larger_than_the_cache_is_refused(remote: str, tmp_path: Path):
    with pytest.raises(UserError, match="larger than the cache of 100"):
        ShardSet(remote, ShardCache(tmp_path / "cache", 100))


def corrupt(url: str) -> None:
    filesystem, inner = fsspec.core.url_to_fs(url)
    data = bytearray(filesystem.cat_file(inner))
    data[len(data) // 2] ^= 1
    filesystem.pipe_file(inner, bytes(data))


def test_a_damaged_shard_is_fetched_twice_and_then_named_with_its_digests(remote: str, tmp_path: Path, monkeypatch):
    import corpusmill.training.loader.shard_cache as module

    fetched: list[str] = []
    real = module.open_input
    monkeypatch.setattr(module, "open_input", lambda path: fetched.append(path) or real(path))
    entry = shard_entries(remote)[4]
    corrupt(entry.path)
    cache = ShardCache(tmp_path / "cache", 1 << 30)
    shards = ShardSet(remote, cache)
    with pytest.raises(UserError, match=f"{Path(entry.path).name}: its digest is .* manifest says {entry.digest}"):
        shards.read(np.arange(61))
    assert fetched.count(entry.path) == 2
    assert all(path.suffix == ".arrow" and entry.digest not in path.name for path in kept(cache.folder))


def test_a_shard_that_came_damaged_once_is_fetched_again(remote: str, tmp_path: Path, monkeypatch):
    import io

    import corpusmill.training.loader.shard_cache as module

    real = module.open_input
    answers = iter([io.BytesIO(b"half a shard")])
    monkeypatch.setattr(module, "open_input", lambda path: next(answers, None) or real(path))
    assert len(ShardSet(remote, ShardCache(tmp_path / "cache", 1 << 30)).read(np.arange(61)).tokens) == 61


def test_shards_without_a_manifest_cannot_be_kept(remote: str, tmp_path: Path):
    filesystem, inner = fsspec.core.url_to_fs(remote)
    filesystem.rm(f"{inner}/_manifest.json")
    with pytest.raises(UserError, match="needs a manifest"):
        ShardSet(remote, ShardCache(tmp_path / "cache", 1 << 30))


def test_what_killed_processes_left_is_removed_after_an_hour(local: Path, tmp_path: Path):
    import os

    folder = tmp_path / "cache"
    folder.mkdir()
    for name, age in ((".tmp-abc-x.arrow", 4000), (".tmp-def-y.arrow", 0)):
        (folder / name).write_bytes(b"left")
        status = (folder / name).stat()
        os.utime(folder / name, (status.st_atime - age, status.st_mtime - age))
    ShardSet(f"file://{local}", ShardCache(folder, 1 << 30))
    assert not (folder / ".tmp-abc-x.arrow").exists() and (folder / ".tmp-def-y.arrow").exists()


def read_all(url: str, folder: str, limit: int, seed: int, answers) -> None:
    shards = ShardSet(url, ShardCache(folder, limit), open_shards=2)
    order = np.random.default_rng(seed).integers(0, 61, 300)
    answers.put((seed, int(shards.read(order).tokens.sum())))


def test_processes_share_a_folder(local: Path, tmp_path: Path):
    limit = sum(entry.bytes for entry in shard_entries(str(local))[:3])
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    calls = [(f"file://{local}", str(tmp_path / "cache"), limit, seed, answers) for seed in range(3)]
    processes = [context.Process(target=read_all, args=arguments) for arguments in calls]
    for process in processes:
        process.start()
    actual = dict(answers.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    shards = ShardSet(local)
    for seed, total in actual.items():
        assert total == int(shards.read(np.random.default_rng(seed).integers(0, 61, 300)).tokens.sum())
    assert sum(path.stat().st_size for path in kept(tmp_path / "cache")) <= limit
