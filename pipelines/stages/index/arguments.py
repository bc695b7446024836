"""What merging hands to its tasks."""

from dataclasses import dataclass, replace

from corpusmill.pipelines.stages.blocks import BlockTask


@dataclass(frozen=True, kw_only=True)
class MergeWork(BlockTask):
    """Segments of an index that are merged.

    Attributes:
        index, generation: in which the segments are listed.
        segments: their numbers.
        method: of the index.
        partitions: of the new segment's keys.
        first, stop: rows of the new segment that make the task's block.
    """

    index: str
    generation: int
    segments: tuple[int, ...]
    method: tuple[str, ...]
    partitions: int
    first: int = 0
    stop: int = 0

    def of_block(self, block: int, first: int, stop: int) -> "MergeWork":
        """The same for one block."""
        return replace(self, block=block, first=first, stop=stop)
