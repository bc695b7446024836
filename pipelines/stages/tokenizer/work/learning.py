"""Learning: merges from the counts, the tokenizer's files, and a check of them.

Every so many merges there is a checkpoint in the stage's work folder, so a run that is killed goes on from there. The
checks at the end are of what was written: its ids for some text must be those that `tokenizers` gives by the same file.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.outputs import file_entry
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.tokenizer.arguments import LearnWork
from corpusmill.pipelines.stages.tokenizer.progress import ProgressFile
from corpusmill.tokenizer.counting.counts import PretokenCounts
from corpusmill.tokenizer.counting.table_files import load_counts
from corpusmill.tokenizer.counting.weighing import Dropped
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.formats.files import FILE_NAMES, TokenizerFiles, read_tokenizer, write_files, write_tokenizer
from corpusmill.tokenizer.formats.special_records import layout_from_record
from corpusmill.tokenizer.learning.bpe import extend_merges, train_merges
from corpusmill.tokenizer.learning.checkpoints import Checkpoints
from corpusmill.tokenizer.special import SpecialTokens
from corpusmill.tokenizer.warm import WARM
from corpusmill.tokenizer.warming import write_warm_table

SAMPLE_DOCUMENTS = 200
SAMPLE_PRETOKENS = 2000
CHECKPOINT, PROGRESS = "merges.arrow", "learning.json"


def learn_merges(task: TaskContext[LearnWork]) -> dict[str, Any]:
    """The last phase: merges from the counts, the tokenizer's files, and a check of them against `tokenizers`."""
    work = task.arguments
    balance, min_count = work.balance, work.min_count
    counts, dropped = load_counts(list(task.arguments.tables), balance["scales"], min_count)
    before = Dropped(*(task.arguments.left_out[name] for name in ("unique", "pretokens", "bytes")))
    left_out = (before + dropped).as_values(sum(group["bytes"] for group in balance["groups"].values()))
    training = {
        "settings": work.settings,
        "counts": counts.digest(),
        "balance": balance,
        "left_out": left_out,
        "corpus": task.arguments.corpus,
    }
    learned = _learn(task, counts, training)
    tokenizer = Tokenizer.load(task.folder)
    if work.warm_pretokens:
        write_warm_table(task.folder, tokenizer, counts, work.warm_pretokens)
    tokens, text_bytes = _check_against_reference(task, tokenizer, counts)
    return {
        "ids": tokenizer.vocab_size,
        "model_rows": tokenizer.model_rows,
        "merges": len(learned.vocabulary.merges),
        "fingerprint": tokenizer.fingerprint,
        "left_out": left_out,
        "bytes_per_token": round(text_bytes / tokens, 4) if tokens else 0.0,
        "files": [file_entry(task, name) for name in (*FILE_NAMES, WARM) if storage.exists(task.path(name))],
    }


def _learn(task: TaskContext[LearnWork], counts: PretokenCounts, training: Mapping[str, Any]) -> TokenizerFiles:
    """Trains a vocabulary, or extends one, and writes its files."""
    work = task.arguments
    checkpoints = Checkpoints(task.work_path(CHECKPOINT), work.checkpoint_merges)
    progress = ProgressFile(task.work_path(PROGRESS))
    limits = {
        "min_frequency": work.min_frequency,
        "max_token_length": work.max_token_length,
        "no_merge": work.no_merge,
    }
    if task.arguments.continue_from:
        old = read_tokenizer(task.arguments.continue_from)
        vocabulary = extend_merges(
            old.vocabulary,
            counts,
            work.vocab_size,
            added={token.id: token.text for token in old.special.tokens},
            checkpoints=checkpoints,
            progress=progress,
            **limits,
        )
        special = _enlarged(old, len(vocabulary))
        training = {**training, "continues": old.fingerprint}
        return write_files(task.folder, vocabulary, special, old.layout, old.pattern, training)
    layout = layout_from_record(task.arguments.special, "special")
    vocabulary = train_merges(
        counts,
        layout.model_size(work.vocab_size),
        layout.first,
        checkpoints=checkpoints,
        progress=progress,
        **limits,
    )
    return write_tokenizer(task.folder, vocabulary, layout, work.pattern, dict(training))


def _enlarged(old: TokenizerFiles, ids: int) -> SpecialTokens:
    """The special tokens, where they are, of a tokenizer with so many ids; rows that were spare are used first."""
    special, multiple = old.special, old.layout.rows_multiple
    ids = max(ids, special.vocab_size)
    rows = max(special.model_rows, -(-ids // multiple) * multiple)
    return SpecialTokens(special.tokens, special.roles, ids, rows)


def _sample(task: TaskContext[LearnWork], counts: PretokenCounts) -> tuple[pa.Array, bool]:
    """(some texts, whether they are documents): without a dataset, the commonest pretokens that are valid UTF-8."""
    path = task.arguments.sample
    for batch in read_batches(path, ["text"]) if path else ():
        return batch.column("text").slice(0, SAMPLE_DOCUMENTS), True
    some = [pretoken.decode(errors="replace") for pretoken in counts.pretokens[:SAMPLE_PRETOKENS].to_pylist()]
    texts = pa.array(some, pa.large_string())
    return texts.filter(pc.invert(pc.match_substring(texts, "\ufffd"))), False


def _check_against_reference(
    task: TaskContext[LearnWork], tokenizer: Tokenizer, counts: PretokenCounts
) -> tuple[int, int]:
    """(tokens, bytes) of some documents, whose ids by our encoder must be those that `tokenizers` gives; 0 and 0 where
    there are no documents, and pretokens are looked at in their place."""
    import tokenizers

    texts, are_documents = _sample(task, counts)
    reference = tokenizers.Tokenizer.from_str(storage.read_bytes(task.path("tokenizer.json")).decode())
    reference.encode_special_tokens = True
    tokens = text_bytes = 0
    for text, ids in zip(texts.to_pylist(), tokenizer.encode(texts).to_pylist(), strict=True):
        if reference.encode(text, add_special_tokens=False).ids != ids:
            raise UserError(
                "our ids differ from those of the library `tokenizers`",
                where=f"{task.arguments.sample or 'the counts'}: {text[:40]!r}",
                hint="please report this text",
            )
        tokens += len(ids)
        text_bytes += len(text.encode())
    return (tokens, text_bytes) if are_documents else (0, 0)
