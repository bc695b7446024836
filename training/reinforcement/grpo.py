"""GRPO, whole: rollouts, rewards, advantages, updates; a step at a time, resumable bit for bit.

    step: prompts → G completions each, by the decoder          `rollouts.py`
          → rewards, by whoever is asked → advantages           `loss.py`, eq 28
          → log-probabilities under the reference, once
          → `updates` times: the whole batch, in micro-batches  `sequences.py`, `loss.py`, eq 26 and 27
          → router biases; rollouts to their file; metrics; checkpoint

**One forward.** Completions are written by the model that is trained, with its own norms, routers and experts; only
attention multiplies in another order (from latents, `generation/decoder.py`). Where others sample in one engine and
train in another, 94 % of the tokens of a mixture of experts have another route in each. Here the log-probabilities of
the sampled tokens are compared in every step, and a run whose mean difference is above `most_difference` stops with an
error. The ratio is taken against the training pass itself, so that of the first update is exactly 1.

**What stays alive.** Routers count what they route, and their biases move after each step as in pre-training. MTP's
modules learn from the completions without pulling at the policy (`sequences.py`).

Files as of a training run: `metrics.jsonl`, `checkpoints/`, weights, `summary.json`; and `rollouts/`.

Memory: 16 bytes a parameter, 4 for the reference where beta is above 0; the prompts; a step's completions; a
micro-batch's activations.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commit_bytes
from corpusmill.training.checkpoint.checkpoints import json_bytes
from corpusmill.training.generation.generate import Wanted
from corpusmill.training.generation.sampling import GREEDY, Sampling
from corpusmill.training.generation.weights import open_trained
from corpusmill.training.reinforcement.learner import Learner
from corpusmill.training.reinforcement.loss import grpo_terms, normalised
from corpusmill.training.reinforcement.rollouts import Prompt, Rollout, prompts_of_step, roll_out, write_rollouts
from corpusmill.training.reinforcement.sequences import Sequences, join, log_probabilities, pass_over
from corpusmill.training.reinforcement.settings import GrpoSettings
from corpusmill.training.run import reproducible
from corpusmill.training.settings import changeable_settings
from corpusmill.training.watching.metrics import METRICS_FILE, MetricsLog, last_lines

Rewarding = Callable[[Sequence[str], Sequence[str], Sequence[str | None]], Mapping[str, Sequence[float]]]
"""From prompts, completions and answers, N each, to rewards by name, N each; a completion's reward is their weighted
sum."""

_NOT_COMPARED = changeable_settings(GrpoSettings)


@dataclass(frozen=True)
class Task:
    """What a run is asked, in ids and in text."""

    prompts: Sequence[Prompt]
    held_back: Sequence[Prompt]
    decode: Callable[[Sequence[int]], str]
    """The text of a completion's tokens, without what ended it."""
    reward: Rewarding
    stop: frozenset[int]
    allowed: int
    """The tokenizer's ids; the model may have more rows."""
    fingerprint: Mapping[str, str]
    """Of prompts and rewards: a run resumes with the same ones only."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Of rewards by name, where they are not 1; one of weight 0 is only measured."""


