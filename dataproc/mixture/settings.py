"""What is asked of a mixture, and whether it makes sense: settings by themselves, and names against the data.

What the settings do is said in `dataproc.mixture.planning`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from corpusmill.dataproc.errors import UserError

LEVELS = ("source", "language", "kind")
OTHERS = "*"
UNKNOWN = "und"
"""What documents without a language are called (ISO 639: undetermined)."""

ShortName = Literal["refuse", "scale", "redistribute"]
Key = tuple[str, ...]
NAMES_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What is asked for.

    Attributes:
        by: levels of the tree, from the top: some of source, language, kind.
        weights: by level, by name; `*` is for all others together.
        temperature: of natural sizes where there are no weights; above 0.
        total: bytes or tokens in all; None for all that the groups with any weight hold.
        repeats: how often a document may be in the result at most.
        group_repeats: the same for groups by name, "web/zh".
        caps: the most of a group or node by name, "web" or "web/zh".
        short: what is done when a limit lies below what the weights ask for.
    """

    by: tuple[str, ...] = ("source",)
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    temperature: float = 1.0
    total: int | None = None
    repeats: float = 4.0
    group_repeats: Mapping[str, float] = field(default_factory=dict)
    caps: Mapping[str, int] = field(default_factory=dict)
    short: ShortName = "refuse"

    def __post_init__(self) -> None:
        """Raises UserError for what is wrong whatever the data are."""
        if not self.by or len(set(self.by)) != len(self.by) or set(self.by) - set(LEVELS):
            raise UserError(f"groups by {', '.join(self.by) or 'nothing'}", "by", f"name some of {', '.join(LEVELS)}")
        for level, weights in self.weights.items():
            where = f"{level}_weights"
            if weights and level not in self.by:
                raise UserError(f"groups are not formed by {level}", where, f"add {level} to by")
            for name, weight in weights.items():
                if not isfinite(weight) or weight < 0:
                    raise UserError(f"the weight of '{name}' is {weight}", where, "use a number of at least 0")
            if weights and not any(weights.values()):
                raise UserError("all weights are 0", where, "give at least one a positive weight")
        if not (isfinite(self.temperature) and self.temperature > 0):
            raise UserError(f"{self.temperature} is not a valid temperature", "temperature", "use a number above 0")
        for name, value in {"": self.repeats, **self.group_repeats}.items():
            if not (isfinite(value) and value > 0):
                raise UserError(f"{value} copies of {name or 'a document'} at most", "repeats", "give more than 0")


def check_names(keys: Sequence[Key], asked: Mixture) -> None:
    """Raises UserError for names in weights, caps and limits that no group has, and for groups that lack a weight."""
    for depth, level in enumerate(asked.by):
        weights = asked.weights.get(level) or {}
        there = sorted({key[depth] for key in keys})
        shown = _listed(there)
        for name in weights:
            if name not in there and name != OTHERS:
                raise UserError(f"no document has the {level} '{name}'", f"{level}_weights", f"known are {shown}")
        if weights and OTHERS not in weights:
            for name in there:
                if name not in weights:
                    hint = "give it a weight (0 leaves it out), or all others together one as *"
                    raise UserError(f"the {level} '{name}' has no weight", f"{level}_weights", hint)
    names = {"/".join(key[:depth]) for key in keys for depth in range(1, len(key) + 1)}
    leaves = {"/".join(key) for key in keys}
    for where, given, known in (("caps", asked.caps, names), ("group_repeats", asked.group_repeats, leaves)):
        for name in given:
            if name not in known:
                raise UserError(f"unknown group '{name}'", where, f"known are {_listed(sorted(known))}")


def _listed(names: Sequence[str]) -> str:
    """The first names; documents without one are the group ''."""
    shown = ", ".join(name or "''" for name in names[:NAMES_SHOWN])
    return shown + (", …" if len(names) > NAMES_SHOWN else "")
