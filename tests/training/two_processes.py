"""Starts a function on several ranks of one machine, as torchrun would: a process each, with torchrun's environment.

    results = run_ranks(2, "tests.training.test_something:function", "text", 3)

The function gets the arguments on every rank and joins the others by itself (`training.parallel.ranks.join_ranks`);
what it returns comes back by rank. Arguments and results pass as JSON. The first rank that fails ends the others, which
may be waiting for it, and its output is the error's message; so is that of all ranks when time is up.

Cost: one import of torch a rank, about 2 s each on one core.
"""

import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.05


def run_ranks(ranks: int, function: str, *arguments: Any, timeout: float = 120.0) -> list[Any]:
    """What `function` ("module:name") returned on each rank. Raises AssertionError when a rank fails or takes longer
    than `timeout` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        environments = rank_environments(ranks)
        processes = [start_rank(environment, function, *arguments, folder=Path(folder)) for environment in environments]
        deadline = time.monotonic() + timeout
        try:
            while any(process.poll() is None for process in processes):
                failed = [process.returncode for process in processes if process.returncode]
                if failed or time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
        finally:
            ended = [process.poll() for process in processes]
            for process in processes:
                process.kill()
                process.wait()
        if any(ended) or None in ended:
            said = "\n".join(
                f"--- rank {rank}: {'was still running' if status is None else f'exit status {status}'}\n"
                + (Path(folder) / f"{rank}.log").read_text(errors="replace")
                for rank, status in enumerate(ended)
            )
            raise AssertionError(f"{function} on {ranks} ranks:\n{said}")
        return [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(ranks)]


def rank_environments(ranks: int) -> list[dict[str, str]]:
    """The environment of each rank: torchrun's variables, loopback, a free port, one thread."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        **os.environ,
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    }
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]


def start_rank(environment: dict[str, str], function: str, *arguments: Any, folder: Path) -> subprocess.Popen[bytes]:
    """One rank's process; leaves `<rank>.json` (the result) and `<rank>.log` (what it printed) in the folder."""
    rank = environment["RANK"]
    with (folder / f"{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, function, str(folder / f"{rank}.json"), json.dumps(arguments)],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _main(function: str, result: str, arguments: str) -> None:
    module, name = function.split(":")
    returned = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    Path(result).write_text(json.dumps(returned))


if __name__ == "__main__":
    _main(*sys.argv[1:])
