"""What is done about repeated text: a block's spans are found by document, listed, cut out or counted."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, open_part, side_writer
from corpusmill.dataproc.dedup import lines
from corpusmill.dataproc.dedup.repeats import REPEATS, joined_repeats
from corpusmill.dataproc.dedup.shuffle import read_partition
from corpusmill.dataproc.dedup.spans import Spans, covered_bytes, cut, one_array, to_characters
from corpusmill.dataproc.documents import LEDGER_SCHEMA
from corpusmill.dataproc.file_starts import with_texts
from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.pipelines.engine.outputs import write_quarantine
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.spans.arguments import SpansWork
from corpusmill.pipelines.stages.spans.work.searching import (
    block_file,
    numbered_batches,
    partition_file,
    rows_left_out,
    text_bytes,
    unit_of,
    without_rows,
)

SPANS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("first", pa.string()),
        pa.field("first_start", pa.int64()),
    ]
)
"""A repeated stretch: bytes `start` to `end` of the text as it came in; document and byte of its first copy."""


@dataclass(frozen=True)
class LocatedSpans:
    """The spans of a batch, and the document and byte of the first copy of each."""

    spans: Spans
    first: pa.Array
    first_start: np.ndarray


Finder = Callable[[pa.RecordBatch], LocatedSpans]


def _substring_finder(task: TaskContext[SpansWork]) -> Finder:
    """Finds a batch's spans among those of the block."""
    arguments = task.arguments
    names = [task.work_path("repeats", partition_file(number)) for number in range(arguments.applied)]
    batches = [read_partition(name, arguments.block) for name in names]
    table = joined_repeats(pa.Table.from_batches(batches, REPEATS), arguments.length)
    starts, ends, first_starts = (table[name].to_numpy() for name in ("start", "end", "first_start"))
    first = one_array(table["first"])

    def find(batch: pa.RecordBatch) -> LocatedSpans:
        positions = batch.column("position").to_numpy()
        sizes = np.diff(text_buffers(batch.column("text"))[0])
        if not len(positions):
            chosen = np.zeros(0, np.int64)
        else:
            chosen = np.arange(*np.searchsorted(starts, (positions[0], positions[-1] + sizes[-1])))
        rows = np.searchsorted(positions, starts[chosen], side="right") - 1
        inside = starts[chosen] < positions[rows] + sizes[rows]  # else of a document that was left out
        chosen, rows = chosen[inside], rows[inside]
        begin = positions[rows]
        in_bytes = Spans(rows, starts[chosen] - begin, ends[chosen] - begin)
        spans = to_characters(batch.column("text"), in_bytes)
        return LocatedSpans(spans, first.take(pa.array(chosen)), first_starts[chosen] + spans.starts - in_bytes.starts)

    return find


def _unit_finder(task: TaskContext[SpansWork]) -> Finder:
    """Finds a batch's units again, and which of them are repeated."""
    arguments = task.arguments
    names = [task.work_path("repeated", partition_file(number)) for number in range(arguments.applied)]
    table = pa.Table.from_batches([read_partition(name, arguments.block) for name in names], lines.REPEATED)
    known = np.stack([table["high"].to_numpy(), table["low"].to_numpy()], axis=1)
    first_row, first_start = table["row"].to_numpy(), table["start"].to_numpy()
    first = one_array(table["first"])

    def find(batch: pa.RecordBatch) -> LocatedSpans:
        texts, rows = batch.column("text"), batch.column("row").to_numpy()
        offsets, _ = text_buffers(texts)
        units = lines.units(texts, unit_of(arguments), arguments.unit_length)
        at = lines.find_digests(known, lines.unit_digests(texts, units, arguments.normalise))
        begin = offsets[units.documents]
        starts = units.starts - begin
        repeated = at >= 0
        repeated[repeated] &= (first_row[at[repeated]] != rows[units.documents[repeated]]) | (
            first_start[at[repeated]] != starts[repeated]
        )
        spans = Spans(units.documents[repeated], starts[repeated], (units.ends - begin)[repeated])
        return LocatedSpans(spans, first.take(pa.array(at[repeated])), first_start[at[repeated]])

    return find


@dataclass(frozen=True)
class Judged:
    """A batch after the action; the tables go to folders of these names, `kept` to the parts."""

    kept: pa.RecordBatch
    rejected: pa.RecordBatch
    ledger: pa.RecordBatch
    spans: pa.RecordBatch
    totals: dict[str, int]