def train_grpo(
    settings: GrpoSettings,
    task: Task,
    state_folder: str | Path,
    device: str = "cpu",
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Trains to the end, from the last checkpoint where there is one; what `summary.json` holds.

    Args:
        settings: of the run.
        task: what it is asked.
        state_folder: where `timing.jsonl` goes.
        device: where it computes, by torch's name.
        on_step: called after each step with its metrics and times.

    Raises:
        UserError: for too few prompts, prompts that the model has no rows for, rewards that are not finite, and for
            sampling and training that do not agree.
    """
    with reproducible(settings.threads or torch.get_num_threads(), settings.seed):
        loop = _Loop(settings, task, Path(state_folder), torch.device(device))
        try:
            while loop.learner.steps_done < settings.steps:
                line = loop.advance()
                if on_step is not None:
                    on_step(line)
        finally:
            loop.close()
        return loop.finish()


class _Loop:
    """A run and what goes on around its steps."""

    def __init__(self, settings: GrpoSettings, task: Task, state_folder: Path, device: torch.device) -> None:
        self.settings, self.task, self.device = settings, task, device
        self.output = Path(settings.output)
        identity = {name: value for name, value in asdict(settings).items() if name not in _NOT_COMPARED}
        identity = {name: list(value) if isinstance(value, tuple) else value for name, value in identity.items()}
        self.learner = Learner(
            settings.run,
            self.output,
            identity | {"task": dict(task.fingerprint)},
            weight_decay=settings.weight_decay,
            keep=settings.keep_checkpoints,
            device=device,
        )
        prompts_of_step(len(task.prompts), 0, settings.prompts_per_step, settings.seed)  # raises for too few
        self.reference = open_trained(settings.run, device=device).model if settings.beta else None
        self.log = MetricsLog(self.output, state_folder, self.learner.steps_done)
        if not last_lines(self.output / METRICS_FILE, 1):
            self.log.write({"step": 0, **self._measure()}, {"step": 0})

    def advance(self) -> dict[str, Any]:
        """One step, and the measurement, the line and the checkpoint that fall due after it."""
        settings, learner = self.settings, self.learner
        begun = time.perf_counter()
        step = learner.steps_done + 1
        rollouts = self._rollouts(step)
        written = time.perf_counter()
        metrics = {"step": step, **_described(rollouts), **self._learn(rollouts, step)}
        metrics["expert_max_violation"] = learner.end_step(settings.bias_speed)
        write_rollouts(self.output, rollouts, step)
        last = step == settings.steps
        seconds = time.perf_counter() - begun
        if last or step % settings.evaluate_every == 0:
            metrics |= self._measure()
        tokens = sum(len(one.ids) for one in rollouts)
        timing = {
            "step": step,
            "seconds": seconds,
            "rollout_seconds": written - begun,
            "tokens_per_second": tokens / seconds,
        }
        self.log.write(metrics, timing)
        if last or step % settings.checkpoint_every == 0:
            self.log.sync()
            learner.save()
        return {**metrics, **timing, "steps": settings.steps}

    def _wanted(self, sampling: Sampling) -> Wanted:
        return Wanted(self.settings.max_tokens, sampling, self.task.stop, self.task.allowed)

    def _rollouts(self, step: int) -> list[Rollout]:
        """A step's completions with rewards and advantages, a prompt's group after the other."""
        settings, task = self.settings, self.task
        numbers = prompts_of_step(len(task.prompts), step - 1, settings.prompts_per_step, settings.seed)
        rollouts = roll_out(
            self.learner.model,
            {number: task.prompts[number] for number in numbers},
            self._wanted(Sampling(settings.temperature, seed=settings.seed)),
            name=f"grpo/{step}",
            group=settings.group,
            batch=settings.generation_batch,
        )
        self._reward(rollouts)
        rewards = torch.tensor([one.reward for one in rollouts], dtype=torch.float64)
        gains = normalised(rewards.view(-1, settings.group), settings.scale_rewards).flatten()
        for one, gain in zip(rollouts, gains.tolist(), strict=True):
            one.advantage = gain
        return rollouts

    def _reward(self, rollouts: Sequence[Rollout]) -> None:
        """Gives completions their texts and rewards."""
        for one in rollouts:
            one.text = self.task.decode([token for token in one.ids if token not in self.task.stop])
        rewards = self.task.reward(
            [one.prompt.text for one in rollouts],
            [one.text for one in rollouts],
            [one.prompt.answer for one in rollouts],
        )
        for name, values in rewards.items():
            for one, value in zip(rollouts, values, strict=True):
                one.rewards[name] = float(value)
        for one in rollouts:
            one.reward = sum(self.task.weights.get(name, 1.0) * value for name, value in one.rewards.items())

    def _learn(self, rollouts: Sequence[Rollout], step: int) -> dict[str, Any]:
        """All updates by a step's completions."""
        settings = self.settings
        rate = learning_rate(settings, step)
        parts = self._micro_batches(rollouts)
        outputs, tokens = len(rollouts), sum(len(one.ids) for one in rollouts)
        sums: dict[str, float] = {}
        for number in range(settings.updates):
            self.learner.model.train()
            sums = _sum([self._micro_step(part, outputs, tokens) for part in parts])
            if number == 0:
                difference = self._require_one_forward(parts, step)
            norm = self.learner.update(rate, settings.clip)
        self.learner.model.eval()
        policy, divergence = sums["policy"] / outputs, sums["divergence"] / outputs
        return {
            "loss": policy + settings.beta * divergence,
            "kl_divergence": divergence,
            "clipped": sums["clipped"] / outputs,
            "entropy_estimate": -sum(sum(one.log_probabilities) for one in rollouts) / tokens,
            **difference,
            "mtp_loss": sums["mtp"] / tokens if len(self.learner.model.mtp) else None,
            "gradient_norm": norm,
            "learning_rate": rate,
        }

    def _micro_batches(self, rollouts: Sequence[Rollout]) -> list["_Part"]:
        """A step's completions by length, cut into micro-batches, with what the reference thinks of them."""
        ordered = sorted(rollouts, key=lambda one: len(one.prompt.ids) + len(one.ids))
        size = self.settings.micro_batch
        parts = []
        for start in range(0, len(ordered), size):
            chosen = ordered[start : start + size]
            sequences = join([one.prompt.ids for one in chosen], [one.ids for one in chosen], self.device)
            gains = torch.tensor([one.advantage for one in chosen], dtype=torch.float32, device=self.device)
            drawn = torch.zeros(sequences.targets.shape, dtype=torch.float32, device=self.device)
            flat = torch.tensor([value for one in chosen for value in one.log_probabilities], device=self.device)
            drawn = drawn.masked_scatter(sequences.targets, flat)
            reference = self._log_probabilities(self.reference, sequences) if self.reference is not None else None
            parts.append(_Part(sequences, gains, drawn, reference))
        return parts

    @torch.no_grad()
    def _log_probabilities(self, model: Any, sequences: Sequences) -> Tensor:
        passed = pass_over(model, sequences)
        return log_probabilities(model, passed, sequences, self.settings.temperature, self.task.allowed)

    def _micro_step(self, part: "_Part", outputs: int, tokens: int) -> dict[str, float]:
        """Forward and backward of a micro-batch of a step's outputs and tokens; its sums."""
        settings, model = self.settings, self.learner.model
        passed = pass_over(model, part.sequences, mtp=settings.mtp_weight > 0)
        new = log_probabilities(model, passed, part.sequences, settings.temperature, self.task.allowed)
        if part.old is None:
            part.old = new.detach()
            part.trained = self._at_temperature_1(new.detach(), passed, part.sequences)
        terms = grpo_terms(
            new,
            part.old,
            part.reference,
            part.advantages,
            part.sequences.targets,
            clip_below=settings.clip_below,
            clip_above=settings.clip_above,
            ratio=settings.ratio,
        )
        loss = terms.total(outputs, settings.beta) + settings.balance_alpha / outputs * passed.balance
        loss = loss + settings.mtp_weight / tokens * passed.mtp
        loss.backward()
        named = {"policy": terms.policy, "divergence": terms.divergence, "clipped": terms.clipped, "mtp": passed.mtp}
        return {name: value.item() for name, value in named.items()}

    @torch.no_grad()
    def _at_temperature_1(self, new: Tensor, passed: Any, sequences: Sequences) -> Tensor:
        """The training pass's log-probabilities as sampling states them."""
        if self.settings.temperature == 1:
            return new
        return log_probabilities(self.learner.model, passed, sequences, 1.0, self.task.allowed)

    def _require_one_forward(self, parts: Sequence["_Part"], step: int) -> dict[str, float]:
        """How far the log-probabilities of the sampled tokens are apart between sampling and training.

        Raises UserError where they are too far: what is trained would not be what wrote the completions.
        """
        apart = torch.cat(
            [(part.trained - part.drawn)[part.sequences.targets].abs() for part in parts if part.trained is not None]
        )
        mean, most = apart.mean().item(), apart.max().item()
        if not mean <= self.settings.most_difference:
            what = f"log-probabilities of sampled tokens differ by {mean:.3g} nats between sampling and training"
            hint = "report this: both should be one forward pass; checkpoints of steps before it are whole"
            raise UserError(what, where=f"step {step}", hint=hint)
        return {"sampling_difference": mean, "sampling_difference_most": most}

    def _measure(self) -> dict[str, float]:
        """Rewards on the prompts held back: of a group of draws each, and of the likeliest tokens."""
        if not self.task.held_back:
            return {}
        measured = {}
        prompts = dict(enumerate(self.task.held_back))
        draws = (("", Sampling(self.settings.temperature, seed=self.settings.seed), self.settings.group),)
        for prefix, sampling, group in (*draws, ("greedy_", GREEDY, 1)):
            rollouts = roll_out(
                self.learner.model,
                prompts,
                self._wanted(sampling),
                name="grpo/held-back",
                group=group,
                batch=self.settings.generation_batch,
            )
            self._reward(rollouts)
            measured[f"held_back_{prefix}reward"] = sum(one.reward for one in rollouts) / len(rollouts)
        return measured

    def close(self) -> None:
        """Ends what runs beside the loop, even after an error."""
        self.log.close()
        self.learner.checkpoints.wait()

    def finish(self) -> dict[str, Any]:
        """Writes weights and summary."""
        self.learner.write_results()
        lines = last_lines(self.output / METRICS_FILE, self.settings.steps + 1)
        summary = {
            "steps": self.learner.steps_done,
            "completions": self.learner.steps_done * self.settings.prompts_per_step * self.settings.group,
            "prompts": len(self.task.prompts),
            "held_back": len(self.task.held_back),
            "reward_first": lines[1]["reward"],
            "reward_last": lines[-1]["reward"],
            "kl_divergence": lines[-1]["kl_divergence"],
            "sampling_difference_most": max(line["sampling_difference_most"] for line in lines[1:]),
        }
        for name in ("held_back_reward", "held_back_greedy_reward"):
            summary[f"{name}_before"], summary[name] = lines[0].get(name), lines[-1].get(name)
        commit_bytes(str(self.output / "summary.json"), json_bytes(summary))
        return summary


def learning_rate(settings: GrpoSettings, step: int) -> float:
    """Of a step, from 1: a linear rise, then level or linearly down to the last step's."""
    peak, final = settings.learning_rate, settings.final_learning_rate
    if step <= settings.warmup_steps:
        return peak * step / settings.warmup_steps
    if final is None or settings.steps == settings.warmup_steps + 1:
        return peak
    fallen = (step - settings.warmup_steps - 1) / (settings.steps - settings.warmup_steps - 1)
    return peak + (final - peak) * fallen


@dataclass
class _Part:
    """A micro-batch of completions."""

    sequences: Sequences
    advantages: Tensor
    drawn: Tensor
    """Log-probabilities [N, T - 1] as sampling stated them, at temperature 1."""
    reference: Tensor | None
    old: Tensor | None = None
    """As the training pass of the first update gives them, at the temperature of the draws."""
    trained: Tensor | None = None
    """The same at temperature 1."""


def _described(rollouts: Sequence[Rollout]) -> dict[str, Any]:
    """A step's rewards and lengths."""
    count = len(rollouts)
    groups: dict[int, list[float]] = {}
    for one in rollouts:
        groups.setdefault(one.number, []).append(one.reward)
    rewards = {f"reward_{name}": sum(one.rewards[name] for one in rollouts) / count for name in rollouts[0].rewards}
    return {
        "reward": sum(one.reward for one in rollouts) / count,
        **(rewards if len(rewards) > 1 else {}),
        "groups_without_signal": sum(max(values) == min(values) for values in groups.values()) / len(groups),
        "completion_tokens": sum(len(one.ids) for one in rollouts) / count,
        "completions_cut": sum(one.ended == "length" for one in rollouts) / count,
    }


def _sum(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(part[name] for part in parts) for name in parts[0]}
