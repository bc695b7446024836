"""The workers' side of mixtures: sizes and keys of a part's documents, the draw, and the copies that are written."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache, partial
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, open_part, read_batches, side_writer
from corpusmill.dataproc.dedup.shuffle import read_partition, write_partitions
from corpusmill.dataproc.ids import longest_run
from corpusmill.dataproc.mixture.draws import copies_of, draw_threshold, group_rows
from corpusmill.dataproc.mixture.settings import UNKNOWN, Key
from corpusmill.dataproc.randomness import random_keys
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.mixture.arguments import DrawWork, MeasuringWork, WriteWork

PURPOSE = "mixture"
SIZES = pa.schema([pa.field("key", pa.uint64(), nullable=False), pa.field("reached", pa.int64(), nullable=False)])
"""Documents of a group, by rising keys: the sizes of the part's documents of the group up to and with each."""

COPY = pa.field("copy", pa.int32(), nullable=False)
DROPPED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("language", pa.string()),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)
"""A document that is in no copy."""


Sizer = Callable[[pa.RecordBatch], np.ndarray]


def sizer(measuring: MeasuringWork) -> Sizer:
    """Gives the size of each document of a batch, int64: bytes, tokens, or bytes over those of a token."""
    if measuring.unit == "bytes":
        return _bytes
    if measuring.tokenizer:
        return partial(_tokens, folder=measuring.tokenizer)
    return partial(_estimated_tokens, ratios=measuring.bytes_per_token)


def _bytes(batch: pa.RecordBatch) -> np.ndarray:
    return pc.binary_length(batch.column("text")).to_numpy(zero_copy_only=False).astype(np.int64)


@cache
def _tokenizer(folder: str) -> Any:
    from corpusmill.tokenizer.encoder import Tokenizer

    return Tokenizer.load(folder)


def _tokens(batch: pa.RecordBatch, folder: str) -> np.ndarray:
    return np.diff(_tokenizer(folder).encode(batch.column("text")).offsets.to_numpy()).astype(np.int64)


def _estimated_tokens(batch: pa.RecordBatch, ratios: Mapping[str, float]) -> np.ndarray:
    """Bytes over the bytes a token of the language, rounded up, so that no text is free."""
    languages = pc.fill_null(batch.column("language"), UNKNOWN).dictionary_encode()
    by_language = [ratios.get(name, ratios["*"]) for name in languages.dictionary.to_pylist()]
    ratio = np.array([*by_language, 1.0])[languages.indices.to_numpy(zero_copy_only=False)]
    return np.ceil(_bytes(batch) / ratio).astype(np.int64)


def group_sizes(
    path: str, measuring: MeasuringWork
) -> Iterator[tuple[pa.RecordBatch, list[Key], np.ndarray, np.ndarray]]:
    """(batch, keys of its groups, group of each document, size of each document) of a part, batch by batch."""
    size_of = sizer(measuring)
    for batch in read_batches(path, ["id", "text", *dict.fromkeys(["language", *measuring.by])]):
        keys, groups = group_rows(batch, measuring.by)
        yield batch, keys, groups, size_of(batch)


def sum_groups(path: str, measuring: MeasuringWork) -> list[tuple[Key, int, int]]:
    """(key, documents, size) of a part's groups: the plan's input without a run, for `--dry-run`."""
    totals: dict[Key, tuple[int, int]] = {}
    for _, keys, groups, sizes in group_sizes(path, measuring):
        documents, amounts = np.bincount(groups, minlength=len(keys)), np.zeros(len(keys), np.int64)
        np.add.at(amounts, groups, sizes)
        for place, key in enumerate(keys):
            before = totals.get(key, (0, 0))
            totals[key] = before[0] + int(documents[place]), before[1] + int(amounts[place])
    return [(key, *totals[key]) for key in sorted(totals)]


def measure_part(task: TaskContext[MeasuringWork]) -> dict[str, Any]:
    """Phase `sizes`: the size of each document and the key that it is drawn by, a batch of the file for each group."""
    measuring = task.arguments
    numbers: dict[Key, int] = {}
    columns: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    tildes = text_bytes = 0
    for batch, keys, groups, sizes in group_sizes(measuring.path, measuring):
        known = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
        columns.append((known[groups], random_keys(measuring.seed, PURPOSE, batch.column("id")), sizes))
        tildes = max(tildes, longest_run(batch.column("id")))
        text_bytes += int(_bytes(batch).sum())
    empty = np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.int64)
    group, key, size = (np.concatenate(column) for column in zip(empty, *columns, strict=True))
    order = np.lexsort((key, group))
    group, key, size = group[order], key[order], size[order]
    bounds = np.searchsorted(group, np.arange(len(numbers) + 1))
    batches, groups_found = [], []
    for name, number in numbers.items():
        here = slice(bounds[number], bounds[number + 1])
        reached = np.cumsum(size[here])
        batches.append(pa.RecordBatch.from_arrays([pa.array(key[here]), pa.array(reached)], schema=SIZES))
        groups_found.append([list(name), len(reached), int(reached[-1])])
    nothing = pa.RecordBatch.from_pylist([], schema=SIZES)
    write_partitions(task.work_path("sizes", f"{task.id}.arrow"), batches or [nothing])
    return {"documents_in": len(key), "groups": groups_found, "tildes": tildes, "text_bytes": text_bytes}


