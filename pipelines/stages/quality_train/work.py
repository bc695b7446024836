"""The workers' side of training a quality classifier; `plan.py` says in which order the phases run."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part, read_batches, write_table
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.evaluation import (
    GROUPS,
    SCORED_SCHEMA,
    evaluate,
    is_for_calibration,
    is_held_back,
)
from corpusmill.dataproc.quality.lines import as_strings, to_lines
from corpusmill.dataproc.quality.model_file import write_model
from corpusmill.dataproc.quality.ranking import reaches
from corpusmill.dataproc.quality.saved import MODEL, NEGATIVE, POSITIVE, RECORD, RECORD_VERSION, local_copy
from corpusmill.dataproc.quality.scorer import open_scorer
from corpusmill.dataproc.quality.trainer import Hyperparameters, train
from corpusmill.dataproc.quality.words import WordNumbers
from corpusmill.dataproc.randomness import random_keys
from corpusmill.pipelines.engine.outputs import file_entry
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.quality_keep.arguments import DrawRank
from corpusmill.pipelines.stages.quality_keep.work.ranking import rank
from corpusmill.pipelines.stages.quality_train.plan import ClassWork, RecordWork, TrainWork

LINES_SCHEMA = pa.schema(
    [("draw", pa.uint64()), ("id", pa.string()), ("label", pa.int8()), ("line", pa.large_binary())]
)
LABELS = (POSITIVE, NEGATIVE)
PROGRESS_SECONDS = 2.0


def write_lines(task: TaskContext[ClassWork]) -> dict[str, Any]:
    """A part → `_work/lines/<part>.arrow`: one record batch a bucket of the order in which documents are trained on."""
    arguments, settings = task.arguments, task.arguments.lines
    name, buckets = arguments.label, arguments.buckets
    pieces: list[pa.Table] = []
    size = 0
    for batch in read_batches(arguments.path, ["id", "text"]):
        chosen = _trained_on(batch, arguments)
        offsets, data = to_lines(chosen.column("text"), settings)
        lines = as_strings(offsets, data)
        size += int(offsets[-1] - offsets[0])
        draws = random_keys(arguments.seed, "quality/order", chosen.column("id"))
        labels = pa.array(np.full(chosen.num_rows, 0 if name == "positive" else 1, np.int8))
        columns = [pa.array(draws), chosen.column("id"), labels, lines.cast(pa.large_binary())]
        pieces.append(pa.table(columns, schema=LINES_SCHEMA))
    table = pa.concat_tables([LINES_SCHEMA.empty_table(), *pieces]).combine_chunks()
    drawn = table["draw"].to_numpy()
    places = np.minimum((drawn / 2.0**64 * buckets).astype(np.int64), buckets - 1)
    with storage.commit_file(task.work_path("lines", f"{task.id}.arrow"), durable=False) as file:
        writer = pa.ipc.new_file(file, LINES_SCHEMA)
        with writer:
            for bucket in range(buckets):
                rows = table.filter(pa.array(places == bucket)).combine_chunks()
                batches = rows.to_batches() or [pa.RecordBatch.from_pylist([], schema=LINES_SCHEMA)]
                writer.write_batch(batches[0])
    return {"class": name, "documents": table.num_rows, "bytes": size}


def _trained_on(batch: pa.RecordBatch, arguments: ClassWork) -> pa.RecordBatch:
    """The documents of a batch that are neither held back nor beyond their class's cap."""
    batch = batch.filter(pa.array(~is_held_back(batch.column("id"), arguments.held_back, arguments.seed)))
    if arguments.label not in arguments.cutoffs:
        return batch
    ranked = rank(batch, DrawRank(label=arguments.label, held_back=arguments.held_back, seed=arguments.seed))
    cutoff = arguments.cutoffs[arguments.label]
    return batch.filter(pa.array(reaches(ranked.keys, ranked.draws, cutoff)))


def train_model(task: TaskContext[TrainWork]) -> dict[str, Any]:
    """All lines, in their drawn order → `model.bin`. Tokens lie in a temporary file, and are mapped."""
    arguments = task.arguments
    words, labels, ends = WordNumbers(), [], []
    tokens = 0
    folder = None if storage.is_url(task.folder) else task.work_path()
    with tempfile.TemporaryDirectory(prefix=".tmp-tokens-", dir=folder) as scratch:
        path = Path(scratch) / "tokens"
        with path.open("wb") as file:
            for bucket in _buckets(task):
                numbers, stops = words.number(*_line_buffers(bucket["line"].combine_chunks()))
                file.write(numbers.tobytes())
                labels.append(bucket["label"].to_numpy().astype(np.int32))
                ends.append(stops + tokens)
                tokens += len(numbers)
        if not tokens:
            raise UserError("no documents are left to train on", hint="add documents, or hold back fewer")
        model = train(
            np.memmap(path, np.int32, "r"),
            np.concatenate(ends),
            np.concatenate(labels),
            words,
            LABELS,
            Hyperparameters(**arguments.hyperparameters),
            arguments.seed,
            _progress_writer(task),
        )
    with storage.commit_file(task.path(MODEL)) as file:
        write_model(model, file)
    facts = {"tokens": tokens, "words": len(model.words), "distinct_words": len(words.counts), "rows": len(model.input)}
    return {"told": facts, "files": [file_entry(task, MODEL)]}


