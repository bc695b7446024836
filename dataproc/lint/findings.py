"""What a check says: how bad it is, what was expected, what was seen, where, and what to do.

An error is what nobody asks for (ids of another tokenizer, documents without their end tokens); a warning is what may
be meant and rarely is; a note is good to know. Examples are places, and at most `MOST_PLACES` of them are kept.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
MOST_PLACES = 3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check found.

    Attributes:
        check: name of the check (docs/lint.md lists them).
        severity: error, warning or note.
        seen: what there is, with numbers.
        expected: what there should be.
        hint: what to do.
        where: places, as "shard-00000.arrow sequence 3".
    """

    check: str
    severity: Severity
    seen: str
    expected: str
    hint: str
    where: Sequence[str] = ()

    def to_values(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"where": list(self.where)}


@dataclass
class Tally:
    """How often something was met, and the first places."""

    count: int = 0
    where: list[str] = field(default_factory=list)

    def add(self, count: int, shard: str, rows: Sequence[int] = ()) -> None:
        """Counts more; `rows` are the numbers of their sequences in the shard."""
        self.count += count
        for row in rows[: MOST_PLACES - len(self.where)]:
            place = f"{shard} sequence {row}"
            if place not in self.where:
                self.where.append(place)


def percent(part: float, whole: float) -> str:
    """A share, with two digits that count."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.1f}%" if share >= 10 or not share else f"{share:.2g}%"
