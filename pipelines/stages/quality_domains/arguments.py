"""What the two stages between rounds hand to their tasks."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PartPair:
    """A part of 'quality keep' and the rejected documents beside it: paths, rows of both together, bytes to read."""

    kept: str
    rejected: str
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class TallyWork:
    """A part of this round, and the same part in the round before."""

    now: PartPair
    before: PartPair | None
    partitions: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class MergeWork:
    """A partition of domains: the parts that counted, domains that are accepted already, and what is proposed."""

    partition: int
    parts: tuple[str, ...]
    accepted: tuple[str, ...]
    share: float
    pages: int
    proposals: int


@dataclass(frozen=True, kw_only=True)
class PickWork:
    """A part of rejected pages; (domain, path) of what is accepted now, and was accepted before."""

    path: str
    accepted: tuple[tuple[str, str], ...]
    before: tuple[tuple[str, str], ...]
