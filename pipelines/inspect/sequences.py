"""Sequences of token shards, read back into text by the shard set's own `vocabulary.parquet`.

A shard is memory-mapped, so one sequence costs one sequence. The vocabulary (a few MB) is read once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataproc import storage
from dataproc.errors import UserError
from dataproc.shards import ShardHeader, open_shard
from pipelines.inspect.places import Place

VOCABULARY = "vocabulary.parquet"
VALIDATION = "validation"


@dataclass(frozen=True)
class Piece:
    """A run of tokens that belong together: a special token by itself, or ordinary tokens between two of them."""

    special: bool
    ids: list[int]
    spelled: list[bytes]

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
    """A sequence and where it stands: `number` counts over all shards, `row` in its own."""

    number: int
    path: str
    row: int
    segments: list[Segment]


class Shards:
    """The sequences of several shards, numbered through in order."""

    def __init__(self, where: str, paths: Sequence[str], vocabulary: str) -> None:
        """`vocabulary`: path of `vocabulary.parquet`."""
        self.where = where
        self.paths = list(paths)
        self._vocabulary = vocabulary

    @cached_property
    def _opened(self) -> list[tuple[str, ShardHeader, pa.Table]]:
        return [(path, *open_shard(path)) for path in self.paths]

    def __len__(self) -> int:
        return sum(table.num_rows for _, _, table in self._opened)

    @cached_property
    def _spelled(self) -> tuple[list[bytes], np.ndarray]:
        """(bytes of each id, whether it is special)."""
        if not storage.exists(self._vocabulary):
            raise UserError("the vocabulary of these shards is not here", where=self._vocabulary, mend="pack again")
        with storage.open_input(self._vocabulary) as file:
            table = pq.read_table(file)
        return table["bytes"].to_pylist(), table["special"].to_numpy()

    def sequence(self, number: int) -> PackedSequence:
        """The sequence of a number. Raises UserError past the end."""
        row = number
        for path, header, table in self._opened if number >= 0 else ():
            if row < table.num_rows:
                return PackedSequence(number, path, row, self._segments(header, table, row))
            row -= table.num_rows
        mend = f"sequences are 0 to {len(self) - 1}" if len(self) else "there are none"
        raise UserError(f"no sequence {number}", where=self.where, mend=mend)

    def places_of(self, document: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number of the sequence, segment) wherever a document stands."""
        before = 0
        for _, _, table in self._opened:
            for chunk in table["segments"].chunks:
                flat = chunk.values.slice(
                    chunk.offsets[0].as_py(), chunk.offsets[-1].as_py() - chunk.offsets[0].as_py()
                )
                bounds = chunk.offsets.to_numpy() - chunk.offsets[0].as_py()
                for at in np.flatnonzero(pc.equal(flat.field("document"), document).to_numpy(zero_copy_only=False)):
                    yield before + int(np.searchsorted(bounds, at, side="right")) - 1, flat[int(at)].as_py()
                before += len(chunk)

    def _segments(self, header: ShardHeader, table: pa.Table, row: int) -> list[Segment]:
        spelled, special = self._spelled
        tokens = table["tokens"][row].values.to_numpy()
        if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(spelled):
            raise UserError(
                f"sequence {row} has ids outside the vocabulary", where=self.where, mend="verify the shards"
            )
        segments, at = [], 0
        for each in table["segments"][row].as_py():
            ids = tokens[at : at + each["length"]]
            pieces = _pieces(ids, spelled, special)
            segments.append(Segment(each["document"], each["source"], each["start"], len(ids), each["fim"], pieces))
            at += each["length"]
        if at < len(tokens):
            segments.append(Segment(None, "", 0, len(tokens) - at, False, []))
        return segments


def shards_of(place: Place) -> Shards:
    """The sequences of a folder of shards (held-back ones after the others) or of one shard."""
    if place.what == "shard":
        folder = storage.absolute(place.path).rsplit("/", 1)[0]
        if folder.endswith(f"/{VALIDATION}"):
            folder = folder.rsplit("/", 1)[0]
        return Shards(place.path, [place.path], storage.join(folder, VOCABULARY))
    manifest = place.manifest
    held_back = [file["path"] for file in manifest["files"] if file["path"].startswith(f"{VALIDATION}/")]
    names = [part["path"] for part in manifest["parts"]] + held_back
    return Shards(place.path, [storage.join(place.path, name) for name in names], storage.join(place.path, VOCABULARY))


def _pieces(ids: np.ndarray, spelled: Sequence[bytes], special: np.ndarray) -> list[Piece]:
    """The ids cut before and after every special token."""
    flags = special[ids]
    cuts = np.flatnonzero(flags[1:] | flags[:-1]) + 1
    return [
        Piece(bool(special[part[0]]), part.tolist(), [spelled[number] for number in part])
        for part in np.split(ids, cuts)
        if len(part)
    ]
