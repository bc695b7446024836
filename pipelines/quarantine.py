"""How much of its input a run may put into quarantine and still be called a success.

Some records of any crawl are broken, and they are listed under `_quarantine/`; a scheduler that calls such a run failed
would have people look at every one, or stop looking. Much more than that is a sign that something is wrong with the
input or its settings, and the run then ends with exit code 3.

A file that cannot be read to its end is one line in the quarantine and may have held a million records, so it weighs
all its bytes: the share allowed of the records is the share allowed of the bytes. A limit that is a number of records
allows no such file, since nobody knows how many it held.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from corpusmill.dataproc.errors import UserError

DEFAULT = "1%"
FLAG = "--max-quarantine"
_SHARE = re.compile(r"([0-9]{0,9}(?:\.[0-9]{1,9})?)\s*(%?)")


@dataclass(frozen=True)
class QuarantineLimit:
    """The most records of a stage that may be quarantined: a number, or a share of those that came in."""

    text: str
    count: int | None = None
    share: Fraction = Fraction(0)

    def allows(self, manifest: Mapping[str, Any]) -> bool:
        """Whether what a stage quarantined is within the limit."""
        counts, unread = manifest["counts"], manifest["facts"].get("unread", {"bytes": 0, "of_bytes": 0})
        quarantined, came_in = counts.get("quarantined", 0), counts.get("documents_in", 0)
        if self.count is not None:
            return quarantined <= self.count and not unread["bytes"]
        return quarantined <= self.share * came_in and unread["bytes"] <= self.share * unread["of_bytes"]


def read_limit(value: str | int | float, where: str = FLAG) -> QuarantineLimit:
    """The limit that a text spells: `100` is a number of records; `0.5%` and `0.005` are shares of those of a stage.

    Raises UserError for anything else; `where` names the flag or key.
    """
    text = str(value).strip()
    number = _SHARE.fullmatch(text)
    if number and number[1]:
        if number[1].isdecimal() and not number[2]:
            return QuarantineLimit(text, count=int(number[1]))
        share = Fraction(number[1]) / (100 if number[2] else 1)
        if share <= 1:
            return QuarantineLimit(text, share=share)
    raise UserError(f"'{text}' is neither a count nor a share", where, "write 100, 0.5% or 0.005")
