"""Text of documents for pages: bounded, with control characters spelled out, and cut where something is marked."""

from dataclasses import dataclass

from corpusmill.pipelines.visible import visible

MOST_CHARACTERS = 4_000
"""Of a document, before the rest is only counted: long ones stay quick."""

BEFORE = 200
"""Characters before the first mark, where a text is not shown from its beginning."""


@dataclass(frozen=True)
class Shown:
    """A text in pieces: (what it says, whether it is marked); `before` and `after` characters are left out."""

    pieces: list[tuple[str, bool]]
    before: int = 0
    after: int = 0


def shown_text(text: str, marked: str = "", most: int = MOST_CHARACTERS) -> Shown:
    """The beginning of a text; where something is to be marked, from a little before its first place."""
    first = text.find(marked) if marked else 0
    start = max(first - BEFORE, 0) if first > most // 2 else 0
    window = text[start : start + most]
    after = len(text) - start - len(window)
    if not marked:
        return Shown([(visible(window), False)], start, after)
    parts = window.split(marked)
    pieces: list[tuple[str, bool]] = [(visible(parts[0]), False)]
    for part in parts[1:]:
        pieces += [(visible(marked), True), (visible(part), False)]
    return Shown([piece for piece in pieces if piece[0]], start, after)