def draw_documents(task: TaskContext[DrawWork]) -> dict[str, Any]:
    """Phase `draw`: each group's threshold, written for the writers; what is drawn, as in the plan."""
    places: dict[Key, list[tuple[str, int]]] = {}
    for name, keys in task.arguments.parts:
        for number, key in enumerate(keys):
            places.setdefault(key, []).append((task.work_path("sizes", f"{name}.arrow"), number))
    groups, drawn = [], []
    for group in task.arguments.plan:
        threshold, documents, size = 0, 0, 0
        if group.drawn:
            threshold, documents, size = draw_threshold(partial(_runs, places[group.key]), group.drawn)
        groups.append([list(group.key), group.copies, str(threshold)])  # past 64 bits JSON's readers disagree
        drawn.append([documents, size])
    drawing = {"marker": task.arguments.marker, "groups": groups}
    storage.commit_bytes(task.work_path("copies.json"), orjson.dumps(drawing))
    return {"drawn": drawn}


def _runs(places: list[tuple[str, int]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for path, number in places:
        batch = read_partition(path, number)
        yield batch.column("key").to_numpy(), batch.column("reached").to_numpy()


def write_part(task: TaskContext[WriteWork]) -> dict[str, Any]:
    """Phase `write`: a part's documents that are there `copy` times or more; with the first, those that never are."""
    path, copy = task.arguments.path, task.arguments.copy
    drawing = orjson.loads(storage.read_bytes(task.work_path("copies.json")))
    copies = {tuple(key): (number, int(threshold)) for key, number, threshold in drawing["groups"]}
    with open_part(path) as file:
        schema = file.schema_arrow.remove_metadata()
    at = schema.get_field_index(COPY.name)
    schema = schema.append(COPY) if at < 0 else schema.set(at, COPY)
    came = kept = 0
    first = copy == 1
    with ExitStack() as stack:
        writer = stack.enter_context(PartWriter(task.folder, task.id, schema, part_bytes=ONE_PART_A_FILE))
        dropped = side_writer(task.folder, "dropped", task.id, DROPPED)
        if first:
            stack.enter_context(dropped)
        for batch in read_batches(path):
            keys, groups = group_rows(batch, task.arguments.by)
            drawn_by = random_keys(task.arguments.seed, PURPOSE, batch.column("id"))
            numbers = np.array([copies[key][0] for key in keys], np.int64)
            times = copies_of(groups, drawn_by, numbers, [copies[key][1] for key in keys])
            taken = _numbered(batch.filter(pa.array(times >= copy)), copy, drawing["marker"])
            writer.write(taken)
            came += batch.num_rows
            kept += taken.num_rows
            if first:
                dropped.write(_named(batch.filter(pa.array(times == 0))))
    return {
        "documents_in": came if first else 0,
        "kept": kept if first else 0,
        "dropped": came - kept if first else 0,
        "copies": 0 if first else kept,
        "parts": writer.parts,
        "files": dropped.parts,
    }


def _numbered(batch: pa.RecordBatch, copy: int, marker: str) -> pa.RecordBatch:
    """The rows with the number of the copy, and from the second on with ids of their own."""
    if copy > 1:
        at = batch.schema.get_field_index("id")
        ids = pc.binary_join_element_wise(batch.column("id"), pa.scalar(f"{marker}{copy}"), "")
        batch = batch.set_column(at, batch.schema.field(at), ids)
    number = pa.array(np.full(batch.num_rows, copy, np.int32))
    at = batch.schema.get_field_index(COPY.name)
    return batch.append_column(COPY, number) if at < 0 else batch.set_column(at, COPY, number)


def _named(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [batch.column(name) for name in ("id", "source", "kind", "language")]
    return pa.RecordBatch.from_arrays(
        [*columns, pc.binary_length(batch.column("text")).cast(pa.int64())], schema=DROPPED
    )
