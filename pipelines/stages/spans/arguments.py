"""What the phases of spans hand to their tasks."""

from dataclasses import dataclass
from typing import Literal

from corpusmill.pipelines.stages.blocks import BlockTask


@dataclass(frozen=True, kw_only=True)
class SpansWork(BlockTask):
    """The stage's settings, and where its files are.

    Attributes:
        partitions: of the first shuffle.
        blocks: how many there are.
        applied: files of repeats that `apply` reads; known when those are found.
        parts: (name, path) of a block's parts.
    """

    unit: Literal["substring", "paragraph", "line"]
    length: int
    unit_length: int
    limit: int
    count: Literal["documents", "times"]
    normalise: tuple[str, ...]
    action: Literal["report", "cut", "remove"]
    minimum: int
    share: float
    partitions: int
    blocks: int
    applied: int = 0
    parts: tuple[tuple[str, str], ...] = ()
