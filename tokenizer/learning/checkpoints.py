"""Checkpoints of BPE training: the merges so far, in one small file that appears whole or not at all.

The words are not kept: replaying the merges over the table of counts brings them back (`words.py`). A checkpoint names
what it is of by a digest of counts and rules; the size of the vocabulary is none of them, since smaller ones are
prefixes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commit_file, exists, open_input
from corpusmill.tokenizer.counting.counts import PretokenCounts
from corpusmill.tokenizer.vocabulary import Vocabulary

SCHEMA = pa.schema([pa.field(name, pa.int32(), nullable=False) for name in ("left", "right", "new")])


@dataclass(frozen=True)
class Checkpoints:
    """Where training keeps its merges, and how often.

    Attributes:
        path: a file, or a URL.
        every: merges between two checkpoints. Writing takes milliseconds, so thousands are often enough.
    """

    path: str
    every: int = 5_000


def identity(table: PretokenCounts, vocabulary: Vocabulary, rules: Sequence[object]) -> str:
    """A digest of all that decides which merges are learned: counts, the vocabulary they start from, and rules."""
    state = xxhash.xxh3_128(repr((table.digest(), vocabulary.specials, vocabulary.whole_first, *rules)).encode())
    state.update(repr(vocabulary.tokens.to_pylist()).encode())
    state.update(np.ascontiguousarray(vocabulary.merges, np.int32).tobytes())
    return state.hexdigest()


def save(checkpoints: Checkpoints, of: str, merges: np.ndarray) -> None:
    """Writes merges (int32 (M, 3)) in place of what was there."""
    columns = [pa.array(np.ascontiguousarray(merges[:, column])) for column in range(3)]
    table = pa.table(columns, schema=SCHEMA.with_metadata({"of": of}))
    with commit_file(checkpoints.path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def load(checkpoints: Checkpoints, of: str) -> np.ndarray:
    """The merges there, none where there is no file. Raises UserError for a file of something else."""
    if not exists(checkpoints.path):
        return np.empty((0, 3), np.int32)
    hint = "remove it, or name another file"
    try:
        with open_input(checkpoints.path) as file:
            table = pa.ipc.open_file(file).read_all()
    except pa.ArrowInvalid as error:
        raise UserError("not a checkpoint of training", where=checkpoints.path, hint=hint) from error
    if not table.schema.equals(SCHEMA) or (table.schema.metadata or {}).get(b"of") != of.encode():
        raise UserError("this checkpoint was made with other counts or settings", where=checkpoints.path, hint=hint)
    return np.column_stack([column.to_numpy() for column in table.columns]).astype(np.int32)
