"""Makes text of documents safe to show: what could control a terminal, or reverse the reading order, is spelled out.

A crawled page may hold escape sequences that set a window's title, recolour the screen or type commands, and marks
that make code read differently from what it does ("Trojan Source", CVE-2021-42574). Nothing is left out: each such
character stands there as its picture (␛) or as \\u202e. The marks that join letters (U+200C, U+200D) and the soft
hyphen are part of ordinary spelling and stay.
"""

import unicodedata
from functools import cache

PICTURES, DELETE = 0x2400, 0x7F
SPELLED = ("Cc", "Cf", "Cs", "Zl", "Zp")
ORDINARY = {0x00AD, 0x200C, 0x200D}


class _Spelling(dict[int, str]):
    """A table for `str.translate` that is filled as characters are met."""

    def __init__(self, kept: str) -> None:
        super().__init__({ord(character): character for character in kept})

    def __missing__(self, code: int) -> str:
        if code < 0x20:
            shown = chr(PICTURES + code)
        elif code == DELETE:
            shown = "␡"
        elif code not in ORDINARY and unicodedata.category(chr(code)) in SPELLED:
            shown = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
        else:
            shown = chr(code)
        self[code] = shown
        return shown


@cache
def _spelling(kept: str) -> _Spelling:
    return _Spelling(kept)


def visible(text: str) -> str:
    """The text on its own lines: line ends and tabs stay, all other controls are spelled out."""
    return text.translate(_spelling("\n\t"))


def one_line(text: str, most: int = 0) -> str:
    """The text on one line, its line ends and tabs spelled out, too; with `most`, cut to so many characters."""
    cut = text[: most - 1] + "…" if most and len(text) > most else text
    return cut.translate(_spelling(""))


def excerpt(text: str, most: int) -> str:
    """The beginning of a text, over several lines; says how much more there is."""
    if len(text) <= most:
        return visible(text)
    return f"{visible(text[:most])}… ({len(text) - most:,} more characters)"
