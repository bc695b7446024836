"""The options that all commands which run stages share: how to run, as opposed to what to make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ByteSize, TypeAdapter, ValidationError

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.stopping import USUAL_SECONDS
from corpusmill.pipelines.engine.messages import choose_log_format


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run, as against what to make: none of these changes a byte of the outputs.

    Attributes:
        engine: local or ray; None to go by the environment.
        address: of a Ray cluster; None for its own.
        workers: processes; 0 for one on each core.
        memory_per_worker: bytes; 0 for an even share.
        resources: what tasks reserve of a Ray cluster's nodes, as `engine.reserved.read_flags` takes it.
        head_tasks: tasks may run on a Ray cluster's head node, too, where there are others.
        grace_seconds: after SIGTERM, for a checkpoint of a training run.
        overwrite: overwrite output that is already there.
        dry_run: print the plan and run nothing.
        max_quarantine: as `pipelines.quarantine.read_limit` takes it; None for the recipe's own.
        allow_quarantine: no limit at all.
        json: print the summary, or the plan, as JSON.
        log_format: of the lines on stderr, text or json; None for the environment's.
    """

    engine: str | None = None
    address: str | None = None
    workers: int = 0
    memory_per_worker: int = 0
    resources: Sequence[str] = ()
    head_tasks: bool = False
    grace_seconds: float = USUAL_SECONDS
    overwrite: bool = False
    dry_run: bool = False
    max_quarantine: str | None = None
    allow_quarantine: bool = False
    json: bool = False
    log_format: str | None = None

    @classmethod
    def from_flags(cls, values: Mapping[str, Any]) -> "RunOptions":
        """From the values of the common flags; the format of log lines holds from here on."""
        choose_log_format(values.get("log_format"))
        picked = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        picked["memory_per_worker"] = read_size(picked.get("memory_per_worker", "0"), "--memory-per-worker")
        return cls(**picked)


def read_size(text: str, where: str) -> int:
    """Bytes, from a number and a unit. Raises UserError, naming the flag."""
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError as error:
        raise UserError(f"'{text}' is not a size", where=where, hint="write a number and a unit, as in 4GiB") from error
