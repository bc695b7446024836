"""The sequences of a folder of shards by number: memory-mapped, and opened when first needed.

Rows are known from the folder's manifest, so a set of 100,000 shards is ready at once; a shard is opened when one of
its rows is first asked for, and the operating system loads the pages that are touched. The least recently used is
closed when too many are open, since Linux allows 65,530 maps in a process.

Cost: the batch, 8 bytes a token, and one pass over its tokens (`training/loader/gather.py`); a map for each open shard
and a view for each record batch that was touched. Shards stored as `packed` are widened in that pass, at two thirds of
the speed. Of `zstd` ones a whole record batch (4 MiB) is decoded for a row, which takes 2.6 ms; the last 256 MiB of
decoded ones are kept, so a shuffled read of a larger set decodes one nearly every time: that storage is for transport.
The first kernel that a process calls costs it 0.3 s, once. Remote shards come through `training/loader/shard_cache.py`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shards import (
    PACKED_BYTES,
    ShardEntry,
    ShardHeader,
    batch_learned,
    open_reader,
    shard_entries,
    token_rows,
    unpack_rows,
)
from corpusmill.dataproc.storage import is_url
from corpusmill.training.lazy import lazy
from corpusmill.training.loader.batch import Batch
from corpusmill.training.loader.gather import OUTSIDE, gather
from corpusmill.training.loader.shard_cache import ShardCache
from corpusmill.training.order.layout import Layout

OPEN_SHARDS = 1024
DECODED_BYTES = 256 << 20
_COMMON = ("sequence_length", "tokenizer", "model_rows", "storage", "learned")


class _Part:
    """One record batch of a shard; of a mapped file, views without copying, each made when it is first asked for."""

    def __init__(self, header: ShardHeader, batch: pa.RecordBatch) -> None:
        self._header, self._batch = header, batch

    def __len__(self) -> int:
        return self._batch.num_rows

    @property
    def bytes(self) -> int:
        return self._batch.nbytes

    @lazy
    def raw(self) -> np.ndarray:
        """int32 [N, L], or uint8 [N, 3 L] where the storage is `packed`."""
        return token_rows(self._header, self._batch)

    @lazy
    def _bounds(self) -> np.ndarray:
        return self._batch.column("segments").offsets.to_numpy(zero_copy_only=True)

    @lazy
    def _lengths(self) -> np.ndarray:
        return self._batch.column("segments").values.field("length").to_numpy(zero_copy_only=True)

    def tokens(self, row: int) -> np.ndarray:
        """int32 [L]: a view, but of a packed row a copy."""
        if self._header.storage == "packed":
            return unpack_rows(self.raw[row : row + 1])[0]
        return self.raw[row]

    def learned(self, row: int) -> np.ndarray:
        """bool [L]: which tokens the loss counts."""
        return batch_learned(self._header, self._batch, row, 1)[0]

    def segment_lengths(self, row: int) -> np.ndarray:
        """int32, a view."""
        return self._lengths[self._bounds[row] : self._bounds[row + 1]]

    def segment_names(self, row: int, field: str) -> list[str]:
        """A text field of the row's segments."""
        names = self._batch.column("segments").values.field(field)
        return names[self._bounds[row] : self._bounds[row + 1]].to_pylist()


class _Shard:
    """An open shard, and those of its record batches that were touched (except any that had to be decoded)."""

    def __init__(self, entry: ShardEntry, path: str) -> None:
        self.entry = entry
        self.header, self._reader = open_reader(path)
        self.decoded = self.header.storage == "zstd"
        several = self._reader.num_record_batches > 1
        self.batch_rows = max(1, self._reader.get_batch(0).num_rows if several else entry.rows)
        self._parts: dict[int, _Part] = {}

    def part(self, number: int) -> _Part:
        """A record batch. Raises UserError for a damaged file, or one whose number of rows is not the manifest's."""
        part = self._parts.get(number)
        if part is None:
            try:
                part = _Part(self.header, self._reader.get_batch(number))
            except (pa.ArrowException, OSError, IndexError) as error:
                raise self._damaged(str(error)) from error
            rows = min(self.batch_rows, self.entry.rows - number * self.batch_rows)
            if len(part) != rows:
                raise self._damaged(f"record batch {number} has {len(part)} rows instead of {rows}")
            if not self.decoded:
                self._parts[number] = part
        return part

    def _damaged(self, why: str) -> UserError:
        return UserError(f"this shard is damaged ({why})", self.entry.path, "download it or pack it again")


