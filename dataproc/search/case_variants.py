"""Which characters a search without regard to case takes for one: those with the same simple lower case.

The lower case of a character is Python's `str.lower()` of it alone where that is one character, and else itself. So
"K" finds "k" and the Kelvin sign, "Σ" finds "σ" and not the "ς" at a word's end, and "ß" does not find "SS".

The index holds the text as it is, and a query goes through the variants that occur: one index serves both kinds of
search, and what is shown is the original. That costs a query more steps (about 20 times as many for an English word),
where a folded index would cost a second index.
"""

from functools import cache

LAST_CASED = 0x1FFFF
"""No character beyond has a case."""


def folded(text: str) -> str:
    """A text as such a search sees it; as long as the text, in characters."""
    return "".join(_lower(character) for character in text)


def _lower(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character


@cache
def _by_lower_case() -> dict[str, tuple[str, ...]]:
    """Characters by their lower case, of those that share one. Takes 50 ms, once."""
    groups: dict[str, list[str]] = {}
    for code in range(LAST_CASED):
        character = chr(code)
        lower = _lower(character)
        if lower != character:
            groups.setdefault(lower, [lower]).append(character)
    return {lower: tuple(sorted(group)) for lower, group in groups.items()}


def variants(character: str) -> tuple[bytes, ...]:
    """The UTF-8 of each character that is taken for this one."""
    lower = _lower(character)
    return tuple(variant.encode() for variant in _by_lower_case().get(lower, (character,)))
