"""The benchmark for Hopper runs to its end where there is no GPU, every part of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "hopper.py"


@pytest.mark.slow
def test_every_part_runs_on_a_cpu_and_finds_its_products_right(tmp_path):
    sources = str(SCRIPT.parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": sources, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "--cpu", "--output", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    results = json.loads((tmp_path / "hopper.json").read_text())
    assert [row["backend"] for row in results["bytes"]] == ["reference", "emulated"]
    assert all(row["right"] for row in (*results["bytes"], *results["trainer"]))
    assert len(results["products"]) == 6 + 2 * 4
    assert {row["precision"] for row in results["steps"]} == {"bfloat16", "fp8"}
