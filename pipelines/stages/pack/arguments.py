"""What pack and import hand to their tasks; both write shards by the same tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # it brings numpy
    from corpusmill.dataproc.exchange.pieces import Piece


@dataclass(frozen=True, kw_only=True)
class FimSettings:
    """How documents are rearranged to fill in the middle; names are those of the settings without `fim_`."""

    rate: float
    rates: Mapping[str, float]
    mode: Literal["psm", "spm"]
    split: Literal["character", "line", "token"]
    minimum: int
    maximum: int


@dataclass(frozen=True, kw_only=True)
class ShardWork:
    """What every task that writes shards needs.

    Attributes:
        tokenizer: folder or URL.
        packing: policy.
        fim: None where documents come as tokens.
        shard_sequences: sequences of a full shard.
        number: of the task, which its shards are named by.
        chat: documents are conversations, and shards say which tokens are learned.
    """

    tokenizer: str
    sequence_length: int
    packing: Literal["best-fit", "concat", "none"]
    boundary_split: float
    bos: bool
    eos: bool
    fim: FimSettings | None
    seed: int
    storage: Literal["plain", "packed", "zstd"]
    shard_sequences: int
    number: int = 0
    chat: bool = False


@dataclass(frozen=True, kw_only=True)
class PackWork(ShardWork):
    """Parts of documents that are encoded and packed together."""

    fim: FimSettings
    group_by: Literal["none", "source", "kind", "language"]
    length_buckets: tuple[int, ...]
    validation_share: float
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImportPiece:
    """A piece of another format's file, and the source and file name that its documents' ids begin with."""

    piece: "Piece"
    source: str
    file: str


@dataclass(frozen=True, kw_only=True)
class ImportWork(ShardWork):
    """Pieces of another format's files that are packed together."""

    format: str
    column: str
    dtype: str
    held_back: bool = False
    pieces: tuple[ImportPiece, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TailRows:
    """Rows `first` to `last` of a tail, a file of `_work/tails/`."""

    path: str
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class GatherWork:
    """Rows of tails of one group that become one shard."""

    shard: ShardWork
    pieces: tuple[TailRows, ...]
    group: str
    held_back: bool


@dataclass(frozen=True, kw_only=True)
class LintWork:
    """Shards of a set that is packed, of which some record batches are linted: (path below the folder, sequences).

    Attributes:
        encoded: the ids were made here, from text.
    """

    shard: ShardWork
    shards: tuple[tuple[str, int], ...]
    encoded: bool
