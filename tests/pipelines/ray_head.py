"""A Ray head on loopback, with ports and a folder of its own; every process that it started is ended by its id."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.pages import path_with_commands
from tests.pipelines.road import environment

RAY = str(Path(sys.executable).parent / "ray")


@dataclass(frozen=True)
class RayHead:
    """A head that runs: the address of drivers, and that of its dashboard, where jobs are submitted."""

    address: str
    dashboard: str


@contextmanager
def ray_head(log: Path, dashboard: bool = True) -> Iterator[RayHead]:
    """`ray start --head` with two CPUs, until the block ends."""
    port, web, agent, grpc = _free_ports(4)
    folder = Path(f"/tmp/cm-{os.getpid()}-{port}")  # short: unix sockets below it have a limit on their length
    options = ["--port", port, "--dashboard-port", web, "--dashboard-agent-listen-port", agent]
    options += ["--dashboard-agent-grpc-port", grpc, "--node-ip-address", "127.0.0.1", "--temp-dir", folder]
    options += ["--num-cpus", 2, "--object-store-memory", 128 << 20, "--include-dashboard", str(dashboard).lower()]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [RAY, "start", "--head", "--block", "--disable-usage-stats", *map(str, options)],
            env=environment(PATH=path_with_commands()),
            stdout=stream,
            stderr=stream,
        )
        head = RayHead(f"127.0.0.1:{port}", f"http://127.0.0.1:{web}")
        question = [RAY, "job", "list", "--address", head.dashboard] if dashboard else [RAY, "status", "--address"]
        question += [] if dashboard else [head.address]
        deadline = time.monotonic() + 90
        try:
            while subprocess.run(question, capture_output=True, env=environment()).returncode:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            yield head
        finally:
            _end(process, folder)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _end(head: subprocess.Popen[bytes], folder: Path) -> None:
    started = psutil.Process(head.pid).children(recursive=True) if head.poll() is None else []
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
