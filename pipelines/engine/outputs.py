"""The file entries in task results."""

from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import write_table
from corpusmill.dataproc.side_tables import side_name
from corpusmill.pipelines.engine.worker import TaskContext


def write_quarantine(task: TaskContext) -> list[dict[str, Any]]:
    """Writes the task's quarantined records, if there are any; gives the entries for the manifest."""
    if not task.guard.quarantined:
        return []
    name = side_name("quarantine", task.id)
    return [{"path": name} | write_table(task.path(name), task.guard.quarantine_table())]


def file_entry(task: TaskContext, name: str) -> dict[str, Any]:
    """The entry of an existing file."""
    path = task.path(name)
    return {"path": name, "bytes": storage.size(path), "digest": storage.digest_file(path)}
