"""The worker's side of a search index: parts are read, and segments written as there is text enough."""

from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.dataproc.search.building import SegmentText, write_segment
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.search.arguments import SegmentWork

COLUMNS = ["id", "text", "source"]


def build_segments(task: TaskContext[SegmentWork]) -> dict[str, Any]:
    """Phase `segments`. Memory: 5 bytes a byte of a segment's text, one row group."""
    arguments = task.arguments
    collected, files = SegmentText(), list[dict[str, Any]]()
    documents = text_bytes = 0

    def write() -> None:
        nonlocal documents, text_bytes
        if not collected.documents:
            return
        text, names = collected.taken()
        documents += len(names.starts)
        text_bytes += len(text)
        suffix = f"_{len(files):03d}" if files else ""
        name = f"segment-{arguments.number:05d}{suffix}.fm"
        files.append({"path": name} | write_segment(task.path(name), text, names, arguments.locate_every))

    for path in arguments.paths:
        for whole in read_batches(path, COLUMNS):
            batch = whole
            while batch.num_rows:
                taken = _rows_that_fit(batch, arguments.text_bytes - collected.bytes)
                if not taken and not collected.documents:
                    taken = 1  # a document that is larger than a segment has one to itself
                collected.add(batch.slice(0, taken))
                batch = batch.slice(taken)
                if batch.num_rows:
                    write()
    write()
    return {"documents_in": documents, "text_bytes": text_bytes, "files": files}


def _rows_that_fit(batch: pa.RecordBatch, room: int) -> int:
    """How many of the first documents have no more text than there is room for."""
    offsets, _ = text_buffers(batch.column("text"))
    return int(np.searchsorted(np.cumsum(np.diff(offsets) + 1), room, "right"))
