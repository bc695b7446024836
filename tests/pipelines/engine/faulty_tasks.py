"""Task functions with real faults, and the stage that runs them; imported by name in worker processes."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import tokenizers
from pydantic import Field

from corpusmill.dataproc import storage, watching
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.engine.worker import TaskContext

ENDLESS = r"(a+)+$"
"""A regular expression that goes back over a text for ever, until its library panics."""

HERE = "tests.pipelines.engine.faulty_tasks"


def _times(task: TaskContext, what: str) -> int:
    """How often this task came here, counted on disk so that it survives the process."""
    path = Path(task.arguments["scratch"], f"{task.id}.{what}")
    count = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(count))
    return count


def copy_documents(task: TaskContext) -> dict[str, Any]:
    """Upper-cases ten documents into a file, with the fault that its arguments name."""
    fault = task.arguments.get("fault", "")
    attempt = _times(task, "attempts")
    if fault == "transient" and attempt < 3:
        raise ConnectionResetError(104, "the store went away")
    if fault == "user":
        raise UserError("the text is upside down", where="book.txt", hint="turn it")
    if fault == "bug":
        raise ZeroDivisionError("a bug of ours")
    if fault.startswith("tells a secret"):
        kind = ConnectionError if "transiently" in fault else ValueError
        raise kind(f"the client has {os.environ['AWS_SECRET_ACCESS_KEY']} for a key")
    if fault == "full":
        raise OSError(28, "No space left on device", "/somewhere/part")
    if fault == "interrupted once" and attempt == 1:
        raise KeyboardInterrupt
    if fault == "dies once" and attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "dies always":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault in ("memory", "much memory"):
        memory = [bytearray(1 << 20) for _ in range(600 if fault == "memory" else 4000)]
        time.sleep(20)
        raise AssertionError(f"still alive with {len(memory)} MiB")
    if fault == "memory error":
        raise MemoryError("cannot allocate")
    if fault == "stuck":
        watching.ready()
    if fault == "says its process":
        Path(task.arguments["scratch"], f"{task.id}.process").write_text(str(os.getpid()))
        time.sleep(6)
    if fault == "slow":
        time.sleep(0.3)
    while fault == "waits" and not Path(task.arguments["scratch"], "go").exists():
        time.sleep(0.02)
    ids = [f"{task.id}/{row}" for row in range(10)]
    batch = pa.RecordBatch.from_pydict({"id": ids, "text": [f"text {name}" for name in ids]})

    def upper(documents: pa.RecordBatch) -> list[str]:
        names = documents.column("id").to_pylist()
        if fault == "poison" and f"{task.id}/7" in names:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "stuck" and f"{task.id}/5" in names:
            time.sleep(1000)
        if fault == "panics" and f"{task.id}/4" in names:
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(ENDLESS), "isolated").pre_tokenize_str("a" * 40 + "b")
        if fault == "raises" and f"{task.id}/3" in names:
            raise ValueError("cannot read this")
        return [text.upper() for text in documents.column("text").to_pylist()]

    texts = [text for part in task.guard.apply(batch, upper, "memory") for text in part]
    path = f"{task.id}.txt"
    with storage.commit_file(task.path(path)) as file:
        file.write("\n".join(texts).encode())
    bad = task.guard.quarantine_table().select(["id", "reason"]).to_pylist()
    return {
        "documents_in": 10,
        "kept": len(texts),
        "quarantined": len(bad),
        "bad": bad,
        "files": [{"path": path, "bytes": file.bytes, "digest": file.digest}],
    }


class FaultySettings(StageSettings):
    """A fault for some of the tasks, by number."""

    scratch: str = Field(description="folder that counts attempts")
    tasks: int = 4
    faults: dict[int, str] = Field(default={})


class FaultyStage(Stage):
    """A few tasks, some of which fail as told."""

    name = "faulty"
    Settings = FaultySettings
    kernels = ()
    settings: FaultySettings

    def document_seconds(self) -> float:
        return 2.0 if self.is_unbounded() else 10.0

    def is_unbounded(self) -> bool:
        return "stuck" in self.settings.faults.values()

    def inputs(self) -> dict[str, Any]:
        return {}

    def phases(self) -> list[PhasePlan]:
        return [PhasePlan(name="copy", tasks=self.settings.tasks, bytes=0)]

    def run(self, run: StageRun) -> Summary:
        tasks = [
            Task(
                id=f"task-{number}",
                function=f"{HERE}:copy_documents",
                arguments={"scratch": self.settings.scratch, "fault": self.settings.faults.get(number, "")},
                bytes=100,
            )
            for number in range(self.settings.tasks)
        ]
        results = run.map("copy", tasks)
        return Summary(
            counts=add_counts(results, ["documents_in", "kept", "quarantined"]),
            files=[entry for result in results for entry in result["files"]],
            facts={"bad": [bad for result in results for bad in result["bad"]]},
        )


def in_batches(task: TaskContext[Any]) -> dict[str, Any]:
    """Ten batches, each slow enough to be seen."""
    batch = pa.record_batch({"id": ["a"], "text": ["x" * 60]})
    for _ in range(10):
        for _ in task.guard.apply(batch, lambda some: time.sleep(0.05), "a place"):
            pass
    return {}
