"""The workers' side of tokenizer training: count a part, merge a partition, learn the merges."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataproc import storage
from dataproc.datasets import open_part, read_batches, write_table
from dataproc.dedup.shuffle import read_partition, write_partitions
from dataproc.errors import UserError
from pipelines.engine.worker import TaskContext
from pipelines.tasks.outputs import file_entry, write_quarantine
from tokenizer.bpe import train_merges
from tokenizer.counts import Counter, PretokenCounts, count_pretokens, gather, merge, partition
from tokenizer.encoder import Tokenizer
from tokenizer.files import write_tokenizer
from tokenizer.special import layout_named

SAMPLE_DOCUMENTS = 200
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.tiktoken", "training.json")


def count_part(task: TaskContext) -> dict[str, Any]:
    """Phase 1: the pretokens of a part, partitioned by hash."""
    path, pattern = task.arguments["path"], task.arguments["pattern"]
    counter = Counter(pattern)
    with open_part(path) as file:
        documents = file.metadata.num_rows
    for batch in read_batches(path, ["id", "text"]):
        for counts in task.guard.each(batch, lambda part: count_pretokens(part.column("text"), pattern), path):
            counter.add_counts(counts)
    tables = [counts.to_table() for counts in partition(counter.result(), task.arguments["partitions"])]
    batches = [_one_batch(table) for table in tables]
    written, _ = write_partitions(task.work_path("counts", f"{task.id}.arrow"), batches)
    return {
        "documents_in": documents,
        "quarantined": task.guard.quarantined,
        "bytes": written,
        "files": write_quarantine(task),
    }


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def merge_partition(task: TaskContext) -> dict[str, Any]:
    """Phase 2: one table of a partition's pretokens over all parts."""
    number = task.arguments["partition"]
    paths = [task.work_path("counts", f"{name}.arrow") for name in task.arguments["parts"]]
    merged = merge(PretokenCounts.from_table(pa.Table.from_batches([read_partition(path, number)])) for path in paths)
    name = f"counts/{task.id}.parquet"
    entry = {"path": name} | write_table(task.path(name), merged.to_table())
    return {"unique": len(merged), "total": merged.total, "bytes": entry["bytes"], "files": [entry]}


def learn_merges(task: TaskContext) -> dict[str, Any]:
    """Phase 3: merges from the counts, the tokenizer's files, and a check of them against `tokenizers`."""
    settings = task.arguments["settings"]
    paths = [task.path("counts", f"partition-{number:04d}.parquet") for number in range(task.arguments["partitions"])]
    counts = gather(PretokenCounts.from_table(pq.read_table(storage.open_input(path))) for path in paths)
    layout = layout_named(settings["special"])
    vocabulary = train_merges(
        counts,
        layout.model_size(settings["vocab_size"]),
        list(layout.first),
        min_frequency=settings["min_frequency"],
        max_token_length=settings["max_token_length"],
    )
    training = {"settings": settings, "counts": counts.digest(), "corpus": task.arguments["corpus"]}
    write_tokenizer(task.folder, vocabulary, layout.name, settings["pattern"], training)
    tokenizer = Tokenizer.load(task.folder)
    tokens, text_bytes = _check_against_reference(task, tokenizer)
    return {
        "ids": tokenizer.vocab_size,
        "model_rows": tokenizer.model_rows,
        "merges": len(vocabulary.merges),
        "fingerprint": tokenizer.fingerprint,
        "bytes_per_token": round(text_bytes / tokens, 4) if tokens else 0.0,
        "files": [file_entry(task, name) for name in TOKENIZER_FILES],
    }


def _check_against_reference(task: TaskContext, tokenizer: Tokenizer) -> tuple[int, int]:
    """(tokens, bytes) of some documents, whose ids by our encoder must be those that `tokenizers` gives."""
    import tokenizers

    reference = tokenizers.Tokenizer.from_file(task.path("tokenizer.json"))
    reference.encode_special_tokens = True
    tokens = text_bytes = 0
    for batch in read_batches(task.arguments["sample"], ["text"]):
        sample = batch.column("text").slice(0, SAMPLE_DOCUMENTS)
        ours = tokenizer.encode(sample)
        for text, ids in zip(sample.to_pylist(), ours.to_pylist(), strict=True):
            if reference.encode(text, add_special_tokens=False).ids != ids:
                raise UserError(
                    "our ids differ from those of the library `tokenizers`",
                    where=f"{task.arguments['sample']}: {text[:40]!r}",
                    mend="please report this text",
                )
            tokens += len(ids)
            text_bytes += len(text.encode())
        break
    return tokens, text_bytes
