"""What a reward is called in a recipe: [WEIGHT*]NAME[:ARGUMENT], and what is made of it.

    number  exact  brackets  regex:PATTERN      rules over text (`answers.py`)
    code                                        the answer is tests, which the program has to pass (`programs.py`)
    model:FOLDER                                a reward model's score
    module:function                             a function of the user's own

A function of the user's own takes prompts, completions and answers (lists of N texts; an answer may be None) and gives
N numbers. Models and such functions are made by whoever knows tokenizers and the user's modules; rules are made here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.training.rewards.answers import (
    ANSWER,
    brackets_reward,
    check_pattern,
    exact_reward,
    matches,
    number_reward,
)
from corpusmill.training.rewards.programs import Programs

Reward = Callable[[Sequence[str], Sequence[str], Sequence[str | None]], Sequence[float]]
"""From prompts, completions and answers to rewards."""

RULES = ("number", "exact", "brackets", "regex", "code")
MODEL = "model"
_WITH_ARGUMENT = ("regex", MODEL)
_NEED_ANSWERS = ("number", "exact", "code")


@dataclass(frozen=True)
class NamedReward:
    """A reward as it is written down, taken apart."""

    weight: float
    name: str
    """One of `RULES`, `MODEL`, or a module."""
    argument: str
    """A pattern, a folder, a function's name; "" for the others."""

    @property
    def is_function(self) -> bool:
        """Whether it is a function of the user's own."""
        return self.name not in (*RULES, MODEL)

    @property
    def label(self) -> str:
        """What its column is called."""
        return self.argument.rpartition(".")[2] if self.is_function else self.name


def read_reward(written: str) -> NamedReward:
    """Takes a reward's name apart. Raises UserError for what names none."""
    before, star, after = written.partition("*")
    weight, rest = 1.0, written
    if star and _number(before) is not None:
        weight, rest = float(before), after
    name, colon, argument = rest.strip().partition(":")
    known = name in (*RULES, MODEL)
    if not isfinite(weight):
        raise UserError(f"the weight {before} is no number", written)
    if not known and not (colon and argument.isidentifier()):
        raise UserError(f"unknown reward '{name}'", written, suggest(name, [*RULES, MODEL, "module:function"]))
    if known and bool(argument) != (name in _WITH_ARGUMENT):
        hint = f"write {name}:…" if name in _WITH_ARGUMENT else f"write {name} alone"
        raise UserError("an argument is missing" if not argument else "it takes no argument", written, hint)
    if name == "regex":
        check_pattern(argument)
    return NamedReward(weight, name, argument)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def labels(rewards: Sequence[NamedReward]) -> list[str]:
    """A column's name for each reward, none twice."""
    taken: list[str] = []
    for reward in rewards:
        more = 2
        label = reward.label
        while label in taken:
            label, more = f"{reward.label}_{more}", more + 1
        taken.append(label)
    return taken


def needs_answers(reward: NamedReward) -> bool:
    """Whether a rule compares with the answer."""
    return reward.name in _NEED_ANSWERS or (reward.name == "regex" and ANSWER in reward.argument)


def rule(reward: NamedReward, workers: int = 2) -> Reward:
    """The function of a rule. Raises UserError for `code` where no program can be confined."""
    if reward.name == "code":
        programs = Programs(workers=workers)
        return lambda prompts, completions, answers: programs.rewards(completions, [answer or "" for answer in answers])

    def one(prompt: str, completion: str, answer: str | None) -> float:
        match reward.name:
            case "number":
                return number_reward(completion, answer or "")
            case "exact":
                return exact_reward(completion, answer or "")
            case "brackets":
                return brackets_reward(prompt, completion)
            case _:
                return matches(reward.argument, completion, answer)

    return lambda prompts, completions, answers: [
        one(*each) for each in zip(prompts, completions, answers, strict=True)
    ]


def checked(reward: NamedReward, function: Reward) -> Reward:
    """A reward that raises UserError where it does not give a finite number for each completion. Without its weight."""

    def call(prompts: Sequence[str], completions: Sequence[str], answers: Sequence[str | None]) -> Sequence[float]:
        values = [float(value) for value in function(prompts, completions, answers)]
        named = f"{reward.name}:{reward.argument}".rstrip(":")
        if len(values) != len(completions):
            what = f"this reward gave {len(values)} values for {len(completions)} completions"
            raise UserError(what, named, "return one number for each, in order")
        if not all(map(isfinite, values)):
            raise UserError("this reward is not a finite number for each completion", named, "return finite numbers")
        return values

    return call
