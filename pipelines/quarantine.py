"""How much of its input a run may put into quarantine and still be called a success.

Some records of any crawl are broken, and they are listed under `_quarantine/`; a scheduler that calls such a run failed
would have people look at every one, or stop looking. Much more than that is a sign that something is wrong with the
input or its settings, and the run then ends with exit code 3.
"""

from dataclasses import dataclass
from fractions import Fraction

from corpusmill.dataproc.errors import UserError

DEFAULT = "1%"
FLAG = "--max-quarantine"


@dataclass(frozen=True)
class QuarantineLimit:
    """The most records of a stage that may be quarantined: a number, or a share of those that came in."""

    text: str
    count: int | None = None
    share: Fraction | None = None

    def allows(self, quarantined: int, came_in: int) -> bool:
        """Whether so many of so many records are within the limit."""
        if self.count is not None:
            return quarantined <= self.count
        return self.share is not None and quarantined <= self.share * came_in


def read_limit(value: str | int | float, where: str = FLAG) -> QuarantineLimit:
    """The limit that a text spells: `100` is a number of records; `0.5%` and `0.005` are shares of those of a stage.

    Raises UserError for anything else; `where` names the flag or key.
    """
    text = str(value).strip()
    try:
        if text.isdecimal():
            return QuarantineLimit(text, count=int(text))
        percent = text.endswith("%")
        share = Fraction(text.removesuffix("%").strip()) / (100 if percent else 1)
    except (ValueError, ZeroDivisionError):
        share = Fraction(-1)
    if "/" in text or not 0 <= share <= 1:
        raise UserError(f"'{text}' is neither a count nor a share", where, "write 100, 0.5% or 0.005")
    return QuarantineLimit(text, share=share)
