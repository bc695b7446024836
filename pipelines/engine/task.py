"""What a task is, and what a worker needs to run one.

A task is one shard of a stage's work: an importable function and its arguments, a frozen dataclass of plain values, so
that it can be sent to a spawned process or to another machine as it is. It reads files, writes files and returns small
numbers, which are kept as JSON; documents never travel through the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from importlib import import_module
from typing import Any

from corpusmill.pipelines.engine.heartbeat import Mark


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One unit of work, of a second or more.

    Attributes:
        id: stable and unique in its phase; also a file name.
        function: "package.module:function", called with a `TaskContext`, giving a JSON-able dict.
        arguments: everything that the output depends on: a frozen dataclass, declared where the task is planned, of
            plain values and paths.
        bytes: input bytes, for progress and estimates.
        ranks: the task is so many processes that use the whole machine (training; `ranks.py`); 0 for any other task.
    """

    id: str
    function: str
    arguments: Any = None
    bytes: int = 0
    ranks: int = 0


@dataclass(frozen=True, kw_only=True)
class Call:
    """A task as it is sent to a worker: where its state is kept, how careful to be in this attempt, the warm-up
    modules of kernels that it calls (a node that never ran them compiles them first), and the token of its driver.

    `document_seconds` is the longest that a document may take, 0 for no limit; `apart` says that it calls code whose
    time nobody bounds, so that it must run in a process that can be ended; `slow` names batches that took too
    long; `reserved` is what it reserves of a cluster's node (`Reserved.as_values`).
    """

    ticket: int
    function: str
    arguments: Any
    folder: str
    phase: str
    task: str
    attempt: int = 0
    careful: bool = False
    skip: Mapping[str, str] = field(default_factory=dict)
    ranks: int = 0
    kernels: tuple[str, ...] = ()
    lease: str = ""
    document_seconds: float = 0.0
    apart: bool = False
    slow: tuple[str, ...] = ()
    reserved: Mapping[str, Any] = field(default_factory=dict)


def call_to_values(call: Call) -> dict[str, Any]:
    """A call as values that JSON keeps, for the ranks of a task: its arguments are a dataclass of such values."""
    values, arguments = vars(call).copy(), call.arguments
    if is_dataclass(arguments) and not isinstance(arguments, type):
        kind = type(arguments)
        values["arguments"] = {"type": f"{kind.__module__}:{kind.__qualname__}", "fields": vars(arguments)}
    else:
        values["arguments"] = {"type": "", "fields": arguments}
    return values


def call_from_values(values: Mapping[str, Any]) -> Call:
    """The call that `call_to_values` wrote."""
    written = values["arguments"]
    if not written["type"]:
        return Call(**{**values, "arguments": written["fields"]})
    module, _, name = written["type"].partition(":")
    return Call(**{**values, "arguments": getattr(import_module(module), name)(**written["fields"])})


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a call ended: with a result, with an error that was caught in the worker, or with the worker's death; with
    `late`, because the worker was ended when a document or a batch took too long; and the bytes of text that it
    reported as done on the way, and the requests that it made of object stores, by kind."""

    ticket: int
    bytes_done: float = 0.0
    result: dict[str, Any] | None = None
    error: "TaskError | None" = None
    death: str | None = None
    late: Mark | None = None
    store_requests: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TaskError:
    """An exception of a task, as text, so that it crosses processes and engines alike.

    `kind` is "user" (the user can mend it), "full" (no space left), "transient" (worth another attempt),
    "memory" (a MemoryError) or "bug" (keeps its traceback).
    """

    kind: str
    message: str
    traceback: str = ""


class TaskFailed(Exception):
    """An error of a task that is known in a worker's words already, such as one of its ranks'."""

    def __init__(self, error: TaskError) -> None:
        super().__init__(error.message)
        self.error = error
