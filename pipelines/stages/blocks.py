"""Phases over blocks of parts and over partitions of keys, which de-duplication, its index and spans share.

A block is a run of consecutive parts: what one task reads, and what a file is made for. A partition is a share of the
keys by their hash: what meets in one task of the next phase.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from corpusmill.pipelines.datasets import PartReference
from corpusmill.pipelines.engine.stage import StageRun
from corpusmill.pipelines.engine.task import Task

PARTITION_BYTES = 64 << 20
KEY_BYTES = 24
MAX_PARTITIONS = 4096
BLOCK_ROWS = 1 << 20
LEAST_BLOCKS = 64
PART_SHIFT = 32
"""An address is a part's number above so many bits of a row's (`dataproc.documents.address`)."""

WRITE_LAYOUT = "corpusmill.pipelines.stages.dedup.work.layout:write_layout"


@dataclass(frozen=True, kw_only=True)
class BlockTask:
    """What a task over a block or a partition is given besides its stage's own fields; -1 where it has none."""

    block: int = -1
    partition: int = -1


OfBlock = TypeVar("OfBlock", bound=BlockTask)
OfPartition = TypeVar("OfPartition", bound=BlockTask)


@dataclass(frozen=True, kw_only=True)
class LayoutWork:
    """Of each part: its path, rows and block, and whether its dataset is protected."""

    path: Sequence[str]
    rows: Sequence[int]
    block: Sequence[int]
    protected: Sequence[bool]


class Range(NamedTuple):
    """A file of rows by address, and the first and last of them."""

    path: str
    first: int
    last: int


class BlockWork:
    """Carries phases over the blocks of parts, and over partitions. `own` blocks, the first, are not protected."""

    def __init__(self, run: StageRun, parts: Sequence[PartReference], own: int) -> None:
        self.run = run
        blocks = block_numbers([part.rows for part in parts], own)
        self._bytes = block_bytes(parts, blocks)
        self._first_part = [blocks.index(block) for block in range(len(self._bytes))] + [len(blocks)]
        self.own = len(set(blocks[:own]))
        layout = LayoutWork(
            path=[part.path for part in parts],
            rows=[part.rows for part in parts],
            block=blocks,
            protected=[number >= own for number in range(len(parts))],
        )
        task = Task(id="layout", function=WRITE_LAYOUT, arguments=layout)
        run.map("layout", [task])

    def by_block(
        self, phase: str, function: str, work: OfBlock, *, own_only: bool = False, ranges: Sequence[Range] = ()
    ) -> list[dict[str, Any]]:
        """Runs a task for each block.

        Args:
            phase: names the folder of markers.
            function: "module:function" of the work.
            work: what all tasks of the phase share; each gets its own `block`.
            own_only: leaves blocks of protected datasets out.
            ranges: files by the addresses in them; a task is given those in which its block's addresses lie.
        """
        sizes = self._bytes[: self.own] if own_only else self._bytes
        fields = [{"ranges": self._overlapping(block, ranges)} if ranges else {} for block in range(len(sizes))]
        return self.run.map(phase, block_tasks(function, work, sizes, fields))

    def _overlapping(self, block: int, ranges: Sequence[Range]) -> tuple[str, ...]:
        first, stop = (self._first_part[number] << PART_SHIFT for number in (block, block + 1))
        return tuple(file.path for file in ranges if file.first < stop and file.last >= first)

    def by_partition(
        self, phase: str, function: str, work: OfPartition, count: int, before: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Runs a task for each of `count` partitions of what the tasks of the phase before have written."""
        size = sum(result["bytes"] for result in before)
        return self.run.map(phase, partition_tasks(function, work, count, size))


def block_id(block: int) -> str:
    """The id of a block's task."""
    return f"block-{block:05d}"


def block_tasks(
    function: str, work: OfBlock, sizes: Sequence[int], fields: Sequence[Mapping[str, Any]] | None = None
) -> list[Task]:
    """A task for each block; each gets its own `block`.

    Args:
        function: "module:function" of the work.
        work: what all tasks share.
        sizes: bytes of each block.
        fields: further fields of `work` for each block.
    """
    own = fields if fields is not None else [{}] * len(sizes)
    return [
        Task(id=block_id(block), function=function, arguments=replace(work, block=block, **own[block]), bytes=size)
        for block, size in enumerate(sizes)
    ]


def partition_tasks(function: str, work: OfPartition, count: int, size: int) -> list[Task]:
    """A task for each of `count` partitions of so many bytes together; each gets its own `partition`."""
    return [
        Task(
            id=f"partition-{number:04d}",
            function=function,
            arguments=replace(work, partition=number),
            bytes=size // count,
        )
        for number in range(count)
    ]


def block_bytes(parts: Sequence[PartReference], blocks: Sequence[int]) -> list[int]:
    """Decoded bytes of each block; `blocks` is the block of each part, rising."""
    sizes = [0] * (blocks[-1] + 1 if blocks else 0)
    for part, block in zip(parts, blocks, strict=True):
        sizes[block] += part.arrow_bytes
    return sizes


def block_numbers(rows: Sequence[int], own: int) -> list[int]:
    """The block of each part: consecutive parts of up to a million rows or a 64th of all, none of both kinds.

    Args:
        rows: of each part.
        own: parts that are not protected; they come first.
    """
    most = min(BLOCK_ROWS, sum(rows) // LEAST_BLOCKS)
    blocks: list[int] = []
    block = rows_in_block = 0
    for number, count in enumerate(rows):
        if number and (rows_in_block + count > most or number == own):
            block += 1
            rows_in_block = 0
        blocks.append(block)
        rows_in_block += count
    return blocks


def passes_of(size: int, partitions: int) -> int:
    """In how many passes a task goes through its partition of so many bytes in all, about 64 MiB each."""
    return max(1, -(-size // (partitions * PARTITION_BYTES)))


def partitions_of(size: int, most: int = MAX_PARTITIONS) -> int:
    """Partitions of about 64 MiB; a function of the input alone, so that it is the same anywhere."""
    return min(most, 1 + size // PARTITION_BYTES)
