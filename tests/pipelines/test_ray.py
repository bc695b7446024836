"""Ray as it is: what an embedded one listens on, what goes through its object store, and which nodes tasks get."""

import json
import os
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.progress import SilentProgress
from corpusmill.pipelines.engine.reserved import Reserved
from corpusmill.pipelines.engine.stage import Session, run_stage
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.settings import validate
from tests.pipelines.engine.faulty_tasks import FaultySettings, FaultyStage

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_other_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def listening() -> set[tuple[str, int]]:
    """Where this process and those below it listen."""
    here = psutil.Process()
    processes = [here, *here.children(recursive=True)]
    connections = [entry for process in processes for entry in process.net_connections(kind="inet")]
    return {(entry.laddr.ip, entry.laddr.port) for entry in connections if entry.status == psutil.CONN_LISTEN}


def made_bytes() -> tuple[int, int]:
    """Bytes that Ray's object store ever held, and holds now."""
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    stats = get_memory_info_reply(get_state_from_address(None)).store_stats
    return stats.cumulative_created_bytes, stats.object_store_bytes_used


def test_an_embedded_ray_is_on_loopback_only_and_holds_no_documents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, size = listening(), 0
    for number in range(8):
        rows = [{"id": f"{number}/{row}", "text": f"Document {row} of file {number}. " * 400} for row in range(200)]
        (tmp_path / f"{number}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        size += (tmp_path / f"{number}.jsonl").stat().st_size
    made_of = stage_type("ingest")
    settings = validate(made_of.Settings, {"inputs": [f"{tmp_path}/*.jsonl"], "part_bytes": "1MiB"}, "")
    with Session(make_executor=partial(make_executor, "ray", workers=2), progress=SilentProgress()) as session:
        done = run_stage(made_of(settings), str(tmp_path / "documents"), session)
        assert done.manifest["counts"]["kept"] == 1600 and size > 15_000_000
        places = listening() - before
        made, now = made_bytes()
        said = capsys.readouterr().err
        url = said.partition("dashboard is at ")[2].split()[0]
        with urllib.request.urlopen(f"{url}/api/version", timeout=10) as answer:
            assert json.load(answer)["ray_version"]
    assert places, "it listens somewhere"
    assert {ip.removeprefix("::ffff:") for ip, _ in places} <= {"127.0.0.1", "::1"}
    assert made < 100_000 and now < 100_000, "only small results pass through it"


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, list[int]]]:
    """A head with CPUs, and two nodes in zones a and b."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_AUTH_MODE"] = "disabled"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 80 << 20})
    nodes = [cluster.head_node]
    for zone in "ab":
        own = {"labels": {"zone": zone}, "resources": {f"disk_{zone}": 1}}
        nodes.append(cluster.add_node(num_cpus=1, object_store_memory=80 << 20, **own))
    cluster.wait_for_nodes()
    yield cluster.address, [node.all_processes["raylet"][0].process.pid for node in nodes]
    cluster.shutdown()
    os.environ.pop("RAY_AUTH_MODE", None)


def nodes_of(folder: Path, raylets: list[int]) -> set[int]:
    """By number, the nodes whose raylets are the parents of the workers that markers name."""
    markers = [json.loads(path.read_text()) for path in (folder / "_state/copy").glob("*.json")]
    assert len(markers) == 6
    return {raylets.index(psutil.Process(int(marker["worker"].rpartition(":")[2])).ppid()) for marker in markers}


@pytest.mark.parametrize(
    ("reserved", "head_tasks", "expected"),
    [
        (Reserved(), False, {1, 2}),
        (Reserved(labels={"zone": "b"}), False, {2}),
        (Reserved(custom={"disk_a": 1.0}, memory=1 << 20), False, {1}),
        (Reserved(cpus=2), True, {0}),
    ],
)
def test_tasks_get_the_nodes_that_they_are_meant_for(
    cluster: tuple[str, list[int]], reserved: Reserved, head_tasks: bool, expected: set[int], tmp_path: Path
) -> None:
    address, raylets = cluster
    (tmp_path / "scratch").mkdir()
    settings = FaultySettings(scratch=str(tmp_path / "scratch"), tasks=6, faults=dict.fromkeys(range(6), "slow"))
    make = partial(make_executor, "ray", address=address, head_tasks=head_tasks)
    with Session(make_executor=make, progress=SilentProgress(), reserved={"faulty": reserved.as_values()}) as session:
        run_stage(FaultyStage(settings), str(tmp_path / "out"), session)
        assert session.executor(kernels=()).slots == (8 if head_tasks else 4)
        assert nodes_of(tmp_path / "out", raylets) == expected
