"""What export hands to its tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class ExportWork:
    """A shard to write items of.

    Attributes:
        to, unit: the format, and what an item is.
        partitions: of documents that lie in several shards.
        path: of the shard; of one of its folder where documents are joined.
        stem: of the files to write.
        folder: "" or "validation".
    """

    to: Literal["megatron", "mds", "huggingface", "flat"]
    unit: Literal["sequence", "document"]
    partitions: int
    path: str = ""
    stem: str = ""
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class JoinWork(ExportWork):
    """A partition of documents whose pieces lie in several shards, by the shards' names."""

    number: int
    pieces: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FinishWork(ExportWork):
    """All files that were written, and the folders that each get what the format has once."""

    entries: Sequence[Mapping[str, Any]]
    folders: tuple[str, ...]
