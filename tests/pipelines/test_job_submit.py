"""A real `ray start --head` and the tutorial on clusters, block by block; logs and status are read back."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.pages import path_with_commands, run_script, script_of
from tests.pipelines.road import ROOT, environment
from tests.pipelines.small_run import prose

pytestmark = pytest.mark.slow

RAY = str(Path(sys.executable).parent / "ray")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Ray head on loopback, with ports and a folder of its own; every process it started is ended by its id."""
    port, web, agent, grpc = _free_ports(4)
    folder = Path(f"/tmp/cm-{os.getpid()}")  # short: unix sockets below it have a limit on their length
    log = (tmp_path_factory.mktemp("ray") / "head.log").open("w")
    options = ["--port", port, "--dashboard-port", web, "--dashboard-agent-listen-port", agent]
    options += ["--dashboard-agent-grpc-port", grpc, "--node-ip-address", "127.0.0.1", "--temp-dir", folder]
    options += ["--num-cpus", 2, "--object-store-memory", 128 << 20, "--include-dashboard", "true"]
    head = subprocess.Popen(
        [RAY, "start", "--head", "--block", "--disable-usage-stats", *map(str, options)],
        env=environment(PATH=path_with_commands()),
        stdout=log,
        stderr=log,
    )
    address = f"http://127.0.0.1:{web}"
    deadline = time.monotonic() + 90
    while subprocess.run(_job("list", address), capture_output=True, env=environment()).returncode:
        assert head.poll() is None and time.monotonic() < deadline, Path(log.name).read_text()
        time.sleep(0.5)
    yield address
    started = psutil.Process(head.pid).children(recursive=True)
    started += [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(process.info["cmdline"] or [])
    ]
    head.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(set(started), timeout=10)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)
    head.wait(20)
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def _job(verb: str, address: str, *rest: str) -> list[str]:
    return [RAY, "job", verb, "--address", address, *rest]


def test_the_tutorial_on_clusters_runs_as_it_is_written(dashboard: str, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "raw").mkdir(parents=True)
    for number in range(2):
        lines = [json.dumps({"text": f"{name} {prose(name)}"}) for name in range(number * 40, number * 40 + 40)]
        (shared / "raw" / f"{number}.jsonl").write_text("\n".join(lines))
    script = script_of(ROOT / "docs/tutorials/cluster.md", {"/shared": str(shared), "http://head:8265": dashboard})
    printed = run_script(script, tmp_path, timeout=400)
    assert "'crawl-1' succeeded" in printed and "'crawl-2' succeeded" in printed
    logs = subprocess.run(_job("logs", dashboard, "crawl-1"), capture_output=True, text=True, env=environment())
    assert "documents in" in logs.stdout, "the summary table is in the job's log"
    engine = json.loads((shared / "runs/crawl/documents/_state/seconds.json").read_text())["engine"]
    assert engine.startswith("Ray at "), "RAY_ADDRESS alone chose the engine"


def test_a_failing_job_fails(dashboard: str, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "corpusmill", "run", str(tmp_path / "nowhere.yaml")]
    submitted = subprocess.run(
        _job("submit", dashboard, "--submission-id", "broken", "--", *line),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        timeout=120,
    )
    assert submitted.returncode == 1
    assert "nowhere.yaml: no such file" in submitted.stdout + submitted.stderr
