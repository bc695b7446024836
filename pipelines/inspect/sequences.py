"""Sequences of token shards, read back into text by the shard set's own `_vocabulary.parquet`.

A shard is memory-mapped and asked for one record batch (4 MiB of tokens at the most), so one sequence costs one batch
whichever way tokens are stored. The vocabulary (a few MB) is read once. Which sequences a run read at a step
follows from its metrics and its order, without reading any shard.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shard_folder import is_held_back, set_folder, vocabulary_path
from corpusmill.dataproc.sequences.shards import ShardHeader, batch_learned, batch_tokens, open_reader, rows_per_batch
from corpusmill.pipelines.inspect.places import Place

ORDER, METRICS = "plan.json", "metrics.jsonl"


@dataclass(frozen=True)
class Piece:
    """A run of tokens that belong together: a special token by itself, or ordinary tokens between two of them.

    `learned`: whether the loss counts them; None where the shards have no mask, and it counts all.
    """

    special: bool
    ids: list[int]
    spelled: list[bytes]
    learned: bool | None = None

    @property
    def text(self) -> str:
        """The bytes as text; a cut may lie inside a character, and such bytes are shown as U+FFFD."""
        return b"".join(self.spelled).decode(errors="replace")


@dataclass(frozen=True)
class Segment:
    """One document's stretch of a sequence, or the padding at its end (`document` is None)."""

    document: str | None
    source: str
    start: int
    length: int
    fim: bool
    pieces: list[Piece]


@dataclass(frozen=True)
class PackedSequence:
    """A sequence and where it stands: `number` counts over all shards, `row` in its own, which is of a `group`."""

    number: int
    path: str
    row: int
    group: str
    segments: list[Segment]


