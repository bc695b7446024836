"""Which blocks of a page are content, by the text that people or a teacher say is its content.

A block of `SHINGLE` words or more is content if at least half of its shingles stand in that text. A shorter one, whose
words may stand anywhere, has to follow there upon the content before it, or precede the content after it. Words are
runs of letters and digits, in lower case, so that punctuation and white space do not matter.
"""

import re
from collections.abc import Sequence

import numpy as np

SHINGLE = 4
SHARE = 0.5
_WORD = re.compile(r"\w+")
_EDGE_WORDS = 2


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def label_blocks(blocks: Sequence[str], truth: str) -> np.ndarray:
    """bool (blocks,): whether each is content."""
    wanted = words_of(truth)
    shingles = {tuple(wanted[place : place + SHINGLE]) for place in range(len(wanted) - SHINGLE + 1)}
    line = f" {' '.join(wanted)} "
    split = [words_of(block) for block in blocks]
    labels = np.zeros(len(blocks), bool)
    for place, words in enumerate(split):
        if len(words) >= SHINGLE:
            own = [tuple(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)]
            labels[place] = sum(shingle in shingles for shingle in own) >= SHARE * len(own)
    _label_short(split, labels, line, forward=True)
    _label_short(split, labels, line, forward=False)
    return labels


def _label_short(split: Sequence[list[str]], labels: np.ndarray, line: str, *, forward: bool) -> None:
    """Marks blocks of few words that stand, in the text, beside the last content."""
    edge: list[str] = []
    for place in range(len(split)) if forward else reversed(range(len(split))):
        words = split[place]
        if not words:
            labels[place] = bool(labels[place])
            continue
        if not labels[place] and len(words) < SHINGLE and (edge or not forward):
            joined = [*edge, *words] if forward else [*words, *edge]
            if edge:
                labels[place] = f" {' '.join(joined)} " in line
        if labels[place]:
            edge = words[-_EDGE_WORDS:] if forward else words[:_EDGE_WORDS]
