"""What an export writes: items, each a stretch of tokens and the segments that it is made of.

An item is a packed sequence or a whole document (`dataproc/exchange/joining.py`). Padding is no text: sequences keep it
where the format says where it begins (`segments` add up to less than the item), else they lose it; a document has none.

Cost: one copy of the tokens where padding is left out, none where it stays. Memory: a record batch (4 MiB of tokens).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shards import BATCH_TOKENS, ShardHeader, batch_tokens, open_reader


@dataclass(frozen=True)
class Items:
    """N items.

    Attributes:
        offsets: int64 (N + 1,); item i is tokens[offsets[i]:offsets[i + 1]].
        tokens: int32 (T,).
        segments: one list an item, of `dataproc.sequences.shards.SEGMENT_TYPE`; of a document a single segment.
    """

    offsets: np.ndarray
    tokens: np.ndarray
    segments: pa.ListArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def batches(self) -> "Iterator[Items]":
        """The same items, about `BATCH_TOKENS` tokens at a time: what a writer makes of them is bounded."""
        goals = np.arange(BATCH_TOKENS, int(self.offsets[-1]), BATCH_TOKENS)
        cuts = np.unique(np.concatenate([[0], np.searchsorted(self.offsets, goals), [len(self)]]))
        for first, last in pairwise(cuts.tolist()):
            begin, end = self.offsets[first], self.offsets[last]
            segments = self.segments.slice(first, last - first)
            yield Items(self.offsets[first : last + 1] - begin, self.tokens[begin:end], segments)

    @property
    def text_tokens(self) -> int:
        """Tokens without padding."""
        return int(flat_segments(self.segments)[1].field("length").to_numpy().sum(dtype=np.int64))


def flat_segments(segments: pa.ListArray) -> tuple[np.ndarray, pa.StructArray]:
    """(bounds int64 (N + 1,) from 0, the segments of all lists in one array), also of a sliced list array."""
    bounds = segments.offsets.to_numpy().astype(np.int64)
    return bounds - bounds[0], segments.values.slice(bounds[0], bounds[-1] - bounds[0])


def shard_batches(path: str) -> Iterator[tuple[ShardHeader, pa.RecordBatch]]:
    """The record batches of a shard, one in memory at a time. Raises UserError for a file that is damaged."""
    header, reader = open_reader(path)
    for number in range(reader.num_record_batches):
        try:
            yield header, reader.get_batch(number)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"this shard is damaged ({error})", path, "pack again") from error


def sequence_items(header: ShardHeader, batch: pa.RecordBatch, *, padding: bool) -> Items:
    """The sequences of a record batch, with or without what fills them up to L."""
    rows, segments = batch_tokens(header, batch), batch.column("segments")
    if padding:
        offsets = np.arange(len(rows) + 1, dtype=np.int64) * header.sequence_length
        return Items(offsets, rows.reshape(-1), segments)
    bounds, flat = flat_segments(segments)
    offsets = running(flat.field("length").to_numpy())[bounds]
    used = np.diff(offsets)
    if (used == header.sequence_length).all():
        return Items(offsets, rows.reshape(-1), segments)
    return Items(offsets, rows[np.arange(header.sequence_length) < used[:, None]], segments)


def running(lengths: np.ndarray) -> np.ndarray:
    """Offsets of stretches of these lengths: int64 (N + 1,)."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
