"""The workers' side of the domains of a round: counting pages by domain, merging counts, picking accepted pages."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, open_part, read_batches, write_table
from corpusmill.dataproc.lists.urls.suffixes import registered_domains
from corpusmill.dataproc.quality.domains import (
    COUNTS_SCHEMA,
    EXAMPLES_SCHEMA,
    Accepted,
    is_accepted,
    merge_counts,
    merge_examples,
    partition_of,
    propose,
    tally,
)
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.quality_domains.arguments import MergeWork, PartPair, PickWork, TallyWork

PROPOSED_SCHEMA = COUNTS_SCHEMA.append(pa.field("examples", pa.list_(pa.string())))


def _pages(path: str) -> Iterator[pa.RecordBatch]:
    """The ids and addresses of a part."""
    yield from read_batches(path, ["id", "url"])


def tally_part(task: TaskContext[TallyWork]) -> dict[str, Any]:
    """Kept and rejected pages of a part → `_work/tally/<part>.{counts,examples}.arrow`, a record batch a partition."""
    arguments = task.arguments
    now, before, partitions = arguments.now, arguments.before, arguments.partitions
    counts, examples = [COUNTS_SCHEMA.empty_table()], [EXAMPLES_SCHEMA.empty_table()]
    pages, collected, without = 0, 0, 0
    for name in ("kept", "rejected"):
        for batch in _pages(getattr(now, name)):
            urls = batch.column("url").cast(pa.string())
            domains = registered_domains(urls)
            is_collected = np.full(batch.num_rows, name == "kept")
            counted, shown = tally(domains, urls, is_collected, arguments.seed)
            counts = [merge_counts([*counts, counted])]
            examples = [merge_examples([*examples, shown])]
            pages += batch.num_rows
            collected += batch.num_rows if name == "kept" else 0
            without += domains.null_count
    for name, table in (("counts", counts[0]), ("examples", examples[0])):
        _write_partitions(task.work_path("tally", f"{task.id}.{name}.arrow"), table, partitions)
    in_both, earlier = _overlap(now, before) if before else (0, 0)
    return {
        "pages": pages,
        "collected": collected,
        "without_domain": without,
        "collected_before": earlier,
        "in_both": in_both,
    }


def _overlap(now: PartPair, before: PartPair) -> tuple[int, int]:
    """(documents of a part that both rounds kept, documents that the round before kept)."""
    with open_part(before.kept) as file:
        earlier = file.read(columns=["id"])["id"]
    both = sum(
        pc.sum(pc.is_in(batch.column("id"), value_set=earlier.combine_chunks())).as_py() or 0
        for batch in read_batches(now.kept, ["id"])
    )
    return both, len(earlier)


def _write_partitions(path: str, table: pa.Table, partitions: int) -> None:
    table = table.combine_chunks()
    places = partition_of(table["domain"].combine_chunks(), partitions)
    with storage.commit_file(path, durable=False) as file, pa.ipc.new_file(file, table.schema) as writer:
        for number in range(partitions):
            rows = table.filter(pa.array(places == number)).combine_chunks()
            writer.write_batch((rows.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)])[0])


def _read_partition(task: TaskContext[MergeWork], name: str, schema: pa.Schema) -> list[pa.Table]:
    tables = [schema.empty_table()]
    for part in task.arguments.parts:
        with storage.open_input(task.work_path("tally", f"{part}.{name}.arrow")) as file:
            batch = pa.ipc.open_file(file).get_batch(task.arguments.partition)
            tables.append(pa.Table.from_batches([batch], schema))
    return tables


def merge_partition(task: TaskContext[MergeWork]) -> dict[str, Any]:
    """All parts' counts of a partition → `domains/<partition>.parquet`, and its proposals in `_work/proposed/`."""
    arguments = task.arguments
    counts = merge_counts(_read_partition(task, "counts", COUNTS_SCHEMA))
    name = f"domains/{task.id}.parquet"
    entry = {"path": name} | write_table(task.path(name), counts)
    known = pc.is_in(counts["domain"], value_set=pa.array(arguments.accepted, pa.string()))
    proposed = propose(counts.filter(pc.invert(known)), arguments.share, arguments.pages)
    proposed = proposed.slice(0, arguments.proposals)
    examples = merge_examples(_read_partition(task, "examples", EXAMPLES_SCHEMA))
    examples = examples.filter(pc.is_in(examples["domain"], value_set=proposed["domain"].combine_chunks()))
    shown: dict[str, list[str]] = {}
    for domain, url in zip(examples["domain"].to_pylist(), examples["url"].to_pylist(), strict=True):
        shown.setdefault(domain, []).append(url)
    listed = pa.array([shown.get(domain, []) for domain in proposed["domain"].to_pylist()], pa.list_(pa.string()))
    table = pa.table([*proposed.columns, listed], schema=PROPOSED_SCHEMA)
    write_table(task.work_path("proposed", f"{task.id}.parquet"), table)
    return {"domains": counts.num_rows, "files": [entry]}


def pick_part(task: TaskContext[PickWork]) -> dict[str, Any]:
    """Rejected pages of a part → those on accepted domains, without the columns that say why they were rejected."""
    accepted = [Accepted(*row) for row in task.arguments.accepted]
    before = [Accepted(*row) for row in task.arguments.before]
    with open_part(task.arguments.path) as file:
        schema = file.schema_arrow.remove_metadata()
    kept = pa.schema([field for field in schema if field.name != "broken_rules"])
    pages, picked = 0, 0
    with PartWriter(task.folder, task.id, kept, part_bytes=ONE_PART_A_FILE) as writer:
        for batch in read_batches(task.arguments.path):
            urls = batch.column("url").cast(pa.string())
            domains = registered_domains(urls)
            wanted = is_accepted(domains, urls, accepted) & ~is_accepted(domains, urls, before)
            rows = batch.filter(pa.array(wanted)).select(kept.names)
            writer.write(rows)
            pages += batch.num_rows
            picked += rows.num_rows
    return {"pages": pages, "picked": picked, "parts": writer.parts}