class _OpenShards:
    """Shards by their number, as many open at a time as there are slots; and the tables that `gather` follows."""

    def __init__(self, entries: list[ShardEntry], cache: ShardCache | None, limit: int) -> None:
        self._entries, self._cache = entries, cache
        self._shards: list[_Shard | None] = [None] * max(1, min(limit, len(entries)))
        self._numbers = np.full(len(self._shards), -1, np.int64)
        self._turn = 0
        self.slots = np.full(len(entries), -1, np.int32)
        self.batch_rows = np.ones(len(self._shards), np.int64)
        self.addresses = np.zeros((len(self._shards), 1), np.uint64)
        self.used = np.full(len(self._shards), -1, np.int64)
        self.header: ShardHeader | None = None
        """Of the first shard that was opened: all others have to agree with it."""

    @property
    def turn(self) -> int:
        """Rises with every use: the least recently used shard has the lowest."""
        self._turn += 1
        return self._turn

    def place(self, number: int, row: int) -> tuple[_Shard, int, int]:
        """(shard, record batch, row of that) of a row of a shard; opens the shard if it is not open."""
        slot = int(self.slots[number])
        if slot < 0:
            slot = self._open(number)
        self.used[slot] = self.turn
        shard = self._shards[slot]
        assert shard is not None, "a slot in use holds a shard"
        batch, within = divmod(row, shard.batch_rows)
        if not shard.decoded and not self.addresses[slot, batch]:
            self.addresses[slot, batch] = shard.part(batch).raw.ctypes.data
        return shard, batch, within

    def _open(self, number: int) -> int:
        entry = self._entries[number]
        shard = _Shard(entry, entry.path) if self._cache is None else self._cache.use(entry, _Shard)
        first = self.header = self.header or shard.header
        for field in _COMMON:
            if getattr(first, field) != getattr(shard.header, field):
                raise UserError(
                    f"this shard's {field} differs from that of the first shard", entry.path, "pack them together"
                )
        if shard.header.group != entry.group:
            what = f"this shard is of the group '{shard.header.group}', the manifest says '{entry.group}'"
            raise UserError(what, entry.path, "download it or pack it again")
        slot = int(self.used.argmin())
        if self._numbers[slot] >= 0:
            self.slots[self._numbers[slot]] = -1
        parts = -(-entry.rows // shard.batch_rows)
        if parts > self.addresses.shape[1]:
            self.addresses = np.pad(self.addresses, ((0, 0), (0, parts - self.addresses.shape[1])))
        self.addresses[slot] = 0
        self._shards[slot], self._numbers[slot], self.batch_rows[slot] = shard, number, shard.batch_rows
        self.slots[number] = slot
        return slot


class ShardSet:
    """The sequences of a folder of shards, in the order of its files. Safe to use from several threads.

    Pickled or copied, it goes without what is open: the other one opens shards by itself. A process that was forked
    uses a copy, since a lock that another thread held at that moment stays locked there.

    Args:
        folder: a local folder, or a URL along with a `cache`.
        cache: where shards of a URL are kept.
        open_shards: shards that are open at a time.
        decoded_bytes: decoded record batches that are kept (storage `zstd`).

    Raises UserError when the folder holds no shard or no sequence; and, when a shard is first used, for a file that is
    not a token shard or that differs from the first one in sequence length, tokenizer, vocabulary or storage.
    """

    def __init__(
        self,
        folder: str | Path,
        cache: ShardCache | None = None,
        *,
        open_shards: int = OPEN_SHARDS,
        decoded_bytes: int = DECODED_BYTES,
    ) -> None:
        self.folder = str(folder)
        if is_url(self.folder) and cache is None:
            raise UserError("remote shards need a local cache", self.folder, "pass a ShardCache, or copy them here")
        self.entries = shard_entries(self.folder)
        """The shards, opened or not."""
        if not self.entries:
            raise UserError("no token shards found", where=self.folder, hint="make them with 'corpusmill pack'")
        self._starts = np.cumsum([0, *(entry.rows for entry in self.entries)], dtype=np.int64)
        if not len(self):
            raise UserError("the shards contain no sequences", where=self.folder, hint="pack more documents")
        self._cache, self._open_limit, self._decoded_limit = cache, open_shards, decoded_bytes
        self._begin()
        self.header = self._open.place(*self._address(0))[0].header
        """What all sequences have in common: length, tokenizer, special ids, how they were packed."""

    def _begin(self) -> None:
        """With nothing open."""
        self._lock = threading.Lock()
        self._open = _OpenShards(self.entries, self._cache if is_url(self.folder) else None, self._open_limit)
        self._decoded: OrderedDict[tuple[str, int], _Part] = OrderedDict()
        self._decoded_size = 0

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_open", "_decoded")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()
        self._open.header = self.header

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def sequence_length(self) -> int:
        """Tokens a sequence, padding included."""
        return self.header.sequence_length

    @property
    def groups(self) -> dict[str, int]:
        """Sequences of each group."""
        return Layout.of_entries(self.entries).sizes

    def token_rows(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each row number: its tokens and its segments' lengths, int32, of plain shards views of the map."""
        for row in rows.tolist():
            with self._lock:
                part, within = self._part(row)
            yield part.tokens(within), part.segment_lengths(within)

    def segment_lengths(self, rows: np.ndarray) -> list[np.ndarray]:
        """For each row number its segments' lengths, int32."""
        return [lengths.copy() for _, lengths in self.token_rows(rows)]

    def learned(self, rows: np.ndarray) -> np.ndarray:
        """For each row which of its tokens the loss counts, bool [N, L]: the shards' mask, or all but padding."""
        out = np.empty((len(rows), self.sequence_length), bool)
        for place, row in enumerate(rows.tolist()):
            with self._lock:
                part, within = self._part(row)
            if self.header.learned:
                out[place] = part.learned(within)
            else:
                out[place] = np.arange(self.sequence_length) < part.segment_lengths(within).sum()
        return out

    def segment_sources(self, rows: np.ndarray) -> list[list[str]]:
        """For each row number the sources of its segments."""
        return self._segment_names(rows, "source")

    def segment_documents(self, rows: np.ndarray) -> list[list[str]]:
        """For each row number the ids of the documents that its segments are of."""
        return self._segment_names(rows, "document")

    def _segment_names(self, rows: np.ndarray, field: str) -> list[list[str]]:
        names = []
        for row in rows.tolist():
            with self._lock:
                part, within = self._part(row)
            names.append(part.segment_names(within, field))
        return names

    def read(self, rows: np.ndarray, pin: bool = False) -> Batch:
        """A batch of the sequences with these numbers (int64 [B], each below `len`), page-locked on request."""
        tokens, out = _room(len(rows), self.sequence_length, pin)
        if self.header.storage != "zstd":
            self._gather(rows, out)
            return Batch(tokens, rows, lambda: self.segment_lengths(rows), learned=self._mask_of(rows))
        lengths = []
        for place, (ids, row_lengths) in enumerate(self.token_rows(rows)):
            out[place] = ids
            lengths.append(row_lengths.copy())  # a batch of sequences must not keep decoded record batches alive
        return Batch(tokens, rows, lambda: lengths, learned=self._mask_of(rows))

    def _mask_of(self, rows: np.ndarray) -> Callable[[], np.ndarray] | None:
        return (lambda: self.learned(rows)) if self.header.learned else None

    def _gather(self, rows: np.ndarray, out: np.ndarray) -> None:
        token_bytes = PACKED_BYTES if self.header.storage == "packed" else out.itemsize // 2
        gathered = 0
        with self._lock:
            known = self._open
            while True:
                gathered = gather(
                    rows,
                    gathered,
                    self._starts,
                    known.slots,
                    known.batch_rows,
                    known.addresses,
                    known.used,
                    known.turn,
                    token_bytes,
                    out,
                )
                if gathered == len(rows):
                    return
                if gathered == OUTSIDE:
                    raise IndexError(f"rows of a set of {len(self)} were asked for beyond it")
                known.place(*self._address(int(rows[gathered])))

    def _address(self, row: int) -> tuple[int, int]:
        """(shard, row of the shard)."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return number, row - int(self._starts[number])

    def _part(self, row: int) -> tuple[_Part, int]:
        """(record batch, row of that). The lock is held."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a set of {len(self)}")
        shard, number, within = self._open.place(*self._address(row))
        return self._decoded_part(shard, number) if shard.decoded else shard.part(number), within

    def _decoded_part(self, shard: _Shard, number: int) -> _Part:
        key = shard.entry.path, number
        if key not in self._decoded:
            self._decoded[key] = shard.part(number)
            self._decoded_size += self._decoded[key].bytes
            while self._decoded_size > self._decoded_limit and len(self._decoded) > 1:
                self._decoded_size -= self._decoded.popitem(last=False)[1].bytes
        self._decoded.move_to_end(key)
        return self._decoded[key]


def _room(sequences: int, length: int, pin: bool) -> tuple[torch.Tensor, np.ndarray]:
    """One piece of memory as a tensor and as an array, int64 [B, T]."""
    if pin:
        tokens = torch.empty((sequences, length), dtype=torch.int64, pin_memory=True)
        return tokens, tokens.numpy()
    out = np.empty((sequences, length), np.int64)  # there in 0.7 microseconds, from torch in 3
    return torch.from_numpy(out), out
