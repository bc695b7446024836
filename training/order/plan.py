"""What a run reads, in which shares and for how long: phases, each with a mixture of groups.

A group is what `pack --group-by` kept apart: all documents of a source, a kind or a language, where asked for with a
bucket of document length ("web:4097-32768"). A mixture names groups and gives each a weight; weights are of sequences
(of L places), which are tokens but for padding. The name of a group's part before the colon stands for all its buckets,
which share the weight in proportion to their sequences. Phases follow each other at given token counts, as in
DeepSeek-V3's run (10T, then to 14.3T, then to 14.8T tokens), and the last one may be endless.

Numbers are taken as written: 0.1 is 1/10 here, not the nearest binary fraction. So quotas are whole numbers and no
rounding error grows with the run. This module knows no kernels and no torch: the command line checks plans by it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from typing import Any

from corpusmill.dataproc.errors import UserError

_NAMES_SHOWN = 30


@dataclass(frozen=True)
class Phase:
    """A stretch of the order with one mixture. Raises UserError for an invalid weight or length."""

    mixture: Mapping[str, float] = field(default_factory=dict)
    """Weights by group; groups that are not named are left out. Empty: every group by its number of sequences."""
    tokens: int | None = None
    """Length in places of a sequence, padding included; None (and no `sequences`): the phase has no end."""
    sequences: int | None = None
    """Length in sequences, instead of `tokens`."""

    def __post_init__(self) -> None:
        def refuse(what: str, hint: str) -> UserError:
            return UserError(what, where="mixture", hint=hint)

        for name, weight in self.mixture.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not isfinite(weight) or weight < 0:
                raise refuse(f"the weight of '{name}' is {weight!r}", "use a number of at least 0")
        if self.mixture and not any(self.mixture.values()):
            raise refuse("all weights are 0", "give at least one group a positive weight")
        if self.tokens is not None and self.sequences is not None:
            raise refuse("a phase has both tokens and sequences", "use one of them")
        for length in (self.tokens, self.sequences):
            if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
                raise refuse(f"the length of a phase is {length!r}", "use a whole number above 0")

    @property
    def endless(self) -> bool:
        """Whether it has no end."""
        return self.tokens is None and self.sequences is None


@dataclass(frozen=True)
class Plan:
    """Phases, one after the other. Raises UserError when there is none, or one follows an endless one."""

    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if not self.phases:
            raise UserError("the plan has no phases", where="phases", hint="add one, or omit the plan")
        if any(phase.endless for phase in self.phases[:-1]):
            raise UserError("only the last phase may leave its length open", where="phases", hint="set its tokens")

    @classmethod
    def of(cls, mixture: Mapping[str, float], phases: Sequence[Mapping[str, Any]] = ()) -> "Plan | None":
        """The plan of a run's settings; None when they ask for nothing.

        Args:
            mixture: weights by group, for the whole run and for phases that give none.
            phases: each with `tokens` and `mixture`, both optional.

        Raises UserError for unknown keys of a phase, besides what `Phase` and `Plan` refuse.
        """
        if not mixture and not phases:
            return None
        for phase in phases:
            if unknown := sorted(set(phase) - {"tokens", "mixture"}):
                raise UserError(
                    f"unknown field of a phase '{unknown[0]}'", where="phases", hint="its fields are tokens and mixture"
                )
        of_phases = [Phase(dict(phase.get("mixture") or mixture), phase.get("tokens")) for phase in phases]
        return cls(tuple(of_phases or [Phase(dict(mixture))]))

    def to_values(self) -> list[dict[str, Any]]:
        """Plain JSON values, equal for equal plans."""
        return [
            {
                "mixture": {name: float(weight) for name, weight in sorted(phase.mixture.items())},
                "tokens": phase.tokens,
                "sequences": phase.sequences,
            }
            for phase in self.phases
        ]

    @classmethod
    def from_values(cls, values: Sequence[Mapping[str, Any]]) -> "Plan":
        """The plan that gave these values."""
        return cls(tuple(Phase(**phase) for phase in values))

    def borders(self, sequence_length: int) -> list[int]:
        """Where phases end, in sequences from the start; an endless one has no border.

        Borders, not lengths, are rounded to whole sequences, so that many phases drift no more than one does. Raises
        UserError for a phase that has no sequence then.
        """
        ends: list[int] = []
        exact = Fraction(0)
        for number, phase in enumerate(self.phases):
            if phase.endless:
                break
            tokens = Fraction(phase.tokens or 0, sequence_length)
            exact += phase.sequences if phase.sequences is not None else tokens
            ends.append(int(exact + Fraction(1, 2)))
            if ends[-1] == (ends[-2] if number else 0):
                what = f"phase {number + 1} is shorter than a sequence of {sequence_length} tokens"
                raise UserError(what, where="phases", hint="give it more tokens")
        return ends

    def check(self, groups: Mapping[str, int], sequence_length: int, sequences: int) -> None:
        """Raises UserError when the plan does not fit these groups (name to sequences), or a run of so many."""
        for phase in self.phases:
            group_shares(phase.mixture, groups)
        ends = self.borders(sequence_length)
        if not self.phases[-1].endless and ends[-1] < sequences:
            raise UserError(
                f"the phases end after {ends[-1]:,} sequences, and the run is of {sequences:,}",
                where="phases",
                hint="give the last phase more tokens, or leave its length open",
            )


def group_shares(mixture: Mapping[str, float], groups: Mapping[str, int]) -> dict[str, Fraction]:
    """The exact share of every group in a phase's sequences, 0 for those left out; they sum to 1.

    Args:
        mixture: weights by a group's name or by its part before the colon; empty means by number of sequences.
        groups: name to sequences, all above 0.

    Raises UserError for a name that no group has, and for a group that two names weigh.
    """
    if not mixture:
        total = sum(groups.values())
        return {group: Fraction(rows, total) for group, rows in groups.items()}
    weights = dict.fromkeys(groups, Fraction(0))
    named: dict[str, str] = {}
    for name, weight in mixture.items():
        members = [name] if name in groups else [group for group in groups if ":" in group and _stem(group) == name]
        if not members:
            raise UserError(f"unknown group '{name}'", where="mixture", hint=_choices(groups))
        total = sum(groups[group] for group in members)
        for group in members:
            if group in named:
                what = f"'{named[group]}' and '{name}' both weigh the group '{group}'"
                raise UserError(what, where="mixture", hint="name each group once")
            named[group] = name
            weights[group] = Fraction(repr(float(weight))) * Fraction(groups[group], total)
    whole = sum(weights.values())
    return {group: weight / whole for group, weight in weights.items()}


def _stem(group: str) -> str:
    return group.partition(":")[0]


def _choices(groups: Iterable[str]) -> str:
    names = sorted(groups)
    if names == [""]:
        return "these shards are not grouped: pack them with --group-by"
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"the groups are {shown}" + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")
