"""Two runs: their stages by name, side by side, from manifests and plans alone; and what to compare next.

Where one stage gives something else, so do all that are made of it. So the stages that are named to be compared next
come in the order of the road, and the first of them is where the two runs part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corpusmill.pipelines.inspect.diff.values import ManifestDiff, described, manifest_diff
from corpusmill.pipelines.inspect.places import Place, recognise

_COMPARABLE = ("dataset", "shards", "tokenizer")


@dataclass(frozen=True, kw_only=True)
class StageDiff:
    """A stage of both runs, or of one.

    Attributes:
        name: of its folder.
        folders: in either run; None where it is not.
        states: finished, unfinished or not there.
        counts: {count: (in the first, in the second)}, None where it is not; also those that are the same.
        diff: what differs; None where it is in one run only.
        can_compare: whether `inspect diff` says more of the two folders.
    """

    name: str
    folders: tuple[str | None, str | None]
    states: tuple[str, str]
    counts: Mapping[str, tuple[int | None, int | None]]
    diff: ManifestDiff | None
    can_compare: bool

    @property
    def differs(self) -> bool:
        return self.diff is None or self.diff.differs


@dataclass(frozen=True, kw_only=True)
class RunDiff:
    """Two runs. `stages`: in the order of the road, those that only the second has behind."""

    stages: Sequence[StageDiff]

    @property
    def differs(self) -> bool:
        return any(stage.differs for stage in self.stages)

    @property
    def next(self) -> list[tuple[str, str]]:
        """Folders to compare next, those where the runs part first."""
        parted = [stage for stage in self.stages if stage.diff and not stage.diff.same_outputs and stage.can_compare]
        pairs = [stage.folders for stage in parted]
        return [(first, second) for first, second in pairs if first is not None and second is not None]


def run_diff(first: Place, second: Place) -> RunDiff:
    """Compares two runs by their manifests."""
    one, other = dict(first.stages), dict(second.stages)
    names = [*one, *(name for name in other if name not in one)]
    return RunDiff(stages=[_stage_diff(name, one.get(name), other.get(name)) for name in names])


def _stage_diff(name: str, first: str | None, second: str | None) -> StageDiff:
    places = [recognise(folder) if folder else None for folder in (first, second)]
    counts = [place.manifest.get("counts", {}) if place else {} for place in places]
    states = [("finished" if place.manifest else "unfinished") if place else "not there" for place in places]
    one, other = places
    comparable = one is not None and other is not None and one.what == other.what and one.what in _COMPARABLE
    return StageDiff(
        name=name,
        folders=(first, second),
        states=(states[0], states[1]),
        counts={key: (counts[0].get(key), counts[1].get(key)) for key in dict.fromkeys([*counts[0], *counts[1]])},
        diff=manifest_diff(described(one), described(other)) if one and other else None,
        can_compare=comparable,
    )
