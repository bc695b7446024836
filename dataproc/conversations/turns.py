"""A conversation as the text of a document, and back: what every stage between ingest and pack sees.

    ␞1 system
    You add numbers.
    ␞2 user
    2 + 3 =
    ␞3 assistant
    5
    ␞4

Each turn begins with a mark: ␞ (U+241E, the picture of the record separator), its number and its kind on a line of
their own. A last mark with a number alone ends the conversation. So a conversation needs no column of its own, and no
stage needs to know of it: filters measure what was said, duplicates are found by it, personal data are masked in it,
and what `pack` reads is what they left. A message that contains ␞ itself is refused by the reader, so a mark is never a
message's own.

A stage that takes lines or stretches out of texts may take marks with them. Numbers have to rise by one, the first mark
has to begin the text and the last to end it, so what lost a mark is found, and quarantined, instead of being read as
another conversation.

Kinds are the roles of messages, but that a tool call is two turns of its own behind its assistant's: the function's
name, and its arguments.

Cost of `find_turns`: four comparisons a byte of text (about 400 MB/s), some array operations a turn, no Python object.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import text_buffers

MARK = "␞"
KINDS = ("system", "user", "assistant", "call", "arguments", "tool")
SYSTEM, USER, ASSISTANT, CALL, ARGUMENTS, TOOL = range(len(KINDS))
NONE = len(KINDS)
"""What stands before the first turn and after the last."""

_MARK = MARK.encode()
_DIGITS = 6
_WIDTH = 1 + _DIGITS + 1 + max(map(len, KINDS)) + 1
PROBLEMS = (
    "",
    "not a conversation: it does not begin with a turn's mark",
    "not a conversation: it does not end with a mark",
    "a mark of a turn is damaged or missing; a stage that takes lines or stretches out of texts may have removed it",
)


class Turn(NamedTuple):
    """One turn: its kind, a number of `KINDS`, and what was said."""

    kind: int
    text: str


class Turns(NamedTuple):
    """The turns of N documents, in order.

    Attributes:
        bounds: int64 (N + 1,); document d has turns bounds[d] to bounds[d + 1].
        kind: int64 (M,), a number of `KINDS`.
        begin, end: int64 (M,), where the turn's words lie in `data`.
        data: uint8, the bytes of the batch.
        problem: int64 (N,), a number of `PROBLEMS`; a document with a problem has no turns.
    """

    bounds: np.ndarray
    kind: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    data: np.ndarray
    problem: np.ndarray


def text_of(turns: Sequence[Turn]) -> str:
    """The document's text. Raises ValueError for a mark among the words."""
    if any(MARK in turn.text for turn in turns):
        raise ValueError(f"a message contains {MARK} (U+241E), which marks turns")
    marked = [f"{MARK}{number} {KINDS[turn.kind]}\n{turn.text}\n" for number, turn in enumerate(turns, 1)]
    return f"{''.join(marked)}{MARK}{len(turns) + 1}"


def turns_of(text: str) -> list[Turn]:
    """The turns of one document. Raises ValueError, with the reason, for a text that is not a conversation."""
    found = find_turns(pa.array([text], pa.large_string()))
    if found.problem[0]:
        raise ValueError(PROBLEMS[found.problem[0]])
    words = (found.data[begin:end].tobytes().decode() for begin, end in zip(found.begin, found.end, strict=True))
    return [Turn(int(kind), said) for kind, said in zip(found.kind, words, strict=True)]


def find_turns(texts: pa.Array) -> Turns:
    """The turns of a batch of documents (strings without nulls)."""
    offsets, data = text_buffers(texts)
    offsets = offsets.astype(np.int64)
    documents = len(offsets) - 1
    at = _marks(data[: offsets[-1]], offsets[0])
    document = np.searchsorted(offsets, at, side="right") - 1
    counts = np.bincount(document, minlength=documents)
    first = np.cumsum(counts) - counts
    numbers, digits, kind, width = _heads(data, at)
    problem = np.zeros(documents, np.int64)
    begins, ends = np.zeros(documents, bool), np.zeros(documents, bool)
    some = np.flatnonzero(counts > 1)
    closing = first[some] + counts[some] - 1
    begins[some] = at[first[some]] == offsets[some]
    ends[some] = at[closing] + len(_MARK) + digits[closing] == offsets[some + 1]
    problem[~ends] = 2
    problem[~begins] = 1
    last = np.zeros(len(at), bool)
    last[(first + counts - 1)[counts > 0]] = True
    good = (numbers == np.arange(len(at)) - first[document] + 1) & (last | (kind >= 0))
    # what a turn says ends before the line break in front of the next mark
    begin = at + len(_MARK) + width
    following = np.append(at[1:], offsets[-1])
    good &= last | (following > begin)
    spoken = good & ~last
    good[spoken] = data[following[spoken] - 1] == ord("\n")
    broken = np.bincount(document[~good], minlength=documents) > 0
    problem[broken & (problem == 0)] = 3
    taken = ~last & (problem[document] == 0)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(document[taken], minlength=documents))])
    return Turns(bounds, kind[taken], begin[taken], following[taken] - 1, data, problem)


def _marks(data: np.ndarray, start: int) -> np.ndarray:
    """Where marks begin, int64."""
    here = data[start:]
    if len(here) < len(_MARK):
        return np.empty(0, np.int64)
    first, second, third = _MARK
    return start + np.flatnonzero((here[:-2] == first) & (here[1:-1] == second) & (here[2:] == third))


def _heads(data: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(number, its digits, kind, bytes after the mark up to the words) of each; kind is -1 for what heads no turn."""
    padded = np.concatenate([data, np.zeros(_WIDTH + len(_MARK), np.uint8)]) if len(at) else data
    head = padded[at[:, None] + len(_MARK) + np.arange(_WIDTH)] if len(at) else np.zeros((0, _WIDTH), np.uint8)
    number, digits = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    for place in range(_DIGITS):
        is_digit = (head[:, place] >= ord("0")) & (head[:, place] <= ord("9")) & (digits == place)
        number = np.where(is_digit, 10 * number + head[:, place] - ord("0"), number)
        digits += is_digit
    rows = np.arange(len(at))
    spaced = (digits > 0) & (head[rows, digits] == ord(" "))
    kind, width = np.full(len(at), -1), np.zeros(len(at), np.int64)
    for code, name in enumerate(KINDS):
        wanted = np.frombuffer(f"{name}\n".encode(), np.uint8)
        columns = np.minimum(digits[:, None] + 1 + np.arange(len(wanted)), _WIDTH - 1)
        same = spaced & (head[rows[:, None], columns] == wanted).all(1)
        kind[same], width[same] = code, digits[same] + 1 + len(wanted)
    return number, digits, kind, width
