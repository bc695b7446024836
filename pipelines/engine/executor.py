"""The executor interface: send a call to a worker, and learn how calls ended. Nothing else differs between engines.

Retries, quarantine, markers and progress live above it (`scheduler.py`), so `local` and `ray` survive the same things
in the same way.
"""

import os
from collections.abc import Mapping
from typing import Protocol

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.operating_system import available_cores
from corpusmill.pipelines.engine.task import Call, Ended
from corpusmill.pipelines.engine.task_notes import AtWork


class Executor(Protocol):
    """A pool of workers.

    Attributes:
        slots: how many calls may be in flight; the scheduler sends no more.
        leaves_notes: workers note in the stage's folder how far they are (`task_notes.py`), since no memory is shared.
        is_driver: calls run inside the driver itself, so a call that kills its worker kills the driver.
        description: for people ("2 local processes").
    """

    @property
    def slots(self) -> int: ...

    is_driver: bool
    leaves_notes: bool
    description: str

    def submit(self, call: Call) -> None:
        """Sends a call; never blocks for its end."""

    def wait(self, timeout: float) -> list[Ended]:
        """The calls that ended, after at most `timeout` seconds; empty when none did."""

    def bytes_done(self) -> Mapping[int, float]:
        """Bytes of text that the calls in flight report as done, by ticket; empty where workers are out of reach."""

    def at_work(self) -> Mapping[int, AtWork]:
        """What is known of the calls in flight, by ticket; for another thread."""

    def find_worker(self, ticket: int) -> str:
        """Where a call in flight runs, "node:process", when its worker has not reported: this may take seconds; ""
        where it is not known. For another thread."""

    def close(self) -> None:
        """Ends the workers; calls in flight are abandoned."""


def choose_engine(engine: str | None, address: str | None) -> str:
    """The engine by flag, else `ray` when an address is given or RAY_ADDRESS is set (inside a submitted job)."""
    if engine not in (None, "local", "ray"):
        raise UserError(f"no engine '{engine}'", where="--engine", hint="use local or ray")
    if engine == "local" and address:
        raise UserError("an address is given for the local engine", where="--address", hint="use --engine ray")
    return engine or ("ray" if address or os.environ.get("RAY_ADDRESS") else "local")


def cluster_address(address: str | None) -> str:
    """The Ray cluster that is attached to; "" for an embedded one."""
    return address or os.environ.get("RAY_ADDRESS") or ""


def make_executor(
    engine: str | None,
    *,
    workers: int = 0,
    address: str | None = None,
    memory_per_worker: int = 0,
    head_tasks: bool = False,
) -> Executor:
    """The chosen executor, started.

    Args:
        engine: "local", "ray" or None for the rule of `choose_engine`.
        workers: processes (local) or CPUs of an embedded Ray; 0 means one for each core.
        address: of a Ray cluster to attach to.
        memory_per_worker: bytes; a local worker that holds more is ended. 0 means an even share of the machine.
        head_tasks: tasks may run on a Ray cluster's head node, too, where there are others.
    """
    count = workers or available_cores()
    if choose_engine(engine, address) == "ray":
        from corpusmill.pipelines.engine.ray import RayExecutor

        return RayExecutor(address=address, workers=count, head_tasks=head_tasks)
    if count == 1:
        from corpusmill.pipelines.engine.local import InProcessExecutor

        return InProcessExecutor(memory_per_worker=memory_per_worker)
    from corpusmill.pipelines.engine.local import ProcessExecutor

    return ProcessExecutor(workers=count, memory_per_worker=memory_per_worker)