def judge(batch: pa.RecordBatch, find: Finder, arguments: SpansWork) -> Judged:
    """Does the action to every document of a batch, each on its own."""
    texts, ids = batch.column("text"), batch.column("id")
    located = find(batch)
    sizes = np.diff(text_buffers(texts)[0])
    repeated = covered_bytes(batch.num_rows, located.spans)
    bad = np.zeros(batch.num_rows, bool)
    values, rule, threshold = np.zeros(batch.num_rows), "", 0.0
    kept = batch
    if arguments.action == "remove":
        values, rule, threshold = repeated / np.maximum(sizes, 1), "repeated_share", arguments.share
        bad = values > threshold
    elif arguments.action == "cut" and len(located.spans.rows):
        shorter = cut(texts, located.spans)
        kept = with_texts(batch, shorter)
        values, rule, threshold = pc.utf8_length(shorter).to_numpy(), "characters_left", float(arguments.minimum)
        bad = (values < threshold) & (repeated > 0)
    mask = pa.array(bad)
    rejected = batch.filter(mask)
    rules = pa.array([rule] * rejected.num_rows, pa.string())
    thresholds = pa.array(np.full(rejected.num_rows, threshold))
    values = pa.array(values[bad].astype(np.float64))
    spans = [ids.take(pa.array(located.spans.rows)), pa.array(located.spans.starts), pa.array(located.spans.ends)]
    return Judged(
        kept=kept.filter(pc.invert(mask)),
        rejected=rejected.append_column("broken_rules", rules),
        ledger=pa.RecordBatch.from_arrays([ids.filter(mask), rules, values, thresholds], schema=LEDGER_SCHEMA),
        spans=pa.RecordBatch.from_arrays([*spans, located.first, pa.array(located.first_start)], schema=SPANS_SCHEMA),
        totals={
            "bytes_in": int(sizes.sum()),
            "bytes_repeated": int(repeated.sum()),
            "bytes_cut": int(repeated[~bad].sum()) if arguments.action == "cut" else 0,
            "bytes_rejected": int(sizes[bad].sum()),
            "spans": len(located.spans.rows),
            "documents_with_repeats": int((repeated > 0).sum()),
        },
    )


def apply_block(task: TaskContext[SpansWork]) -> dict[str, Any]:
    """Phase `apply`: a block's parts after the action, what was rejected and why, and `_spans/`."""
    arguments = task.arguments
    by_substring = arguments.unit == "substring"
    phases = ["keys", "contexts"] if by_substring else ["tally"]
    left_out = rows_left_out(task, phases)
    for phase in phases:
        batch = read_partition(task.work_path("quarantine", phase, block_file(arguments.block)), 0)
        for bad in batch.to_pylist():
            task.guard.quarantine(bad["id"], bad["place"], bad["reason"], bad["text"])
    find = (_substring_finder if by_substring else _unit_finder)(task)
    work = partial(judge, find=find, arguments=arguments)
    counts, totals = Counter[str](), Counter[str]()
    parts: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    row = position = 0
    for name, path in arguments.parts:
        with open_part(path) as file:
            schema = file.schema_arrow.remove_metadata()
        schemas = {"rejected": schema.append(pa.field("broken_rules", pa.string())), "ledger": LEDGER_SCHEMA}
        schemas |= {"spans": SPANS_SCHEMA}
        beside = {table: side_writer(task.folder, table, name, schema) for table, schema in schemas.items()}
        with (
            PartWriter(task.folder, name, schema, part_bytes=ONE_PART_A_FILE) as writer,
            beside["rejected"], beside["ledger"], beside["spans"],
        ):  # fmt: skip
            for batch in numbered_batches(path, row, position):
                row += batch.num_rows
                position += text_bytes(batch)
                counts["documents_in"] += batch.num_rows
                for judged in task.guard.apply(without_rows(batch, left_out), work, path):
                    writer.write(judged.kept)
                    for table, side in beside.items():
                        side.write(getattr(judged, table))
                    counts.update(kept=judged.kept.num_rows, rejected=judged.rejected.num_rows)
                    totals.update(judged.totals)
        parts += writer.parts
        files += [entry for side in beside.values() for entry in side.parts]
    return {
        "documents_in": counts["documents_in"],
        "kept": counts["kept"],
        "rejected": counts["rejected"],
        "quarantined": task.guard.quarantined,
        "totals": dict(totals),
        "parts": parts,
        "files": files + write_quarantine(task),
    }
