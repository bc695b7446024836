"""Killed at any stage, under either engine, a run goes on to the same bytes and does nothing twice."""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.pipelines.ray_head import ray_head
from tests.pipelines.road import (
    STAGES,
    assert_same_bytes,
    command,
    environment,
    final_bytes,
    markers,
    run,
    write_recipe,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def straight(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run with two local workers."""
    output = tmp_path_factory.mktemp("straight") / "out"
    done = run(recipe, output, "--workers", "2")
    assert done.returncode == 0, done.stderr
    return output


def test_the_road_makes_every_stage(straight: Path) -> None:
    files = final_bytes(straight)
    assert all(f"{stage}/_manifest.json" in files for stage in STAGES)
    assert "model/model.safetensors" in files
    assert any(name.startswith("shards/shard-") for name in files)


def test_one_worker_gives_the_same_bytes(recipe: Path, straight: Path, tmp_path: Path) -> None:
    done = run(recipe, tmp_path / "out", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert_same_bytes(straight, tmp_path / "out")


def _in_the_middle(output: Path, stage: str) -> bool:
    """Whether the stage has done something and is not finished."""
    if (output / stage / "_manifest.json").exists():
        pytest.fail(f"{stage} finished before it could be killed")
    if stage == "model":
        return (output / "model/checkpoints/latest").exists() or any(output.glob("model/checkpoints/step-*"))
    return len(markers(output, stage)) >= 2


def _kill_in(recipe: Path, output: Path, stage: str, *options: str) -> None:
    """Starts the run and kills its driver with SIGKILL in the middle of the stage."""
    log = (output.parent / f"{stage}.log").open("w")
    process = subprocess.Popen(command(recipe, output, *options), env=environment(), stdout=log, stderr=log)
    deadline = time.monotonic() + 120
    while not _in_the_middle(output, stage):
        assert process.poll() is None, (output.parent / f"{stage}.log").read_text()
        assert time.monotonic() < deadline, f"{stage} never began"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL


@pytest.fixture(params=["local", "a cluster of Ray"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Options of the command. On Ray the drivers die, and the cluster lives on: their tasks must not outlive them."""
    if request.param == "local":
        yield ("--workers", "2")
        return
    with ray_head(tmp_path / "head.log", dashboard=False) as head:
        yield ("--engine", "ray", "--address", head.address, "--workers", "2")


def test_killed_in_every_stage_the_bytes_are_the_same(
    recipe: Path, straight: Path, tmp_path: Path, engine: tuple[str, ...]
) -> None:
    _kill_and_compare(recipe, straight, tmp_path / "out", STAGES, engine)


def test_killed_with_the_ray_that_it_started_the_bytes_are_the_same(
    recipe: Path, straight: Path, tmp_path: Path
) -> None:
    _kill_and_compare(recipe, straight, tmp_path / "out", ("clean", "shards"), ("--engine", "ray", "--workers", "2"))


def _kill_and_compare(recipe: Path, straight: Path, output: Path, stages: Sequence[str], engine: Sequence[str]) -> None:
    written: dict[str, int] = {}
    for stage in stages:
        _kill_in(recipe, output, stage, *engine)
        assert not (output / stage / "_manifest.json").exists()
        written |= {name: at for name, at in markers(output).items() if name not in written}
    done = run(recipe, output, *engine)
    assert done.returncode == 0, done.stderr
    assert_same_bytes(straight, output)
    now = markers(output)
    assert {name: now[name] for name in written} == written, "a finished task was done again"
    assert len(now) > len(written), "nothing was left to do: the kills came too late to show anything"
    leftovers = [path for path in output.rglob(".tmp-*") if path.is_file()]
    assert leftovers == []


def test_a_finished_road_costs_nothing_to_run_again(recipe: Path, straight: Path) -> None:
    before = markers(straight)
    started = time.monotonic()
    done = run(recipe, straight, "--engine", "ray", "--workers", "2")
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert "nothing was run" in done.stdout
    assert markers(straight) == before
    assert seconds < 10, "no engine was started"
