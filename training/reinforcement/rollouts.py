"""Rollouts: groups of completions that the model in training writes itself, their rewards, and the files they are in.

Every draw is keyed by (seed, "generate", step, prompt, sample) and by the token's place (`generation/sampling.py`), so
a completion does not depend on what is written beside it. Prompts come in an order shuffled anew each epoch, by keys of
(seed, "grpo/order", epoch, prompt): which prompts a step has follows from its number alone.

    <output>/rollouts/step-000001.parquet    a row for each completion of a step, in the columns of documents and more

Cost: generation, one batch of `generation_batch` completions at a time. A file a step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_key
from corpusmill.dataproc.storage import commit_file
from corpusmill.training.generation.generate import Text, Wanted, stream
from corpusmill.training.model.transformer import Transformer

FOLDER = "rollouts"


@dataclass(frozen=True)
class Prompt:
    """One task."""

    text: str
    ids: Sequence[int]
    answer: str | None = None
    """What rule rewards compare with."""


@dataclass
class Rollout:
    """One completion."""

    number: int
    """Of its prompt among all."""
    sample: int
    """In its group."""
    prompt: Prompt
    ids: list[int]
    """Tokens drawn, the stop token included."""
    log_probabilities: list[float]
    """Of these under the model that drew them, at temperature 1."""
    ended: str
    """"stop" or "length"."""
    text: str = ""
    rewards: dict[str, float] = field(default_factory=dict)
    reward: float = 0.0
    advantage: float = 0.0


def prompts_of_step(count: int, step: int, per_step: int, seed: int) -> list[int]:
    """Numbers of the prompts of a step (from 0), of `count`: none comes twice in an epoch, whose order the seed draws.

    What is left at an epoch's end and fills no step is left out of it. Raises UserError for fewer prompts than a step
    has.
    """
    if count < per_step:
        raise UserError(f"{count} prompts are fewer than the {per_step} of a step", hint="give more, or a smaller step")
    epoch, place = divmod(step, count // per_step)
    return [int(number) for number in _order(count, epoch, seed)[place * per_step : (place + 1) * per_step]]


_ORDERS: dict[tuple[int, int, int], np.ndarray] = {}


def _order(count: int, epoch: int, seed: int) -> np.ndarray:
    """All prompts in the order of an epoch; the last orders made are kept."""
    key = (count, epoch, seed)
    if key not in _ORDERS:
        while len(_ORDERS) > 1:
            _ORDERS.pop(next(iter(_ORDERS)))
        drawn = np.fromiter((random_key(seed, f"grpo/order/{epoch}", str(i)) for i in range(count)), np.uint64, count)
        _ORDERS[key] = np.argsort(drawn, kind="stable")
    return _ORDERS[key]


def roll_out(
    model: Transformer,
    prompts: Mapping[int, Prompt],
    wanted: Wanted,
    *,
    name: str,
    group: int,
    batch: int,
) -> list[Rollout]:
    """Completions of prompts by number, `group` of each, in order.

    Args:
        model: left in the mode that it was in.
        prompts: by their numbers; a number may not come twice.
        wanted: how tokens are drawn, and what ends a completion.
        name: of the occasion, such as the step, which draws are keyed by as well.
        group: completions of each.
        batch: how many are written side by side; decides speed and memory, not what is written.
    """
    texts = [
        (number, sample, Text(prompt.ids, f"{name}/{number}/{sample}"))
        for number, prompt in prompts.items()
        for sample in range(group)
    ]
    for start in range(0, len(texts), batch):
        for _ in stream(model, [text for _, _, text in texts[start : start + batch]], wanted):
            pass
    return [
        Rollout(number, sample, prompts[number], text.ids, text.log_probabilities, text.ended)
        for number, sample, text in texts
    ]


def table_of(rollouts: Sequence[Rollout], step: int) -> pa.Table:
    """A step's rollouts in the columns of documents, with all that is known of them behind."""
    rewards = {f"reward_{name}": [one.rewards[name] for one in rollouts] for name in rollouts[0].rewards}
    columns = {
        "id": [f"step-{step:06d}/{one.number}/{one.sample}" for one in rollouts],
        "text": pa.array([one.prompt.text + one.text for one in rollouts], pa.large_string()),
        "source": ["rollouts"] * len(rollouts),
        "kind": ["rollout"] * len(rollouts),
        "step": pa.array([step] * len(rollouts), pa.int64()),
        "prompt_number": pa.array([one.number for one in rollouts], pa.int64()),
        "sample": pa.array([one.sample for one in rollouts], pa.int64()),
        "prompt": [one.prompt.text for one in rollouts],
        "completion": [one.text for one in rollouts],
        "answer": pa.array([one.prompt.answer for one in rollouts], pa.string()),
        "reward": pa.array([one.reward for one in rollouts], pa.float64()),
        "advantage": pa.array([one.advantage for one in rollouts], pa.float64()),
        **{name: pa.array(values, pa.float64()) for name, values in rewards.items()},
        "tokens": pa.array([len(one.ids) for one in rollouts], pa.int64()),
        "log_probability": pa.array([sum(one.log_probabilities) for one in rollouts], pa.float64()),
        "ended": [one.ended for one in rollouts],
    }
    return pa.table(columns)


def write_rollouts(output: Path, rollouts: Sequence[Rollout], step: int) -> None:
    """Writes a step's file, whole or not at all; one of the same step is replaced."""
    with commit_file(str(output / FOLDER / f"step-{step:06d}.parquet")) as file:
        pq.write_table(table_of(rollouts, step), file, compression="zstd")
