"""The worker's side of training: the trainer on every rank, with all of its threads.

A run of one rank trains in the task's own process. More are started by the engine (`pipelines/engine/ranks.py`), or
were started by torchrun before anything else (`pipelines/stages/train/work/launched.py`); the function for each rank is
the same.
"""

import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import require_extra
from corpusmill.dataproc.sequences.shard_folder import vocabulary_path
from corpusmill.pipelines.engine.outputs import file_entry
from corpusmill.pipelines.engine.ranks import launched_ranks
from corpusmill.pipelines.engine.state import STATE
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.train.work.launched import lead
from corpusmill.pipelines.stages.train.work.mirror import fetch_files, mirrored
from corpusmill.training.settings import TrainSettings

OUTPUTS = ("model.safetensors", "config.json", "summary.json", "metrics.jsonl", "plan.json")
SAMPLES = "samples.json"
SOMETIMES = ("average.safetensors", "spikes.jsonl", SAMPLES)
"""Outputs that only some settings, or some runs, lead to."""


def train_model(task: TaskContext[TrainSettings]) -> dict[str, Any]:
    """Trains to the end, from the last checkpoint where there is one, on as many ranks as the task has."""
    if launched_ranks() > 1:
        return lead(task, train_rank)
    return task.run_ranks(f"{__name__}:{train_rank.__name__}")


def train_rank(task: TaskContext[TrainSettings]) -> dict[str, Any]:
    """Trains as one of the ranks that the environment tells of; rank 0 has the result."""
    # Threads that wait by spinning take the cores from each other on a busy machine: a step of 0.4 s became one of
    # 10 s. OpenMP reads this when torch is first imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    try:
        from corpusmill.training.parallel.ranks import join_ranks
        from corpusmill.training.trainer import train
        from corpusmill.training.watching.samples import MOST_PARAMETERS
    except ImportError as error:
        raise require_extra(error.name or "torch", "train") from error
    settings = task.arguments
    with join_ranks(settings.device) as ranks, ExitStack() as folders:
        output = settings.output
        if storage.is_url(output):
            output = folders.enter_context(mirrored(output))
        start = local_start(settings.start_from, folders)
        here = replace(settings, output=output, start_from=start)
        summary = train(here, storage.join(output, STATE), token_bytes=_token_bytes(settings.shards), ranks=ranks)
        if ranks.alone and summary["parameters"]["total"] <= MOST_PARAMETERS:
            _write_samples(here)
    if not ranks.leads:
        return {}
    there = [name for name in SOMETIMES if storage.exists(task.path(name))]
    return {"summary": summary, "files": [file_entry(task, name) for name in (*OUTPUTS, *there)]}


def local_start(start: str | None, folders: ExitStack) -> str | None:
    """The folder of the weights to start from; those behind a URL are copied here first."""
    if start is None or not storage.is_url(start):
        return start
    local = folders.enter_context(tempfile.TemporaryDirectory(prefix="corpusmill-start-"))
    fetch_files(start, Path(local))
    return local


def _write_samples(settings: TrainSettings) -> None:
    """A few texts of the model, for the report: prompt and completion, in the bytes of their tokens."""
    from corpusmill.training.watching.samples import write_samples

    with storage.open_input(vocabulary_path(settings.shards)) as file:
        table = pq.read_table(file)
    spelled = pc.if_else(table["special"], b"", table["bytes"]).to_pylist()

    def text(ids: list[int]) -> str:
        return b"".join(spelled[token] for token in ids).decode("utf-8", "replace")

    samples = [
        {"prompt": text(sample.prompt), "completion": text(sample.ids), "log_probability": sample.log_probability}
        for sample in write_samples(Path(settings.output), settings.shards, settings.seed)
    ]
    path = storage.join(settings.output, SAMPLES)
    storage.commit_bytes(path, (json.dumps(samples, indent=1) + "\n").encode())


def _token_bytes(shards: str) -> np.ndarray:
    """Bytes of text that each id stands for; special tokens stand for none."""
    with storage.open_input(vocabulary_path(shards)) as file:
        table = pq.read_table(file)
    return pc.if_else(table["special"], 0, pc.binary_length(table["bytes"])).to_numpy().astype(np.int64)
