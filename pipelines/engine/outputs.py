"""The file entries in task results."""

from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import side_writer
from corpusmill.dataproc.documents import QUARANTINE_SCHEMA
from corpusmill.pipelines.engine.worker import TaskContext


def write_quarantine(task: TaskContext) -> list[dict[str, Any]]:
    """Writes the task's quarantined records, if there are any; gives the entries for the manifest."""
    rows = task.guard.quarantined_rows
    if not rows.rows:
        return []
    with side_writer(task.folder, "quarantine", task.id, QUARANTINE_SCHEMA) as writer:
        for batch in rows.batches():
            writer.write(batch)
    records = task.guard.quarantined
    return [part | ({"records": records} if records != part["rows"] else {}) for part in writer.parts]


def file_entry(task: TaskContext, name: str) -> dict[str, Any]:
    """The entry of an existing file."""
    path = task.path(name)
    return {"path": name, "bytes": storage.size(path), "digest": storage.digest_file(path)}
