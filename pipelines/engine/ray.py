"""The Ray engine: each call is one Ray core task; Ray Data and Ray's own retries stay out of the way.

Ray Data drops whole blocks on one bad row and names files at random, and Ray's retries of workers killed for want of
memory have no end by default; so tasks are submitted with `max_retries=0` (which also turns those off) and the
scheduler above counts attempts, for both engines alike. How far a task is, its worker notes in the stage's folder
(`task_notes.py`). Attaches to RAY_ADDRESS or `--address`; else starts a Ray of its own, which listens on loopback only,
with a small object store, since only small dicts pass through it. On a cluster, inputs and outputs must be on storage
that every node sees.

Nodes come and go: how many tasks are handed out, and which node is the head, is looked up every `NODES_SECONDS`.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from corpusmill.dataproc.errors import UserError, require_extra
from corpusmill.dataproc.operating_system import has_ray_clusters
from corpusmill.pipelines.engine.executor import cluster_address
from corpusmill.pipelines.engine.heartbeat import HEARTBEAT_BYTES, NOTHING, Heartbeat, Mark
from corpusmill.pipelines.engine.lease import ends_with_lease
from corpusmill.pipelines.engine.messages import tell
from corpusmill.pipelines.engine.ray_nodes import TASKS_A_CPU, cpus_of, spared_head, task_options
from corpusmill.pipelines.engine.task import Call, Ended
from corpusmill.pipelines.engine.task_notes import AtWork, Notes, noting
from corpusmill.pipelines.engine.worker import StartRanks, describe, run_call

OBJECT_STORE_BYTES = 256 << 20
CONNECT_SECONDS = 5.0
NODES_SECONDS = 10.0
STATE_SECONDS = 5
ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's variable for machines that are no cluster: with 0, all its processes listen on loopback. Elsewhere than on
Windows and macOS it is 1, and they listen on every interface."""
RAY_CONSTANTS = "ray._private.ray_constants"


class RayExecutor:
    """Ray core tasks on an existing cluster, or on an embedded one of `workers` CPUs.

    Args:
        head_tasks: tasks may run on the head node, too, where there are others.
    """

    def __init__(self, *, address: str | None, workers: int, head_tasks: bool = False) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_task_oom_retries", "1")  # for a Ray that we start; a cluster has its own setting
        target = cluster_address(address)
        with _on_loopback() if not target else contextlib.nullcontext():
            try:
                import ray
            except ImportError as error:
                raise require_extra("ray", "ray") from error
            self._ray = ray
            self.is_driver, self.leaves_notes = False, True
            self._ours = not ray.is_initialized()
            if self._ours:
                self._start(target, workers)
        self._head_tasks, self._embedded = head_tasks, not target
        self._spared, self._slots, self._next_look = "", 1, 0.0
        cpus = self._look_at_nodes()
        self.description = f"Ray at {target}, {cpus} CPUs" if target else f"an embedded Ray of {cpus} CPUs"
        self._remote = ray.remote(max_retries=0, num_cpus=1)(_run_on_ray)
        self._pending: dict[Any, Call] = {}
        self._notes, self._reading = Notes(), threading.Lock()

    def _start(self, target: str, workers: int) -> None:
        if target:
            check_reachable(target)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        if target:
            options["address"] = target
        else:
            options |= {
                "address": "local",  # a plain init would attach to any cluster that happens to run here
                "num_cpus": workers,
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": True,
                "dashboard_host": "127.0.0.1",
            }
        try:
            context = self._ray.init(**options)
        except ConnectionError as error:
            raise UserError(
                f"no Ray cluster answers ({error})", where=target, hint="see `corpusmill doctor`"
            ) from error
        if not target:
            tell(f"corpusmill: the embedded Ray's dashboard is at http://{context.dashboard_url}", event="ray")

    @property
    def slots(self) -> int:
        """How many tasks are handed out, by the nodes that there are."""
        if time.monotonic() >= self._next_look:
            self._look_at_nodes()
        return self._slots

    def _look_at_nodes(self) -> int:
        """Notes which node is the head and how many tasks there is room for; gives the CPUs that they may have."""
        nodes = self._ray.nodes()
        self._next_look = time.monotonic() + NODES_SECONDS
        self._spared = spared_head(nodes, head_tasks=self._head_tasks)
        cpus = cpus_of(nodes, self._spared)
        self._slots = max(1, cpus if self._embedded else TASKS_A_CPU * cpus)
        return cpus

    def submit(self, call: Call) -> None:
        options: dict[str, Any] = {"name": f"{call.phase}/{call.task}"}
        options |= task_options(call.reserved, self._spared, waits=call.ranks > 0)
        spared = self._spared if call.ranks else ""
        self._pending[self._remote.options(**options).remote(call, spared)] = call

    def wait(self, timeout: float) -> list[Ended]:
        if not self._pending:
            return []
        ready, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=timeout)
        return [self._end(reference, self._pending.pop(reference)) for reference in ready]

    def bytes_done(self) -> Mapping[int, float]:
        return {ticket: note.bytes for ticket, note in self.at_work().items()}

    def at_work(self) -> Mapping[int, AtWork]:
        with self._reading:  # by the thread that shows progress, and the one that notes it
            return self._notes.of({call.ticket: call for call in [*self._pending.values()]})

    def find_worker(self, ticket: int) -> str:
        from ray.util.state import list_tasks

        call = next((call for call in [*self._pending.values()] if call.ticket == ticket), None)
        with contextlib.suppress(Exception):  # it asks the dashboard, which a cluster may be without
            wanted: list[Any] = [("name", "=", f"{call.phase}/{call.task}")] if call else []
            names = {node["NodeID"]: node["NodeManagerHostname"] for node in self._ray.nodes()}
            for task in list_tasks(filters=wanted, timeout=STATE_SECONDS, detail=True)[-1:] if wanted else ():
                process = f":{task.worker_pid}" if task.worker_pid else ""
                return f"{names.get(task.node_id, task.node_id)}{process}" if task.node_id else ""
        return ""

    def _end(self, reference: Any, call: Call) -> Ended:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise  # run_call never raises: this is a bug of ours
        except self._ray.exceptions.RayError as error:
            return Ended(ticket=call.ticket, death=describe_ray_error(error))

    def close(self) -> None:
        for reference in self._pending:
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._pending.clear()
        if self._ours:
            self._ray.shutdown()


