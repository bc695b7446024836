"""What the files of a repository ask for, and which of its files that is: one module a family of languages.

Each module has `scan(text)`, one pass of compiled expressions over a file, which gives the few strings that matter,
and a class whose instance knows all scans of the family and gives the files that one file needs. A scan looks at the
text alone and a resolver at scans and paths alone, so files are read once, in any order. What is not in the repository
is no dependency, and what cannot be told without running a build (generated headers, aliases of bundlers, build tags)
is not guessed.

An expression looks at each character a bounded number of times, whatever a file holds: no scan is worse than linear
but by a constant (a list in brackets is given up after so many items, a line after LONGEST_LINE).
"""

from collections.abc import Callable

LONGEST_LINE = 1000
"""Characters before an import on its line: what comes later on a line is not looked at."""

Text = Callable[[], str]
"""Gives a file's text again, for what can be decided only when all files are known."""


def line_start(text: str, at: int) -> int:
    """Where the line of a place begins, but at most LONGEST_LINE before it: an endless line costs no more."""
    begin = text.rfind("\n", max(0, at - LONGEST_LINE), at) + 1
    return begin or max(0, at - LONGEST_LINE)
