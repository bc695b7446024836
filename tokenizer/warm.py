"""The warm table: the commonest pretokens with their ids, a file beside the tokenizer that workers map into memory.

An encoder that starts knows nothing: the first text costs twice as much as later ones, in every process of every
run. But whoever trains a tokenizer has counted the pretokens of its corpus, so the ids of the commonest are
computed once and kept. `warm.arrow` holds the encoder's own hash table (`lookup.py`) as it lies in memory. Nothing is
built from it: it is mapped, read-only, and its pages are in the machine's memory once, however many workers there are.

The ids are those that the encoder itself gave, so the table changes no id, only time; without the file everything
works as well. It is an Arrow IPC file of one row, with lists `slots` (uint64, four for each slot) and `arena` (int32),
and in its schema's metadata the format, the tokenizer's fingerprint, how many pretokens there are, and a digest of the
content, which is checked on opening (some 5 ms): a place read from a damaged slot might lie outside the arena.
A column of padding stands in front, so that slots lie within lines of the processor's cache.

A tokenizer whose pretokens are first looked up whole (`Vocabulary.whole_first`) has all its tokens in such a table.
Tables are written by `warming.py`, which asks the encoder for the ids.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.storage import is_url, read_bytes
from corpusmill.tokenizer.keys import KEY_MASKS, SHORT
from corpusmill.tokenizer.lookup import INLINE, LONGEST, PretokenTable, fill_table, new_table
from corpusmill.tokenizer.pretokens import read_text
from corpusmill.tokenizer.vocabulary import Vocabulary

WARM = "warm.arrow"
FORMAT = "corpusmill-warm-1"


@dataclass(frozen=True)
class WarmTable:
    """A table of pretokens for the encoder. `pretokens`: how many there are; `table`: as kernels take it, read-only."""

    pretokens: int
    table: PretokenTable

    @property
    def memory_bytes(self) -> int:
        """Bytes of the table, which processes share where it is a mapped file."""
        return self.table.slots.nbytes + self.table.arena.nbytes


def _as_read(pretokens: int, slots: np.ndarray, arena: np.ndarray) -> WarmTable:
    arena = read_only(arena)
    return WarmTable(pretokens, PretokenTable(read_only(slots.reshape(-1, 4)), arena, read_only(arena.view(np.uint8))))


def no_warm_table() -> WarmTable:
    """A table that holds nothing."""
    return _as_read(0, np.zeros(4, np.uint64), np.zeros(0, np.int32))


def table_of(pretokens: pa.LargeBinaryArray, ids: pa.LargeListArray) -> WarmTable:
    """The table of unique pretokens of 1 to 65,535 bytes and their ids."""
    offsets, data = read_text(pretokens)
    lists, values = ids.offsets.to_numpy(), ids.values.to_numpy(zero_copy_only=False)
    lengths, numbers = np.diff(offsets), np.diff(lists)
    words = np.where(numbers > INLINE, numbers, 0)
    words = np.where(lengths > SHORT, numbers + (lengths + 3) // 4, words)
    table = new_table(1 << max(1, (4 * len(pretokens) // 3).bit_length()), int(words.sum()))
    fill_table(table, KEY_MASKS, offsets, data, read_only(lists), read_only(values.astype(np.int32)))
    return _as_read(len(pretokens), table.slots, table.arena)


def whole_tokens(vocabulary: Vocabulary) -> WarmTable:
    """The table of all tokens of a vocabulary as pretokens, each with its own id."""
    rows = encodable_ids(vocabulary)
    lists = pa.array(np.arange(len(rows) + 1, dtype=np.int64))
    return table_of(vocabulary.tokens.take(pa.array(rows)), pa.LargeListArray.from_arrays(lists, rows.astype(np.int32)))


def encodable_ids(vocabulary: Vocabulary) -> np.ndarray:
    """Ids of the tokens that text may yield, int64; of two with one spelling, the first."""
    lengths = pc.fill_null(pc.binary_length(vocabulary.tokens), 0).to_numpy()
    rows = np.flatnonzero((lengths > 0) & (lengths <= LONGEST))
    rows = rows[rows >= vocabulary.specials]
    spelled = pa.table([vocabulary.tokens.take(pa.array(rows)), pa.array(rows)], ["token", "id"])
    return np.sort(spelled.group_by("token").aggregate([("id", "min")])["id_min"].to_numpy())


def digest_of(slots: np.ndarray, arena: np.ndarray) -> str:
    state = xxhash.xxh3_128(slots.data)
    state.update(arena.data)
    return state.hexdigest()


def lists_of(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    slots, arena = (batch.column(name).values.to_numpy() for name in ("slots", "arena"))
    return slots, arena


def read_warm_table(path: str, fingerprint: str) -> WarmTable:
    """The table of a file, mapped into memory (read into it from a URL).

    Raises UserError when it is damaged, or not of the tokenizer with this fingerprint.
    """
    hint = "delete it (encoding works without, slower at first) or train the tokenizer again"
    try:
        source = pa.BufferReader(read_bytes(path)) if is_url(path) else pa.memory_map(path)
        reader = pa.ipc.open_file(source)
        facts = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
        if facts["format"] != FORMAT:
            raise UserError(f"unknown format '{facts['format']}' of warm table", where=path, hint=hint)
        if facts["fingerprint"] != fingerprint:
            raise UserError("the warm table belongs to another tokenizer", where=path, hint=hint)
        slots, arena = lists_of(reader.get_batch(0))
        if digest_of(slots, arena) != facts["digest"]:
            raise ValueError("the content is not what was written")
        return _as_read(int(facts["pretokens"]), slots, arena)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        what = f"the warm table is damaged ({type(error).__name__}: {error})".replace("\n", " ")
        raise UserError(what, where=path, hint=hint) from error
