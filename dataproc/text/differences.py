"""What differs between two texts, word by word: for people who ask whether two documents are copies of each other.

Words are compared with the space behind them; a Han character or a kana is a word. What both begin and end with is set
aside first, and of what is left the first `most_words` are aligned by Python's difflib, which takes words that make up
more than a hundredth of a long text for no anchor: so texts that repeat one word cost no more than others.

Cost: milliseconds for texts of a page, up to a second for two of 5,000 differing words. Memory: some 100 bytes a word.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MOST_WORDS = 5000

Kind = Literal["same", "removed", "added", "left out"]

_WORDS = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]\s*|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+\s*|\s+"
)


@dataclass(frozen=True)
class Change:
    """A stretch of text: in both, in the first alone (removed) or in the second alone (added).

    What was not compared is "left out": of each text what follows, the first's and then the second's.
    """

    kind: Kind
    text: str


def word_changes(before: str, after: str, most_words: int = MOST_WORDS) -> list[Change]:
    """The stretches that lead from one text to the other. Those of "same" and "removed" join to the first text, those
    of "same" and "added" to the second, as far as nothing was left out."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    first, second = old[head : len(old) - tail], new[head : len(new) - tail]
    changes = [Change("same", "".join(old[:head]))]
    matcher = difflib.SequenceMatcher(None, first[:most_words], second[:most_words])
    for _, start, stop, begin, end in matcher.get_opcodes():
        if first[start:stop] == second[begin:end]:
            changes.append(Change("same", "".join(first[start:stop])))
        else:
            changes += [Change("removed", "".join(first[start:stop])), Change("added", "".join(second[begin:end]))]
    changes += [Change("left out", "".join(words[most_words:])) for words in (first, second)]
    changes.append(Change("same", "".join(old[len(old) - tail :])))
    return [change for change in changes if change.text]


def shorten(changes: Sequence[Change], around: int) -> list[Change]:
    """The changes with at most `around` characters of what is the same before and after each, "…" where more was."""
    short: list[Change] = []
    for number, change in enumerate(changes):
        before = around if number else 0
        behind = around if number + 1 < len(changes) else 0
        if change.kind != "same" or len(change.text) <= before + behind:
            short.append(change)
            continue
        end = change.text[len(change.text) - behind :]
        short.append(Change("same", f"{change.text[:before]} … {end}"))
    return short


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words two lists begin with alike."""
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))
