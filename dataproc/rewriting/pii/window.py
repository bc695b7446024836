"""The surroundings of a candidate: some bytes of its own text before and behind it, and no other text's.

What stands before it is the text as it is rewritten, so that a second rewriting sees what the first one saw. The
checks of `pii_emails` and its like see nothing else than a window, so what one candidate costs is bounded, whatever
the text is.
"""

from dataclasses import dataclass

EMAIL, ADDRESS, PHONE, TOKEN, BLOCK, SECRET = range(6)
"""What a candidate may be (`pii_scan`)."""

BEFORE, BEHIND = 96, 384
"""Bytes. The longest name of a mailbox has 64, a domain 253."""


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes around a candidate.

    Attributes:
        data: bytes of the text; may begin and end inside a character.
        at: where the candidate is in them.
    """

    data: bytes
    at: int

    def before(self, size: int) -> bytes:
        """Up to `size` bytes before the candidate, on its line."""
        return self.data[max(self.at - size, 0) : self.at].rpartition(b"\n")[2]


Span = tuple[int, int]
"""First byte, and byte after the last, in a window."""
