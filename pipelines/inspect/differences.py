"""Two texts, word by word: what both have, what is only in the one, what only in the other.

The shortest list of words to take out and put in (E. Myers, "An O(ND) Difference Algorithm and Its Variations", 1986),
and not `difflib`, whose time is quadratic in the words that repeat (spaces, above all) and has no bound to give. A word
is a run of letters and digits, a single character of a script without spaces, white space, or a single other character.

Long texts: what they begin and end with alike costs one pass. The rest is compared by lines, then the lines that
differ by words. A stretch that takes more than `MOST_EDITS` edits is not worth reading word by word, and counts as
replaced whole. Cost: of two stretches of N pieces with D edits about N + D², at most (2 D + 1) N steps of Python, and
D² / 2 entries of dictionaries. Two texts of 100,000 words take 0.25 s where they share nothing, 0.1 s where one word
differs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["same", "gone", "new"]

MOST_EDITS = 400
MOST_PIECES = 20_000
"""A stretch of more pieces on either side is not compared any finer."""

_WORD = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
    r"|\s+|."
)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Difference:
    """A stretch of text.

    Attributes:
        kind: same, in both; gone, only in the first; new, only in the second.
        text: what it is.
    """

    kind: Kind
    text: str


def differences(before: str, after: str) -> list[Difference]:
    """The stretches in order: those that are not new make up `before`, those that are not gone `after`."""
    if before == after:
        return [Difference("same", before)] if before else []
    first, second = _WORD.findall(before), _WORD.findall(after)
    head = _common(first, second)
    tail = _common(first[head:][::-1], second[head:][::-1])
    middle_before = "".join(first[head : len(first) - tail])
    middle_after = "".join(second[head : len(second) - tail])
    stretches: list[tuple[Kind, str]] = [("same", "".join(first[:head]))]
    for kind, gone, new in _edits(_LINE.findall(middle_before), _LINE.findall(middle_after)):
        if kind == "same":
            stretches.append(("same", "".join(gone)))
            continue
        for fine, words_gone, words_new in _edits(_WORD.findall("".join(gone)), _WORD.findall("".join(new))):
            if fine == "same":
                stretches.append(("same", "".join(words_gone)))
            else:
                stretches += [("gone", "".join(words_gone)), ("new", "".join(words_new))]
    stretches.append(("same", "".join(first[len(first) - tail :])))
    return _joined(stretches)


def around(stretches: Sequence[Difference], characters: int) -> list[Difference]:
    """The same, where only so many characters are left of what did not change, on either side of each change; what is
    left out is an ellipsis."""
    shown = []
    for number, stretch in enumerate(stretches):
        text = stretch.text
        if stretch.kind == "same" and len(text) > 2 * characters + 1:
            begin = text[:characters] if number else ""
            end = text[len(text) - characters :] if number + 1 < len(stretches) else ""
            text = f"{begin}…{end}"
        elif stretch.kind != "same" and len(text) > 4 * characters + 1:
            text = f"{text[: 2 * characters]}…{text[len(text) - 2 * characters :]}"
        shown.append(Difference(stretch.kind, text))
    return shown


def first_changes(stretches: Sequence[Difference], most: int) -> tuple[list[Difference], int]:
    """The stretches as far as so many changes, and what is the same after the last of these; and how many more changes
    there are. What went and what came in its place are one change."""
    changes, end = 0, len(stretches)
    for number, stretch in enumerate(stretches):
        if stretch.kind != "same" and (number == 0 or stretches[number - 1].kind == "same"):
            changes += 1
            end = number if changes == most + 1 else end
    return list(stretches[:end]), max(changes - most, 0)


def marked(stretches: Sequence[Difference]) -> str:
    """As plain text, as `git diff --word-diff` does it: [-gone-]{+new+}."""
    signs = {"same": ("", ""), "gone": ("[-", "-]"), "new": ("{+", "+}")}
    return "".join(stretch.text.join(signs[stretch.kind]) for stretch in stretches)


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many pieces they begin with alike."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def _edits(first: Sequence[str], second: Sequence[str]) -> list[tuple[Kind, Sequence[str], Sequence[str]]]:
    """(same, pieces, pieces) and (gone, pieces of the first, pieces of the second) in order."""
    path = _path(first, second)
    runs: list[tuple[Kind, Sequence[str], Sequence[str]]] = []
    x = y = 0
    for same_x, same_y, length in [*(path or ()), (len(first), len(second), 0)]:
        if same_x > x or same_y > y:
            runs.append(("gone", first[x:same_x], second[y:same_y]))
        if length:
            runs.append(("same", first[same_x : same_x + length], second[same_y : same_y + length]))
        x, y = same_x + length, same_y + length
    return runs


def _path(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int, int]] | None:
    """Where the shortest way runs along equal pieces: (place in the first, in the second, pieces). None where it takes
    too many edits, or there is too much to compare."""
    if max(len(first), len(second)) > MOST_PIECES:
        return None
    furthest = {1: 0}
    history: list[dict[int, int]] = []
    for edits in range(min(len(first) + len(second), MOST_EDITS) + 1):
        reached: dict[int, int] = {}
        for diagonal in range(-edits, edits + 1, 2):
            down = diagonal == -edits or (
                diagonal != edits and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
            )
            x = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            y = x - diagonal
            while x < len(first) and y < len(second) and first[x] == second[y]:
                x, y = x + 1, y + 1
            reached[diagonal] = x
            if x >= len(first) and y >= len(second):
                return _walked_back(history, x, y, edits)
        history.append(furthest := reached)
    return None


def _walked_back(history: Sequence[dict[int, int]], x: int, y: int, edits: int) -> list[tuple[int, int, int]]:
    """The equal stretches of the way that ends at (x, y), from what was reached with one edit fewer each time."""
    stretches = []
    for made in range(edits, 0, -1):
        furthest, diagonal = history[made - 1], x - y
        down = diagonal == -made or (
            diagonal != made and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
        )
        before_x = furthest[diagonal + 1 if down else diagonal - 1]
        before_y = before_x - (diagonal + 1 if down else diagonal - 1)
        start_x = before_x if down else before_x + 1
        if x > start_x:
            stretches.append((start_x, start_x - diagonal, x - start_x))
        x, y = before_x, before_y
    if x:
        stretches.append((0, 0, x))
    return stretches[::-1]


def _joined(stretches: Sequence[tuple[Kind, str]]) -> list[Difference]:
    """Without empty ones; white space between two changes belongs to both, so that a changed phrase reads as one."""
    merged: list[Difference] = []
    gone = new = space = ""
    for kind, text in [*((kind, text) for kind, text in stretches if text), ("same", "")]:
        if kind != "same":
            gone += space + text if kind == "gone" else space
            new += space + text if kind == "new" else space
            space = ""
        elif text.isspace() and (gone or new):
            space += text
        else:
            merged += [Difference("gone", gone)] if gone else []
            merged += [Difference("new", new)] if new else []
            if space + text:
                merged.append(Difference("same", space + text))
            gone = new = space = ""
    return merged
