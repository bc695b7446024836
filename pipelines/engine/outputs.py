"""The file entries in task results."""

from collections.abc import Sequence
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import write_table
from corpusmill.pipelines.engine.worker import TaskContext


def write_quarantine(task: TaskContext) -> list[dict[str, Any]]:
    """Writes the task's quarantined records, if there are any; gives the entries for the manifest."""
    if not task.guard.quarantined:
        return []
    name = f"quarantine/{task.id}.parquet"
    return [{"path": name} | write_table(task.path(name), task.guard.quarantine_table())]


def file_entry(task: TaskContext, name: str) -> dict[str, Any]:
    """The entry of an existing file."""
    path = task.path(name)
    return {"path": name, "bytes": storage.size(path), "digest": storage.digest_file(path)}


def below(folder: str, parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of parts that were written to a folder below the stage's."""
    return [part | {"path": storage.join(folder, part["path"])} for part in parts]
