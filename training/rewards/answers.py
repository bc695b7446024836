r"""Rewards for an answer that can be compared: a number in a box, exact text, a pattern, balanced brackets.

All of these look at untrusted text, and take time in proportion to it: boxes and brackets are counted in one pass,
numbers are read from at most `_DIGITS` characters, and patterns run in RE2, which does not backtrack, so that no text
and no pattern can stall them. 1 is right, 0 is not.

    number     the last \boxed{…} of the completion holds the answer: as numbers ("1,200", "3/4", "-0.5", "5e2"), else
               as texts without spaces
    exact      the completion is the answer, but for white space at both ends
    regex:P    the pattern P occurs in the completion; {answer} in it stands for the answer, letter by letter
    brackets   prompt and completion together have each bracket closed by its like, and the completion has one
"""

import re
from fractions import Fraction

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError

_BOX = "\\boxed{"
_DIGITS = 200
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?(?:/\d+)?")
_PAIRS = {")": "(", "]": "[", "}": "{"}
ANSWER = "{answer}"


def boxed(text: str) -> str | None:
    r"""What the last \boxed{…} of a text holds, nested braces included; None where none is whole."""
    start = text.rfind(_BOX)
    if start < 0:
        return None
    depth = 1
    for place in range(start + len(_BOX), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start + len(_BOX) : place]
    return None


def number(text: str) -> Fraction | None:
    """The number that a text is; None where it is none, or has more than 200 characters."""
    bare = "".join(text.split()).strip("$").replace(",", "")
    if len(bare) > _DIGITS or not _NUMBER.fullmatch(bare):
        return None
    above, _, below = bare.partition("/")
    if not below:
        return Fraction(above)
    return Fraction(above) / int(below) if int(below) else None


def same(text: str, answer: str) -> bool:
    """Whether two answers are the same number, or, where one is none, the same text but for spaces."""
    ours, wanted = number(text), number(answer)
    if ours is None or wanted is None:
        return "".join(text.split()) == "".join(answer.split())
    return ours == wanted


def number_reward(completion: str, answer: str) -> float:
    """1 where the last box of the completion holds the answer."""
    found = boxed(completion)
    return float(found is not None and same(found, answer))


def exact_reward(completion: str, answer: str) -> float:
    """1 where the completion is the answer."""
    return float(completion.strip() == answer.strip())


def brackets_reward(prompt: str, completion: str) -> float:
    """1 where the completion closes all that is open, and nothing else."""
    open_ones: list[str] = []
    for letter in prompt + completion:
        if letter in "([{":
            open_ones.append(letter)
        elif letter in _PAIRS and (not open_ones or open_ones.pop() != _PAIRS[letter]):
            return 0.0
    return float(not open_ones and any(letter in "([{)]}" for letter in completion))


def check_pattern(pattern: str) -> None:
    """Raises UserError for what is no regular expression of RE2."""
    matches(pattern, "", "0")


def matches(pattern: str, completion: str, answer: str | None) -> float:
    """1 where a regular expression of RE2 occurs in the completion. Raises UserError for what is none."""
    if ANSWER in pattern:
        pattern = pattern.replace(ANSWER, quoted(answer or ""))
    try:
        found = pc.match_substring_regex(pa.array([completion], pa.large_string()), pattern)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        what = str(error).splitlines()[0]
        raise UserError(f"no regular expression that RE2 takes ({what})", pattern, "see RE2's syntax") from error
    return float(found[0].as_py())


def quoted(text: str) -> str:
    """A pattern of RE2 that a text alone matches."""
    return "".join(letter if letter.isalnum() or ord(letter) > 127 else f"\\x{{{ord(letter):x}}}" for letter in text)
