"""A task as several processes that talk to each other, its *ranks*: how they are started, and how they end.

Training on several devices uses one process per device. The task itself only waits; its ranks run one function each,
find each other by torchrun's environment variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), and each
leaves a report: what the function returned, or the error. Here they are started on this machine, by hand: torch's own
launcher has an agent, its restarts and a page of its own for errors, and the engine above has all three. On Ray they
are workers of Ray Train (`ray_ranks.py`); reports and what follows from them are the same.

No rank outlives its task: each waits on a pipe for the end of the process that started it, which comes however that one
dies. One rank that fails or dies ends the others, which would wait for it for ever. Of several errors the first cause
is reported: never a broken connection when there is another.

Cost: a start of Python for each rank, and two reads of the reports' folder.
"""

import importlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.operating_system import loopback_interface
from corpusmill.dataproc.stopping import catch_sigterm, is_stopping, stop, stopping_gently
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lease import require_lease
from corpusmill.pipelines.engine.processes import describe_exit
from corpusmill.pipelines.engine.task import Call, TaskError, TaskFailed, call_from_values, call_to_values
from corpusmill.pipelines.engine.worker import TaskContext, describe

POLL_SECONDS = 0.05
GRACE_SECONDS = 3.0
"""How long the other ranks have, once one has failed, to say what happened to them."""
ORPHAN_EXIT_CODE = 70
MOST_TELLING = ("user", "full", "memory", "transient", "bug")
BROKEN_CONNECTION = ("/gloo/", "Connection closed by peer", "NCCL error", "ncclRemoteError", "TCPStore")
"""Messages of a rank whose neighbour is gone."""


class RankLost(ConnectionError):
    """A rank died without reporting an error: worth another attempt, from the last checkpoint."""


def start_here(call: Call, function: str, count: int) -> dict[str, Any]:
    """Runs `function` ("module:name") on so many ranks of this machine; alone, in this process.

    Returns what it returned on rank 0. Raises TaskFailed with the first cause, or RankLost.
    """
    if count == 1:
        return resolve(function)(TaskContext(call))
    reports = new_reports(call)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for environment in _environments(count):
            processes.append(_start(call, function, reports, environment))
        with stopping_gently():
            _wait(processes)
        if is_stopping():
            stop()
        ended = [process.poll() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
    deaths = {rank: describe_exit(code) for rank, code in enumerate(ended) if code}
    return outcome(reports, deaths)


def _wait(processes: list[subprocess.Popen[bytes]]) -> None:
    """Waits until all have ended, or one has failed and the others had time to say why; passes SIGTERM on."""
    deadline, passed_on = float("inf"), False
    while None in (codes := [process.poll() for process in processes]) and time.monotonic() < deadline:
        if any(codes) and deadline == float("inf"):
            deadline = time.monotonic() + GRACE_SECONDS
        if is_stopping() and not passed_on:
            passed_on = True
            for process in processes:
                process.terminate()
        time.sleep(POLL_SECONDS)


def _start(call: Call, function: str, reports: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """One rank; what it prints goes to `_state/rank-<number>.log`."""
    path = storage.join(call.folder, state.STATE, f"rank-{environment['RANK']}.log")
    with open(path, "wb") as log:  # noqa: PTH123
        process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    assert process.stdin is not None
    order = {"call": call_to_values(call), "function": function, "reports": reports}
    try:
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:  # it is dead already, and its exit code says more
        pass
    return process


def _environments(count: int) -> list[dict[str, str]]:
    """The environment of each rank: torchrun's variables on the loopback, at a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {**os.environ, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    # `-m` finds this module where this process found it, also from a source tree that is not installed.
    common["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    if loopback := loopback_interface():  # else gloo asks for the address of this machine's name: it may have none
        common.setdefault("GLOO_SOCKET_IFNAME", loopback)
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def launched_ranks() -> int:
    """How many ranks torchrun, or something compatible, started including this process; 1 if nothing did."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdecimal() and int(size) > 0 else 1


def new_reports(call: Call) -> str:
    """A folder for the reports of one attempt; it goes with the stage's other intermediate files."""
    return storage.join(call.folder, state.WORK, f"ranks-{secrets.token_hex(4)}")


def run_rank(call: Call, function: str, reports: str, rank: int) -> None:
    """The body of a rank: runs the function and leaves the report. Raises what the function raised."""
    with storage.commits_only_while(partial(require_lease, call.folder, call.lease)):
        try:
            report = {"result": resolve(function)(TaskContext(call))}
        except BaseException as error:
            report = {"error": asdict(describe(error))}
            raise
        finally:
            storage.commit_bytes(storage.join(reports, f"{rank}.json"), state.to_json(report), durable=False)


def outcome(reports: str, deaths: Mapping[int, str]) -> dict[str, Any]:
    """What rank 0 returned. Raises the first cause where a rank failed, or died (`deaths`, in words, by rank)."""
    reported = {
        int(name.removesuffix(".json")): state.read_json(storage.join(reports, name))
        for name in storage.list_names(reports)
        if name.removesuffix(".json").isdecimal()
    }
    errors = {rank: TaskError(**report["error"]) for rank, report in sorted(reported.items()) if "error" in report}
    if not errors and not deaths and 0 in reported:
        return reported[0]["result"]
    causes = [error for error in errors.values() if not is_broken_connection(error)]
    if causes:
        raise TaskFailed(min(causes, key=lambda error: MOST_TELLING.index(error.kind)))
    for rank, cause in deaths.items():
        if rank not in errors:
            raise RankLost(f"rank {rank} was lost: {cause}")
    for rank, error in errors.items():
        raise RankLost(f"rank {rank} lost the others ({error.message[:200]})")
    raise RankLost("rank 0 ended without a result")


def is_broken_connection(error: TaskError) -> bool:
    """Whether an error only says that another rank is gone."""
    return error.kind in ("bug", "transient") and any(sign in error.message for sign in BROKEN_CONNECTION)


def resolve(function: str) -> Any:
    """The function that "module:name" names."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, which closes its end of the pipe."""
    sys.stdin.buffer.read()
    os._exit(ORPHAN_EXIT_CODE)


def _main() -> None:
    """The main function of a rank that `start_here` started."""
    from corpusmill.pipelines import kernels

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    order = json.loads(sys.stdin.buffer.readline())
    catch_sigterm()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    kernels.configure()
    code = 0
    try:
        run_rank(call_from_values(order["call"]), order["function"], order["reports"], int(os.environ["RANK"]))
    except BaseException as error:
        code = 1
        sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # threads of torch and Arrow now and then abort a process that they are torn down with


if __name__ == "__main__":
    _main()