class Shards:
    """The sequences of several shards, numbered through in order."""

    def __init__(self, where: str, paths: Sequence[str], vocabulary: str, rows: Sequence[int] | None = None) -> None:
        """`vocabulary`: path of `_vocabulary.parquet`; `rows`: sequences of each shard, looked up where not given."""
        self.where = where
        self.paths = list(paths)
        self._vocabulary = vocabulary
        self._rows = rows
        self._last: tuple[str, ShardHeader, pa.ipc.RecordBatchFileReader] | None = None

    def _open(self, path: str) -> tuple[ShardHeader, pa.ipc.RecordBatchFileReader]:
        """A shard, the last one of which is kept open."""
        if self._last is None or self._last[0] != path:
            self._last = (path, *open_reader(path))
        return self._last[1:]

    @cached_property
    def _ends(self) -> np.ndarray:
        """int64: the number after the last sequence of each shard."""
        rows = self._rows
        if rows is None:
            readers = [self._open(path)[1] for path in self.paths]
            rows = [sum(r.get_batch(i).num_rows for i in range(r.num_record_batches)) for r in readers]
        return np.cumsum(rows, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @cached_property
    def _spelled(self) -> tuple[list[bytes], np.ndarray]:
        """(bytes of each id, whether it is special)."""
        if not storage.exists(self._vocabulary):
            raise UserError("the vocabulary of these shards is missing", where=self._vocabulary, hint="pack again")
        with storage.open_input(self._vocabulary) as file:
            table = pq.read_table(file)
        return table["bytes"].to_pylist(), table["special"].to_numpy()

    def place_of(self, number: int) -> tuple[str, int]:
        """(path of the shard, row in it) of a sequence. Raises UserError past the end."""
        if not 0 <= number < len(self):
            hint = f"sequences are 0 to {len(self) - 1}" if len(self) else "there are none"
            raise UserError(f"no sequence {number}", where=self.where, hint=hint)
        shard = int(np.searchsorted(self._ends, number, side="right"))
        return self.paths[shard], number - (int(self._ends[shard - 1]) if shard else 0)

    def sequence(self, number: int) -> PackedSequence:
        """The sequence of a number. Raises UserError past the end."""
        path, row = self.place_of(number)
        header, reader = self._open(path)
        at, inside = divmod(row, rows_per_batch(header.sequence_length))
        if at >= reader.num_record_batches or inside >= (batch := reader.get_batch(at)).num_rows:
            raise UserError(f"no row {row} in this shard", where=path, hint="see corpusmill inspect verify")
        segments = self._segments(header, batch.slice(inside, 1), number)
        return PackedSequence(number, path, row, header.group, segments)

    def places_of(self, document: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number of the sequence, segment) wherever a document stands."""
        before = 0
        for path in self.paths:
            _, reader = self._open(path)
            for number in range(reader.num_record_batches):
                column = reader.get_batch(number).column("segments")
                flat, bounds = column.flatten(), column.offsets.to_numpy() - column.offsets[0].as_py()
                for at in np.flatnonzero(pc.equal(flat.field("document"), document).to_numpy(zero_copy_only=False)):
                    yield before + int(np.searchsorted(bounds, at, side="right")) - 1, flat[int(at)].as_py()
                before += len(column)

    def _segments(self, header: ShardHeader, batch: pa.RecordBatch, number: int) -> list[Segment]:
        """The segments of the one sequence of a batch."""
        spelled, special = self._spelled
        tokens = batch_tokens(header, batch)[0]
        if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(spelled):
            raise UserError(
                f"sequence {number} has ids outside the vocabulary", where=self.where, hint="verify the shards"
            )
        learned = batch_learned(header, batch)[0] if header.learned else None
        segments, at = [], 0
        for segment in batch.column("segments")[0].as_py():
            ids = tokens[at : at + segment["length"]]
            mask = None if learned is None else learned[at : at + len(ids)]
            pieces = _pieces(ids, spelled, special, mask)
            segments.append(
                Segment(segment["document"], segment["source"], segment["start"], len(ids), segment["fim"], pieces)
            )
            at += segment["length"]
        if at < len(tokens):
            segments.append(Segment(None, "", 0, len(tokens) - at, False, []))
        return segments


def shards_of(place: Place) -> Shards:
    """The sequences of a folder of shards (held-back ones after the others) or of one shard."""
    if place.what == "shard":
        return Shards(place.path, [place.path], vocabulary_path(shard_set(place.path)))
    manifest = place.manifest
    held_back = [file for file in manifest["files"] if is_held_back(file["path"])]
    entries = [*manifest["parts"], *held_back]
    paths = [storage.join(place.path, entry["path"]) for entry in entries]
    rows = [entry["rows"] for entry in entries]
    return Shards(place.path, paths, vocabulary_path(place.path), rows)


def step_positions(run: str, step: int) -> range:
    """The positions in a training run's order that one of its steps read, by its metrics.

    A line says how many sequences had been read after its step, and how many of them were the step's own: those before
    may be another step's, or a loss spike's that was left out. Lines of older runs lack the second number; there a step
    read all that follows the one before. The file is read line by line. A run that is going on can be asked, too.
    Raises UserError for a step that has not been.
    """
    path = storage.join(run, METRICS)
    lines: dict[int, Mapping[str, Any]] = {0: {"step": 0, "sequences": 0}}
    seen = 0
    with storage.open_input(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):  # it is being written
                break
            seen = number
            if number in (step - 1, step):
                lines[number] = json.loads(line)
            if number == step:
                break
    if step < 1 or step not in lines:
        raise UserError(f"no step {step}", where=path, hint=f"steps are 1 to {seen}" if seen else "no step is done yet")
    metrics = lines[step]
    after, own = metrics.get("sequences"), metrics.get("batch_sequences")
    before = lines[step - 1].get("sequences") if own is None or after is None else after - own
    if before is None or after is None or metrics["step"] != step:
        raise UserError("these metrics do not say which sequences were read", where=path, hint="use --sequence")
    return range(before, after)


def ordered_rows(run: str, positions: range) -> list[int]:
    """The rows of the shard set at these positions of a training run's order."""
    from corpusmill.training.order.sequence_order import SequenceOrder

    path = storage.join(run, ORDER)
    if not storage.exists(path):
        raise UserError("this run has no record of the order of its sequences", where=path, hint="use --sequence")
    order = SequenceOrder.from_json(storage.read_bytes(path), path)
    return [int(row) for row in order.rows(positions.start, len(positions))]


def shard_set(shard: str) -> str:
    """The folder of the shard set that a shard belongs to, held back or not."""
    return set_folder(storage.absolute(shard).rsplit("/", 1)[0])


def _pieces(ids: np.ndarray, spelled: Sequence[bytes], special: np.ndarray, learned: np.ndarray | None) -> list[Piece]:
    """The ids cut before and after every special token, and where the mask changes."""
    flags = special[ids]
    edges = flags[1:] | flags[:-1]
    if learned is not None:
        edges = edges | (learned[1:] != learned[:-1])
    cuts = [0, *(np.flatnonzero(edges) + 1).tolist(), len(ids)]
    return [
        Piece(
            bool(flags[begin]),
            ids[begin:end].tolist(),
            [spelled[number] for number in ids[begin:end]],
            None if learned is None else bool(learned[begin]),
        )
        for begin, end in pairwise(cuts)
        if end > begin
    ]
