"""Close relatives between which a model divides its probability, so that none of them reaches a threshold.

Written Chinese shares its score with Wu and Cantonese, Bosnian with Croatian and Serbian. That a text is in one of them
is as sure as all of them together. So their shares are added up: the sum is the score, and decides which family a text
is of. Within the family the likeliest one names the text; but a family with a `whole` (a macrolanguage of ISO 639-3
whose code is that of its standard) is named by that, unless another member has nine tenths of the sum by itself.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Family(NamedTuple):
    """`members`: codes; `whole`: that of them which stands for all, or "" where none does."""

    members: tuple[str, ...]
    whole: str = ""


FAMILIES = (
    Family(("zh", "wuu", "yue", "lzh", "gan", "hak", "nan", "hsn", "cjy", "cdo", "mnp"), "zh"),
    Family(("no", "nn"), "no"),
    Family(("sh", "hr", "bs", "sr", "cnr"), "sh"),
    Family(("id", "ms")),
)
CLEAR = 0.9
"""The share of its family at which a member names a text, though there is a whole."""


def family_of(code: str) -> Family:
    """The family of a language, by its code with a script or without; one of its own where it has no relatives."""
    plain = code.split("_", 1)[0]
    return next((family for family in FAMILIES if plain in family.members), Family((plain,)))


def named(shares: Iterable[tuple[str, float]], members: Family) -> str:
    """Which member names a text, of (code, share) of the members that a model knows."""
    known = dict(shares)
    best = max(known, key=lambda code: known[code])
    if members.whole in known and known[best] < CLEAR * sum(known.values()):
        return members.whole
    return best


def with_members(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes, and for each that stands for a whole family all of its members, each once, in order."""
    all_codes = [
        member
        for code in codes
        for member in (code, *(family_of(code).members if family_of(code).whole == code else ()))
    ]
    return tuple(dict.fromkeys(all_codes))
