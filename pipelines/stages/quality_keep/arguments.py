"""What keeping by a score, and ranking, hand to their tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from corpusmill.pipelines.stages.parts import PartWork

Cutoff = tuple[int, int]
"""The key and draw of the last document that is taken."""


@dataclass(frozen=True, kw_only=True)
class ScoreRank:
    """Ranks by a score, ties by a draw, in the groups of a column (None: all documents are one)."""

    column: str
    by: str | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class DrawRank:
    """Ranks by a draw alone, of the documents of a class that are not held back."""

    label: Literal["positive", "negative"]
    held_back: float
    seed: int


RankSource = ScoreRank | DrawRank


@dataclass(frozen=True, kw_only=True)
class RankWork(PartWork):
    """A round of the search for cutoffs.

    Attributes:
        source: what ranks are.
        is_first: all documents of all groups are counted.
        counted: the digits that are known of a cutoff, by groups whose next digit is counted.
        listed: the same, by groups whose ranks are listed.
    """

    source: RankSource
    is_first: bool
    counted: Mapping[str, list[int]]
    listed: Mapping[str, list[int]]


@dataclass(frozen=True, kw_only=True)
class KeepWork(PartWork):
    """Which documents are kept: those over a threshold, the best by rank, or those of a Pareto draw.

    Attributes:
        way: which of the three.
        source: the score, its groups and the seed.
        threshold, thresholds: for all groups, and for those that have one of their own.
        pareto: the shape of the draw.
        cutoffs: by group, of ranks.
    """

    way: Literal["threshold", "top", "pareto"]
    source: ScoreRank
    threshold: float | None
    thresholds: Mapping[str, float]
    pareto: float | None
    cutoffs: Mapping[str, Cutoff] = field(default_factory=dict)
