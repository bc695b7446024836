"""Functions for ranks that do as they are told, without torch: what goes wrong is real."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.worker import TaskContext


def run_all(task: TaskContext) -> dict[str, Any]:
    """The task: its ranks."""
    return task.run_ranks(f"{__name__}:act")


def act(task: TaskContext) -> dict[str, Any]:
    """A rank: leaves its number and process, and does what `arguments` have for it; else it is done, or waits where
    they say so."""
    rank = int(os.environ["RANK"])
    Path(task.path(f"rank-{rank}.pid")).write_text(str(os.getpid()))
    match task.arguments.get(str(rank)):
        case "user":
            raise UserError("the text is upside down", where="book.txt", hint="turn it")
        case "bug":
            raise ZeroDivisionError("a bug of ours")
        case "broken":
            raise RuntimeError("[/gloo/transport/tcp/pair.cc:537] Connection closed by peer [127.0.0.1]:1")
        case "dies once" if not Path(task.path("died")).exists():
            Path(task.path("died")).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        case "waits":
            time.sleep(600)
    return {"rank": rank, "of": int(os.environ["WORLD_SIZE"]), "by": os.getppid()}