def check_reachable(address: str) -> None:
    """Raises UserError when nothing listens at `host:port`: Ray itself would keep trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # "auto" and "local" are Ray's to find
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster answers ({error.strerror or error})", where=address, hint="see `ray status` there"
        ) from error


def describe_ray_error(error: Exception) -> str:
    """The cause of a Ray worker's death in one line, with what Ray says of it."""
    kind = type(error).__name__
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    cause = {
        "OutOfMemoryError": "out of memory: Ray ended the worker because its node ran short",
        "WorkerCrashedError": "the worker process died (a signal, or the kernel for want of memory)",
        "NodeDiedError": "the node was lost",
    }.get(kind, kind)
    return f"{cause}: {first[:200]}" if first else cause


_apart: Any = None
"""This worker's own worker, for calls that must run apart; it stays for the next one."""


def _run_apart(call: Call) -> Ended:
    """Runs a call in a process that this one watches and may end: nobody else on this node could."""
    global _apart
    import psutil

    from corpusmill.pipelines.engine.local import ProcessExecutor

    if _apart is None:  # how much memory it may hold is for Ray to say
        _apart = ProcessExecutor(workers=1, memory_per_worker=psutil.virtual_memory().total)
    executor = _apart
    executor.submit(call)

    def seen() -> tuple[float, Mark]:
        mark = next((worker.heartbeat.read() for worker in [*executor._workers] if worker.call is call), NOTHING)
        return executor.bytes_done().get(call.ticket, 0.0), mark

    with noting(call, seen):
        while not (ended := executor.wait(1.0)):
            pass
    return ended[0]


def _run_here(call: Call, start_ranks: StartRanks | None) -> Ended:
    """Runs a call in this process, and notes how far it is."""
    heartbeat, done = Heartbeat(bytearray(HEARTBEAT_BYTES)), [0.0]

    def advance(count: int) -> None:
        done[0] += count

    with noting(call, lambda: (done[0], heartbeat.read())):
        return run_call(call, start_ranks, heartbeat, advance)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Has a Ray that is started in the block listen on loopback only, its processes included."""
    before = os.environ.get(ON_LOOPBACK)
    os.environ[ON_LOOPBACK] = "0"
    if imported := sys.modules.get(RAY_CONSTANTS):  # it has read the variable already
        imported.ENABLE_RAY_CLUSTER = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if before is None:
            del os.environ[ON_LOOPBACK]
        else:
            os.environ[ON_LOOPBACK] = before
        if imported := sys.modules.get(RAY_CONSTANTS):
            is_cluster = before != "0" if before else has_ray_clusters()
            imported.ENABLE_RAY_CLUSTER = is_cluster  # type: ignore[attr-defined]


def _run_on_ray(call: Call, spared: str) -> Ended:
    """The body of the Ray task; `spared` is the node that ranks are to leave alone."""
    from corpusmill.pipelines import kernels

    start_ranks: StartRanks | None = None  # only a task of several ranks starts any
    if call.ranks:
        from corpusmill.pipelines.engine.ray_ranks import start_by_ray_train

        start_ranks = partial(start_by_ray_train, spared=spared)
    try:
        kernels.configure()
        if call.kernels:
            say = partial(print, file=sys.stderr)  # the worker's own log
            kernels.compile_if_needed(say, call.kernels)
    except UserError as error:
        return Ended(ticket=call.ticket, error=describe(error))
    with ends_with_lease(call.folder, call.lease):
        return _run_apart(call) if call.apart else _run_here(call, start_ranks)
