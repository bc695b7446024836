"""Faults from outside a run: a document that kills its worker, a full disk, inputs that change, two drivers."""

import json
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.pipelines.road import assert_same_bytes, command, environment, markers, run

pytestmark = pytest.mark.slow

RECIPE = """
name: two stages
output: unused
stages:
  documents: {{stage: ingest, inputs: ["{inputs}"], part_bytes: 64KiB, source: tests}}
  clean: {{stage: filter, datasets: [documents], rules: [], custom_rules: []}}
"""

# Python runs `sitecustomize` at the start of every process: workers of either engine get the fault, and nobody has to
# build a way for faults into the product.
POISON = """
import os, signal
from corpusmill.pipelines import kernels
kernels.configure()
import corpusmill.dataproc.measures.statistics as statistics
real = statistics.measure
def measure(texts, *rest, **more):
    if any("POISON" in text for text in texts.to_pylist()):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(texts, *rest, **more)
statistics.measure = measure
"""


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Files of documents, one of them poisoned."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(8):
        rows = [
            {"id": f"{number}/{row}", "text": f"Document {row} of file {number}. " * 60 + f"{row * number}"}
            for row in range(60)
        ]
        if number == 3:
            rows[17]["text"] += " POISON"
        (folder / f"file-{number}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder


@pytest.fixture
def recipe(tmp_path: Path, inputs: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(inputs=f"{inputs}/*.jsonl"))
    return path


@pytest.mark.parametrize("engine", [("--workers", "2"), ("--engine", "ray", "--workers", "2")], ids=["local", "ray"])
def test_a_poisoned_document_is_quarantined_and_the_rest_unharmed(
    recipe: Path, tmp_path: Path, engine: tuple[str, ...]
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(textwrap.dedent(POISON))
    done = run(recipe, tmp_path / "out", *engine, PYTHONPATH=f"{site}:{environment()['PYTHONPATH']}")
    assert done.returncode == 0, done.stderr  # one of 480 is within the limit
    manifest = json.loads((tmp_path / "out/clean/_manifest.json").read_text())
    assert manifest["counts"]["documents_in"] == 480
    assert manifest["counts"]["quarantined"] == 1
    assert manifest["counts"]["kept"] == 479
    (bad,) = pq.read_table(tmp_path / "out/clean/_quarantine").to_pylist()
    assert bad["id"] == "3/17"
    assert bad["reason"].startswith("ended its worker 3 times")
    assert "POISON" in bad["text"]
    assert "quarantined '3/17'" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("engine", [("--workers", "1"), ("--workers", "2")], ids=["one", "two"])
def test_a_full_disk_is_one_line_and_the_run_goes_on_after_space_is_made(
    tmp_path: Path, small_disk: Path, engine: tuple[str, ...]
) -> None:
    raw = tmp_path / "noise.jsonl"
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    noise, state = [], 1
    for row in range(300):
        words = []
        for _ in range(600):
            state = state * 6364136223846793005 % 2**64 + 1442695040888963407 & 2**64 - 1
            words.append("".join(letters[(state >> shift) % 36] for shift in (8, 16, 24, 32, 40)))
        noise.append(json.dumps({"id": str(row), "text": " ".join(words)}))
    raw.write_text("\n".join(noise))
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(inputs=raw))
    full = run(path, small_disk / "out", *engine)
    assert full.returncode == 1, full.stderr
    last = full.stderr.strip().splitlines()[-1]
    assert "no space left on the device" in last
    assert "free some space and run again" in last
    assert "Traceback" not in full.stderr
    before = markers(small_disk / "out")
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    done = run(path, small_disk / "out", *engine)
    assert done.returncode == 0, done.stderr
    after = markers(small_disk / "out")
    assert {name: after[name] for name in before} == before
    plain = run(path, tmp_path / "plain", *engine)
    assert plain.returncode == 0
    assert_same_bytes(tmp_path / "plain", small_disk / "out")


def test_inputs_that_changed_are_refused_by_name(recipe: Path, inputs: Path, tmp_path: Path) -> None:
    assert run(recipe, tmp_path / "out", "--workers", "1").returncode == 0
    changed = inputs / "file-5.jsonl"
    changed.write_text(changed.read_text() + "\n" + json.dumps({"id": "new", "text": "one more"}))
    refused = run(recipe, tmp_path / "out", "--workers", "1")
    assert refused.returncode == 2
    assert f"{changed} changed since" in refused.stderr
    assert "--overwrite" in refused.stderr


def test_a_second_driver_is_refused_while_the_first_is_at_work(recipe: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = subprocess.Popen(
        command(recipe, output, "--workers", "2"),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while (
        not (output / "documents/_state/driver.lock").exists()
        or not (output / "documents/_state/driver.lock").read_text()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    first.send_signal(signal.SIGSTOP)  # at work for as long as we like
    try:
        second = run(recipe, output, "--workers", "2")
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 2, second.stderr
    assert f"another driver is at work here (process {first.pid} on" in second.stderr
    assert first.wait(120) == 0
