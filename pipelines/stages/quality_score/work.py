"""The workers' side of scoring: a part of documents, and the same part with the scores of a classifier."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, open_part, read_batches
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.saved import SavedModel, open_saved
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.quality_score.plan import ScoreWork

RAW = "_raw"
"""Behind the name of the column of calibrated scores, the name of the column of raw ones."""


def score_part(task: TaskContext[ScoreWork]) -> dict[str, Any]:
    """Scores a part into the part of the task's name."""
    arguments = task.arguments
    path, column = arguments.path, arguments.column
    model = open_saved(
        arguments.model, label=arguments.label, settings=arguments.lines, calibrated=arguments.calibrated
    )
    with open_part(path) as file:
        schema = file.schema_arrow.remove_metadata()
    for name in [column, *([column + RAW] if model.calibration else [])]:
        if name in schema.names:
            raise UserError(f"there is already a column {name}", path, "name another column with --column")
        schema = schema.append(pa.field(name, pa.float64(), nullable=False))
    counts, tenths = {"documents_in": 0, "kept": 0}, np.zeros(10, np.int64)
    with PartWriter(task.folder, task.id, schema, part_bytes=ONE_PART_A_FILE) as writer:
        for batch in read_batches(path):
            counts["documents_in"] += batch.num_rows
            for scored in task.guard.apply(batch, partial(_scored, model=model, schema=schema), path):
                writer.write(scored)
                counts["kept"] += scored.num_rows
                places = (scored.column(column).to_numpy() * 10).astype(np.int64)
                tenths += np.bincount(np.minimum(places, 9), minlength=10)
    return {
        **counts,
        "quarantined": task.guard.quarantined,
        "tenths": tenths.tolist(),
        "parts": writer.parts,
        "files": write_quarantine(task),
    }


def _scored(batch: pa.RecordBatch, model: SavedModel, schema: pa.Schema) -> pa.RecordBatch:
    raw = model.raw(batch.column("text"))
    added = [pa.array(model.calibrated(raw)), pa.array(raw)] if model.calibration else [pa.array(raw)]
    return pa.RecordBatch.from_arrays([*batch.columns, *added], schema=schema)
