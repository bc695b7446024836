"""The worker's side of training: the trainer in this process, with all cores."""

import os
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataproc import storage
from dataproc.errors import UserError, require_extra
from pipelines.engine.state import STATE
from pipelines.engine.worker import TaskContext
from pipelines.tasks.outputs import file_entry

OUTPUTS = ("model.safetensors", "config.json", "summary.json", "metrics.jsonl", "plan.json")


def train_model(task: TaskContext) -> dict[str, Any]:
    """Trains to the end, from the last checkpoint where there is one."""
    # Threads that wait by spinning take the cores from each other on a busy machine: a step of 0.4 s became one of
    # 10 s. OpenMP reads this when torch is first imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    try:
        from training.settings import TrainSettings
        from training.trainer import train
    except ImportError as error:
        raise require_extra(error.name or "torch", "train") from error
    if storage.is_url(task.folder) or storage.is_url(task.arguments["shards"]):
        raise UserError(
            "training reads and writes local folders only", where=task.folder, mend="copy the shards to a local disk"
        )
    settings = TrainSettings(**task.arguments)
    summary = train(settings, task.path(STATE), token_bytes=_token_bytes(settings.shards))
    return {"summary": summary, "files": [file_entry(task, name) for name in OUTPUTS]}


def _token_bytes(shards: str) -> np.ndarray:
    """Bytes of text that each id stands for; special tokens stand for none."""
    with storage.open_input(storage.join(shards, "vocabulary.parquet")) as file:
        table = pq.read_table(file)
    return pc.if_else(table["special"], 0, pc.binary_length(table["bytes"])).to_numpy().astype(np.int64)
