"""What the phases of a mixture hand to their tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from corpusmill.pipelines.stages.parts import PartWork

GroupKey = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MeasuringWork(PartWork):
    """How documents are grouped and weighed: by bytes, by a tokenizer's tokens, or by bytes over those of a token."""

    by: tuple[str, ...]
    seed: int
    unit: Literal["bytes", "tokens"]
    tokenizer: str | None
    bytes_per_token: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class GroupPlan:
    """A group: how often each of its documents is in the result, and the amount that is drawn once more."""

    key: GroupKey
    copies: int
    drawn: int


@dataclass(frozen=True, kw_only=True)
class DrawWork:
    """The plan, the groups of each part by the part's name, and the marker before the number of a copy in its id."""

    plan: tuple[GroupPlan, ...]
    parts: tuple[tuple[str, tuple[GroupKey, ...]], ...]
    marker: str


@dataclass(frozen=True, kw_only=True)
class WriteWork(PartWork):
    """A part's documents that are in the result `copy` times or more."""

    copy: int
    by: tuple[str, ...]
    seed: int
