"""Learning: merges from the counts, the tokenizer's files, and a check of them."""

from typing import Any

import pyarrow.parquet as pq

from dataproc import storage
from dataproc.datasets import read_batches
from dataproc.errors import UserError
from pipelines.engine.worker import TaskContext
from pipelines.tasks.outputs import file_entry
from tokenizer.bpe import train_merges
from tokenizer.counts import PretokenCounts, gather
from tokenizer.encoder import Tokenizer
from tokenizer.files import write_tokenizer
from tokenizer.special import layout_named

SAMPLE_DOCUMENTS = 200
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.tiktoken", "training.json")


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
