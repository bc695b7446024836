"""A cluster of three nodes loses one in the middle of a stage, and the run ends with the same bytes."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.running import run_recipe
from tests.pipelines.road import assert_same_bytes, markers

pytestmark = pytest.mark.slow

RECIPE = """
name: cluster
output: unused
stages:
  documents: {{stage: ingest, inputs: ["{inputs}"], part_bytes: 64KiB, source: tests}}
  clean: {{stage: filter, datasets: [documents], rules: [gopher-quality]}}
  unique: {{stage: dedup, datasets: [clean]}}
"""


@pytest.fixture
def cluster() -> Iterator:
    """A head and two nodes, one CPU each, on this machine."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_AUTH_MODE"] = "disabled"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 << 20})
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()
    os.environ.pop("RAY_AUTH_MODE", None)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(48):
        rows = [
            {"id": f"{number}/{row}", "text": f"This is the text of document {row} and of file {number}. " * 300}
            for row in range(40)
        ]
        (raw / f"file-{number:02d}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(inputs=f"{raw}/*.jsonl"))
    return path


def _kill_node_in(output: Path, stage: str, cluster, killed: list[str]) -> None:
    """Kills a node's processes once the stage has begun."""
    deadline = time.monotonic() + 120
    while len(markers(output, stage)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    if not (output / stage / "_manifest.json").exists():
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        killed.append(stage)


def test_a_lost_node_costs_attempts_and_no_bytes(cluster, recipe: Path, tmp_path: Path) -> None:
    assert run_recipe(load_recipe(str(recipe), output=str(tmp_path / "local")), RunOptions(workers=2)) == 0
    output = tmp_path / "on-cluster"
    killed: list[str] = []
    watcher = Thread(target=_kill_node_in, args=(output, "clean", cluster, killed))
    watcher.start()
    code = run_recipe(load_recipe(str(recipe), output=str(output)), RunOptions(engine="ray", address=cluster.address))
    watcher.join()
    assert killed == ["clean"], "the stage ended before the node could be killed"
    assert code == 0
    assert_same_bytes(tmp_path / "local", output)