def _buckets(task: TaskContext[TrainWork]) -> Iterator[pa.Table]:
    """The lines of each bucket, of all parts, in the order drawn (equal draws by id, then by class)."""
    paths = [task.work_path("lines", f"{name}.arrow") for name in task.arguments.parts]
    for bucket in range(task.arguments.buckets):
        batches = []
        for path in paths:
            with storage.open_input(path) as file:
                batches.append(pa.ipc.open_file(file).get_batch(bucket))
        table = pa.Table.from_batches(batches, LINES_SCHEMA)
        if table.num_rows:
            yield table.sort_by([("draw", "ascending"), ("id", "ascending"), ("label", "ascending")])


def _line_buffers(lines: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64, bytes uint8) of lines that `to_lines` made."""
    _, offsets, data = lines.buffers()
    stops = np.frombuffer(offsets, np.int64)[lines.offset : lines.offset + len(lines) + 1]
    # Copies, so that the kernels that count words are compiled for one kind of array: ours, which may be written to
    return stops.copy(), np.frombuffer(data, np.uint8).copy() if data is not None else np.zeros(0, np.uint8)


def _progress_writer(task: TaskContext[TrainWork]) -> Callable[[float], None]:
    """Writes how far training is to where the driver looks; every two seconds at most."""
    last = [time.monotonic()]

    def write(share: float) -> None:
        if time.monotonic() - last[0] > PROGRESS_SECONDS:
            last[0] = time.monotonic()
            storage.commit_bytes(task.work_path("progress"), f"{share:.4f}".encode(), durable=False)

    return write


def measure_part(task: TaskContext[ClassWork]) -> dict[str, Any]:
    """A part → `_work/scores/<part>.parquet`: the held-back documents' scores, and what they are."""
    arguments = task.arguments
    scorer = open_scorer(local_copy(task.path(MODEL)), POSITIVE, arguments.lines)
    with open_part(arguments.path) as file:
        there = set(file.schema_arrow.names)
    pieces = [SCORED_SCHEMA.empty_table()]
    for batch in read_batches(arguments.path, ["id", "text", *(name for name in GROUPS if name in there)]):
        ids = batch.column("id")
        batch = batch.filter(pa.array(is_held_back(ids, arguments.held_back, arguments.seed)))
        if not batch.num_rows:
            continue
        columns = {
            "score": pa.array(scorer.score(batch.column("text"))),
            "is_positive": pa.array(np.full(batch.num_rows, arguments.label == "positive")),
            "for_calibration": pa.array(is_for_calibration(batch.column("id"), arguments.seed)),
        }
        for name in GROUPS:
            values = batch.column(name) if name in there else pa.nulls(batch.num_rows, pa.string())
            columns[name] = values.cast(pa.string()).dictionary_encode()
        pieces.append(pa.table(columns, schema=SCORED_SCHEMA))
    table = pa.concat_tables(pieces)
    write_table(task.work_path("scores", f"{task.id}.parquet"), table)
    return {"class": arguments.label, "documents": table.num_rows}


def write_record(task: TaskContext[RecordWork]) -> dict[str, Any]:
    """The scores of all held-back documents → `quality.json`."""
    tables = []
    for name in task.arguments.parts:
        with open_part(task.work_path("scores", f"{name}.parquet")) as file:
            tables.append(file.read().cast(SCORED_SCHEMA))
    evaluation = evaluate(pa.concat_tables(tables).unify_dictionaries(), task.arguments.calibration)
    record = {"version": RECORD_VERSION, "label": POSITIVE, **task.arguments.record, **evaluation}
    storage.commit_bytes(task.path(RECORD), (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    metrics = evaluation["metrics"]
    overall = metrics["overall"]
    errors = {
        "expected_calibration_error": metrics["reliability"]["expected_error"],
        "expected_calibration_error_raw": (metrics["reliability_raw"] or metrics["reliability"])["expected_error"],
    }
    facts = {name: overall[name] for name in ("auc", "average_precision", "precision", "recall", "f1")}
    return {"files": [file_entry(task, RECORD)], "facts": facts | errors}
