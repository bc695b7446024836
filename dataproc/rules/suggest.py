"""What to say when a name is unknown: the nearest one, or the first few that there are."""

import difflib
from collections.abc import Sequence

MOST_LISTED = 8


def suggest(name: str, known: Sequence[str]) -> str:
    """The mend of an error about an unknown name."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(known[:MOST_LISTED]) + (", ..." if len(known) > MOST_LISTED else "")
    return f"did you mean '{close[0]}'?" if close else f"known are {listed}"
