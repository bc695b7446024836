"""The settings of GRPO and of a reward model's training, each declared once, as those of training are.

Flags, recipe keys, checks and what a resumed run is compared by follow from these fields (`training/settings.py` says
how). Does not import torch.

The report gives neither group size, clipping range, beta nor learning rate. The defaults are for the small models that
are trained here; DeepSeekMath has groups of 64, beta 0.04, rate 1e-6, one update a rollout, and DeepSeek-R1-Zero
groups of 16, 32 prompts a step, beta 0.001, rate 3e-6, temperature 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from corpusmill.dataproc.errors import UserError
from corpusmill.training.settings import Setting, check_settings

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class GrpoSettings:
    """Settings of one GRPO run. Raises UserError for values out of bounds."""

    run: Annotated[str, Setting("a finished run, imported model or checkpoint that is trained on", may_change=True)]
    prompts: Annotated[
        Sequence[str],
        Setting('JSON lines or Parquet files of prompts: {"prompt": …, "answer": …}', may_change=True),
    ]
    rewards: Annotated[
        Sequence[str],
        Setting(
            "[WEIGHT*]NAME[:ARGUMENT], summed: number, exact, brackets, regex:PATTERN, code, model:FOLDER or "
            "module:function"
        ),
    ]
    output: Annotated[str, Setting("folder of the run", may_change=True)]
    held_back: Annotated[
        Sequence[str], Setting("further files of prompts, on which rewards are only measured", may_change=True)
    ] = ()
    tokenizer: Annotated[str | None, Setting("its folder; if left out, that of the run's shards", may_change=True)] = (
        None
    )
    steps: Annotated[int, Setting("optimiser steps, each with rollouts of its own"), Ge(1)] = 100
    prompts_per_step: Annotated[int, Setting("prompts in a step"), Ge(1)] = 16
    group: Annotated[int, Setting("completions for each prompt (G), among which rewards are compared"), Ge(2)] = 8
    max_tokens: Annotated[int, Setting("most tokens of a completion"), Ge(1)] = 64
    temperature: Annotated[float, Setting("of the draws, and of the probabilities that are trained"), Gt(0), Le(10)] = (
        1.0
    )
    learning_rate: Annotated[float, Setting("learning rate after the warm-up"), Gt(0)] = 1e-3
    final_learning_rate: Annotated[
        float | None,
        Setting("learning rate of the last step, to which it falls linearly; if left out, it stays"),
        Ge(0),
    ] = None
    warmup_steps: Annotated[int, Setting("steps of linear warm-up"), Ge(0)] = 5
    beta: Annotated[float, Setting("weight of the KL divergence from the model at the start; 0: none"), Ge(0)] = 0.04
    clip_below: Annotated[float, Setting("how far below 1 a ratio counts (epsilon)"), Gt(0), Le(1)] = 0.2
    clip_above: Annotated[float, Setting("how far above 1 a ratio counts"), Gt(0)] = 0.2
    ratio: Annotated[
        Literal["token", "output"],
        Setting("of what old and new probabilities are compared; output is as the report prints it"),
    ] = "token"
    scale_rewards: Annotated[bool, Setting("divide rewards by their group's standard deviation", recipe_only=True)] = (
        True
    )
    updates: Annotated[int, Setting("updates by the same rollouts"), Ge(1)] = 1
    mtp_weight: Annotated[
        float,
        Setting("weight of MTP's own loss on completions, which moves its modules alone", recipe_only=True),
        Ge(0),
    ] = 0.1
    balance_alpha: Annotated[float, Setting("factor of the sequence-wise balance loss", recipe_only=True), Ge(0)] = 0.0
    bias_speed: Annotated[float, Setting("step of the routers' biases after each step", recipe_only=True), Ge(0)] = 1e-3
    weight_decay: Annotated[float, Setting("AdamW's decay of matrices", recipe_only=True), Ge(0)] = 0.0
    clip: Annotated[float, Setting("largest global gradient norm", recipe_only=True), Gt(0)] = 1.0
    most_difference: Annotated[
        float,
        Setting(
            "largest mean difference, in nats, of sampled tokens' log-probabilities between sampling and training",
            recipe_only=True,
        ),
        Gt(0),
    ] = 1e-4
    """FP32 gives some 1e-6. Above it the run stops: it would train on other probabilities than it drew by."""
    micro_batch: Annotated[int, Setting("most sequences in one forward and backward pass", may_change=True), Ge(1)] = 64
    generation_batch: Annotated[int, Setting("completions that are written side by side", may_change=True), Ge(1)] = 256
    checkpoint_every: Annotated[int, Setting("steps between checkpoints", may_change=True), Ge(1)] = 20
    """The last step always writes one."""
    keep_checkpoints: Annotated[int, Setting("how many of the newest checkpoints to keep", may_change=True), Ge(1)] = 2
    evaluate_every: Annotated[int, Setting("steps between measurements on held_back"), Ge(1)] = 20
    """Before the first step and after the last one, too."""
    threads: Annotated[int, Setting("CPU threads; 0: all cores", may_change=True), Ge(0)] = 0
    device: Annotated[Device, Setting("where to compute; auto is CUDA if there is a GPU", may_change=True)] = "auto"
    seed: Annotated[int, Setting("of the order of prompts and of all draws"), Ge(0)] = 0

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.prompts or not self.rewards:
            raise UserError("GRPO needs prompts and rewards", hint="name at least one of each")


@dataclass(frozen=True, kw_only=True)
class RewardSettings:
    """Settings of one reward model's training. Raises UserError for values out of bounds."""

    run: Annotated[str, Setting("a finished run, imported model or checkpoint that it begins with", may_change=True)]
    pairs: Annotated[
        Sequence[str],
        Setting('JSON lines or Parquet files of pairs: {"prompt": …, "chosen": …, "rejected": …}', may_change=True),
    ]
    output: Annotated[str, Setting("folder of the reward model", may_change=True)]
    tokenizer: Annotated[str | None, Setting("its folder; if left out, that of the run's shards", may_change=True)] = (
        None
    )
    steps: Annotated[int, Setting("optimiser steps"), Ge(1)] = 100
    pairs_per_step: Annotated[int, Setting("pairs in a step"), Ge(1)] = 32
    held_back_share: Annotated[float, Setting("share of pairs that are only measured"), Ge(0), Lt(1)] = 0.1
    learning_rate: Annotated[float, Setting("learning rate after the warm-up"), Gt(0)] = 1e-3
    warmup_steps: Annotated[int, Setting("steps of linear warm-up"), Ge(0)] = 5
    bias_speed: Annotated[float, Setting("step of the routers' biases after each step", recipe_only=True), Ge(0)] = 1e-3
    weight_decay: Annotated[float, Setting("AdamW's decay of matrices", recipe_only=True), Ge(0)] = 0.1
    clip: Annotated[float, Setting("largest global gradient norm", recipe_only=True), Gt(0)] = 1.0
    micro_batch: Annotated[int, Setting("most pairs in one forward and backward pass", may_change=True), Ge(1)] = 32
    checkpoint_every: Annotated[int, Setting("steps between checkpoints", may_change=True), Ge(1)] = 50
    keep_checkpoints: Annotated[int, Setting("how many of the newest checkpoints to keep", may_change=True), Ge(1)] = 2
    threads: Annotated[int, Setting("CPU threads; 0: all cores", may_change=True), Ge(0)] = 0
    device: Annotated[Device, Setting("where to compute; auto is CUDA if there is a GPU", may_change=True)] = "auto"
    seed: Annotated[int, Setting("of the pairs' order, and of which are held back"), Ge(0)] = 0

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.pairs:
            raise UserError("a reward model needs pairs", hint="name at least one file")
