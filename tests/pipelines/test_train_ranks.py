"""Training on two processes, however they are started: the same bytes, also after a kill; and errors are one line."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.pipelines.road import ROOT, assert_same_bytes, environment, final_bytes
from tests.pipelines.shard_folder import make_shards

STEPS = 20
SETTINGS = {"preset": "tiny", "steps": STEPS, "batch_sequences": 8, "micro_batch": 1, "checkpoint_every": 5,
            "evaluate_every": 10, "threads": 1, "average_decay": 0.9}  # fmt: skip


def command(shards: Path, output: Path, *more: str, **settings: object) -> list[str]:
    """The arguments of the command line."""
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in {**SETTINGS, **settings}.items()]
    return ["-m", "corpusmill", "train", str(shards), "--output", str(output), *flags, *more]


def torchrun() -> list[str]:
    """Torch's launcher for two ranks, at a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]


def train(shards: Path, output: Path, *more: str, launcher: list[str] | None = None, **settings: object):
    """Runs it to its end."""
    line = [*(launcher or [sys.executable]), *command(shards, output, *more, **settings)]
    return subprocess.run(line, capture_output=True, text=True, env=environment(), cwd=ROOT, timeout=100)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("made") / "shards")


@pytest.fixture(scope="module")
def straight(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two ranks that nothing happened to."""
    output = tmp_path_factory.mktemp("straight") / "run"
    done = train(shards, output, ranks=2)
    assert done.returncode == 0, done.stderr
    return output


def losses(output: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (output / "metrics.jsonl").read_text().splitlines()]


def lines_of(output: Path) -> int:
    path = output / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_at(step: int, shards: Path, output: Path, kill: Callable[[int], None], **settings: object):
    """Starts a run in a process group of its own and calls `kill` with its process once it has done so many steps;
    gives the process."""
    line = [sys.executable, *command(shards, output, **settings)]
    process = subprocess.Popen(
        line, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while lines_of(output) < step:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    kill(process.pid)
    return process


def kill_group(process: int) -> None:
    os.killpg(process, signal.SIGKILL)


def kill_rank(number: int) -> Callable[[int], None]:
    """Kills the rank of this number alone."""

    def kill(process: int) -> None:
        below = psutil.Process(process).children(recursive=True)
        ranks = {
            process.environ()["RANK"]: process
            for process in below
            if "corpusmill.pipelines.engine.ranks" in process.cmdline()
        }
        ranks[str(number)].kill()

    return kill


def test_a_run_that_is_killed_as_a_whole_goes_on_to_the_same_bytes(shards: Path, straight: Path, tmp_path: Path):
    kill_at(10, shards, tmp_path / "run", kill_group, ranks=2).wait()
    assert 10 <= lines_of(tmp_path / "run") < STEPS and not (tmp_path / "run/_manifest.json").exists()
    done = train(shards, tmp_path / "run", ranks=2)
    assert done.returncode == 0, done.stderr
    assert_same_bytes(straight, tmp_path / "run")
    assert any(name.startswith("checkpoints/") for name in final_bytes(straight))
    assert {"average.safetensors", "model.safetensors", "metrics.jsonl"} < final_bytes(straight).keys()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_that_loses_a_rank_goes_on_by_itself_to_the_same_bytes(
    shards: Path, straight: Path, tmp_path: Path, rank: int
):
    process = kill_at(10, shards, tmp_path / "run", kill_rank(rank), ranks=2)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert f"rank {rank} was lost: killed by SIGKILL" in said and "attempt 2" in said
    assert_same_bytes(straight, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_ranks(
    shards: Path, straight: Path, tmp_path: Path, before: int, after: int
):
    kill_at(10, shards, tmp_path / "run", kill_group, ranks=before).wait()
    done = train(shards, tmp_path / "run", ranks=after)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "run") == pytest.approx(losses(straight), rel=1e-4)
    assert json.loads((tmp_path / "run/_manifest.json").read_text())["facts"]["ranks"] == after


@pytest.mark.slow
def test_torchrun_leaves_the_same_bytes_and_ends_when_there_is_nothing_to_do(
    shards: Path, straight: Path, tmp_path: Path
):
    done = train(shards, tmp_path / "run", launcher=torchrun())
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"{STEPS} steps") == 1, "only rank 0 speaks"
    assert_same_bytes(straight, tmp_path / "run")
    done = train(shards, tmp_path / "run", launcher=torchrun())
    assert done.returncode == 0 and "was already done" in done.stderr, done.stderr


@pytest.mark.slow
def test_under_torchrun_what_is_refused_ends_all_ranks(shards: Path, straight: Path, tmp_path: Path):
    done = train(shards, straight, launcher=torchrun(), batch_sequences=4)
    assert done.returncode == 1 and done.stderr.count("corpusmill: ") == 1, done.stderr
    assert "already made with other settings" in done.stderr
    done = train(shards, tmp_path / "run", launcher=torchrun(), ranks=3)
    assert done.returncode == 1 and "3 ranks were requested, but torchrun started 2" in done.stderr
    done = train(shards, tmp_path / "run", "--engine", "ray", launcher=torchrun())
    assert done.returncode == 1 and "torchrun and Ray cannot both start the ranks" in done.stderr
    assert not (tmp_path / "run").exists()
    # A mistake that every rank finds once it trains.
    done = train(shards, tmp_path / "large", launcher=torchrun(), batch_sequences=41)
    assert done.returncode == 1 and "40 sequences are fewer than a batch of 41" in done.stderr


def test_a_mistake_that_ranks_find_is_one_line(shards: Path, tmp_path: Path):
    done = train(shards, tmp_path / "run", "--model", "vocab_size=64", ranks=2)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if not line.startswith("train: ")] == [
        f"corpusmill: {shards}: the model has 64 vocabulary rows, the shards' tokenizer needs 256; omit vocab_size"
    ]


@pytest.mark.slow
def test_ray_train_leaves_the_same_bytes_and_a_mistake_is_one_line(shards: Path, straight: Path, tmp_path: Path):
    done = train(shards, tmp_path / "run", "--engine", "ray", "--workers", "2", ranks=2)
    assert done.returncode == 0, done.stderr
    assert_same_bytes(straight, tmp_path / "run")
    done = train(shards, tmp_path / "other", "--engine", "ray", "--workers", "1", ranks=2)
    assert done.returncode == 2 and "corpusmill: ranks: 2 ranks need a CPU each, and Ray has 1" in done.stderr
