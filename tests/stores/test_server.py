"""A real S3 server behind a slow, failing proxy: the same bytes as on a disk, kills and all; errors in a line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from tests.pipelines.road import environment
from tests.stores.proxy import Proxy
from tests.stores.server import Server, client_environment

pytestmark = [pytest.mark.slow]

RECIPE = """
name: store
output: unused
stages:
  documents:
    stage: ingest
    part_bytes: 64KiB
    inputs: [{path: "${stdlib}/email/*.py", source: email, kind: code}]
  unique: {stage: dedup, datasets: [documents], threshold: 0.7}
  tokenizer: {datasets: [unique], vocab_size: 400, special: compact}
  shards: {stage: pack, datasets: [unique], tokenizer: tokenizer, sequence_length: 128}
  model:
    stage: train
    shards: shards
    preset: tiny
    steps: 12
    batch_sequences: 2
    micro_batch: 2
    checkpoint_every: 4
    threads: 1
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        server.make_bucket("lake")
        yield server


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(server.target, delay=0.05, slow_downs=0.01, cuts=0.01) as proxy:
        for name, value in client_environment(proxy.url).items():
            monkeypatch.setenv(name, value)
        yield proxy


def recipe_in(folder: Path) -> Path:
    path = folder / "store.yaml"
    path.write_text(RECIPE)
    return path


def command(recipe: Path, output: str) -> list[str]:
    return [sys.executable, "-m", "corpusmill", "run", str(recipe), "--output", output, "--workers", "1"]


def files_of(output: str) -> dict[str, bytes]:
    """What is promised to be the same, by path."""
    import fsspec

    filesystem, inner = fsspec.core.url_to_fs(output)
    kept = [path for path in filesystem.find(inner) if "/_state/" not in path and "/report/" not in path]
    return {str(path)[len(inner) :].lstrip("/"): filesystem.cat_file(path) for path in kept}


def test_a_killed_run_on_a_failing_store_leaves_the_bytes_of_a_run_on_a_disk(proxy: Proxy, tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    local = subprocess.run(
        command(recipe, str(tmp_path / "out")), capture_output=True, text=True, env=environment(), timeout=280
    )
    assert local.returncode == 0, local.stderr
    killed = subprocess.Popen(
        command(recipe, "s3://lake/killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    deadline = time.monotonic() + 120
    while not any(kind == "PUT" and "/unique/_state/" in key for kind, key in proxy.keys):
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    ended = subprocess.run(
        command(recipe, "s3://lake/killed"), capture_output=True, text=True, env=environment(), timeout=280
    )
    assert ended.returncode == 0, ended.stderr
    assert "requests to the store" in ended.stderr
    assert proxy.faults["slow down"] + proxy.faults["cut"] > 0
    there, here = files_of("s3://lake/killed"), files_of(str(tmp_path / "out"))
    assert there.keys() == here.keys()
    assert [name for name in here if here[name] != there[name]] == ["recipe.yaml"] * ("recipe.yaml" in here)
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    assert secret not in ended.stderr + ended.stdout
    assert not any(secret.encode() in data for data in there.values())
    status = subprocess.run(
        [sys.executable, "-m", "corpusmill", "status", "s3://lake/killed"], capture_output=True, text=True,
        env=environment(),
    )  # fmt: skip
    assert status.returncode == 0, status.stderr
    assert "model" in status.stdout


def test_a_bucket_that_is_not_there_is_named_before_the_run(proxy: Proxy, tmp_path: Path) -> None:
    ended = subprocess.run(
        command(recipe_in(tmp_path), "s3://nolake/run"), capture_output=True, text=True, env=environment()
    )
    assert ended.returncode == 2
    line = "corpusmill: s3://nolake: no such bucket; check its name, or create it first"
    assert ended.stderr.strip().splitlines() == [line]


def test_files_go_there_and_come_back_through_faults(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(server.target, slow_downs=0.1, cuts=0.1, seed=3) as proxy:
        for name, value in client_environment(proxy.url).items():
            monkeypatch.setenv(name, value)
        for number, size in enumerate((0, 1, 100_000, 9 << 20)):
            path, data = f"s3://lake/faults/{number}.bin", os.urandom(size)
            storage.commit_bytes(path, data)
            assert storage.size(path) == size
            assert storage.read_bytes(path) == data
        assert storage.list_names("s3://lake/faults") == ["0.bin", "1.bin", "2.bin", "3.bin"]
        assert storage.file_sizes("s3://lake/faults", ["2.bin", "gone.bin"]) == {"2.bin": 100_000}
        assert not storage.exists("s3://lake/other")
        storage.remove("s3://lake/faults")
        assert storage.list_names("s3://lake/faults") == []
        assert proxy.faults.total() > 0
        with pytest.raises(UserError, match="no such file"):
            storage.read_bytes("s3://lake/faults/0.bin")
