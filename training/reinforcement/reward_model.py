"""A reward model: a trained model with one more vector, which turns the state of the last token into a number.

Bradley and Terry 1952: of two completions of a prompt, the probability that the first is preferred is
sigma(s_1 - s_2), so that -log sigma(s_chosen - s_rejected) is minimised over pairs. Only differences are learnt, so
that a score by itself means nothing; GRPO, which compares within a group, needs no more.

The folder is one of our models with `reward.safetensors` beside the weights (the vector, [D]; no pickle), so all that
reads a model reads it, and a reward model can be trained on from one. A text's score is that of prompt, completion and
what stands at the end of a document; it does not depend on what else is scored.

Cost: a pass over both completions of a pair. Memory: 16 bytes a parameter, a micro-batch's activations, the pairs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_key
from corpusmill.dataproc.storage import commit_bytes
from corpusmill.training.checkpoint.checkpoints import json_bytes
from corpusmill.training.checkpoint.tensor_files import TensorFiles
from corpusmill.training.generation.weights import Trained, open_trained
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.reinforcement.learner import Learner
from corpusmill.training.reinforcement.rollouts import prompts_of_step
from corpusmill.training.reinforcement.sequences import join, pass_over
from corpusmill.training.reinforcement.settings import RewardSettings
from corpusmill.training.run import reproducible
from corpusmill.training.settings import changeable_settings
from corpusmill.training.watching.metrics import MetricsLog

REWARD_FILE = "reward.safetensors"
HEAD = "head"
_NOT_COMPARED = changeable_settings(RewardSettings)


@dataclass(frozen=True)
class Pair:
    """Two completions of a prompt, in ids, each with the end of its document."""

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]


def scores(
    model: Transformer, head: Tensor, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]]
) -> Tensor:
    """Scores [N] of N completions, each of at least one token; with gradient where it is asked for."""
    sequences = join(prompts, texts, head.device)
    normed = pass_over(model, sequences).normed
    last = normed[torch.arange(len(texts), device=head.device), sequences.lengths - 1]
    return last.float() @ head


class RewardModel:
    """A reward model, ready to score. Raises UserError for a folder that is none."""

    def __init__(self, folder: str | Path, device: torch.device | str = "cpu") -> None:
        path = Path(folder) / REWARD_FILE
        if not path.is_file():
            hint = "name a folder of 'corpusmill train reward'"
            raise UserError("no reward model found", where=str(folder), hint=hint)
        self.trained: Trained = open_trained(folder, device=device)
        head = TensorFiles([path])[HEAD]
        if tuple(head.shape) != (self.trained.config.dim,):
            raise UserError("the vector of scores does not fit the model", str(path), "copy the whole folder")
        self._head = head.to(device, torch.float32, copy=True)

    @torch.no_grad()
    def score(self, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], batch: int = 64) -> list[float]:
        """Scores of N completions."""
        found: list[float] = []
        for start in range(0, len(texts), batch):
            some = slice(start, start + batch)
            found += scores(self.trained.model, self._head, prompts[some], texts[some]).tolist()
        return found


def train_reward_model(
    settings: RewardSettings,
    pairs: Sequence[Pair],
    fingerprint: Mapping[str, str],
    state_folder: str | Path,
    device: str = "cpu",
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Trains to the end, from the last checkpoint where there is one; what `summary.json` holds."""
    with reproducible(settings.threads or torch.get_num_threads(), settings.seed):
        output = Path(settings.output)
        identity = {name: value for name, value in asdict(settings).items() if name not in _NOT_COMPARED}
        learner = Learner(
            settings.run,
            output,
            identity | {"pairs": dict(fingerprint)},
            weight_decay=settings.weight_decay,
            keep=settings.keep_checkpoints,
            device=torch.device(device),
            further={HEAD: lambda config: torch.zeros(config.dim)},
        )
        training, held_back = _divided(pairs, settings)
        log = MetricsLog(output, Path(state_folder), learner.steps_done)
        line: dict[str, Any] = {}
        try:
            while learner.steps_done < settings.steps:
                line = _step(settings, learner, training, log, held_back)
                if on_step is not None:
                    on_step(line | {"steps": settings.steps})
        finally:
            log.close()
            learner.checkpoints.wait()
        learner.write_results(REWARD_FILE)
        summary: dict[str, Any] = {"steps": learner.steps_done, "pairs": len(training), "held_back": len(held_back)}
        summary |= _measured(learner, held_back or training[: settings.pairs_per_step], settings)
        commit_bytes(str(output / "summary.json"), json_bytes(summary))
        return summary


def _divided(pairs: Sequence[Pair], settings: RewardSettings) -> tuple[list[Pair], list[Pair]]:
    """Pairs to train on, and those that are only measured; drawn by their number."""
    limit = int(settings.held_back_share * 2**64)
    drawn = [random_key(settings.seed, "reward/held-back", str(number)) < limit for number in range(len(pairs))]
    training = [pair for pair, held in zip(pairs, drawn, strict=True) if not held]
    held_back = [pair for pair, held in zip(pairs, drawn, strict=True) if held]
    return training, held_back


def _step(
    settings: RewardSettings, learner: Learner, pairs: Sequence[Pair], log: MetricsLog, held_back: Sequence[Pair]
) -> dict[str, Any]:
    """One step, its line, and the checkpoint that falls due after it."""
    begun = time.perf_counter()
    step = learner.steps_done + 1
    numbers = prompts_of_step(len(pairs), step - 1, settings.pairs_per_step, settings.seed)
    learner.model.train()
    loss, right = 0.0, 0
    for start in range(0, len(numbers), settings.micro_batch):
        chosen = [pairs[number] for number in numbers[start : start + settings.micro_batch]]
        apart = _difference(learner, chosen)
        part = -F.logsigmoid(apart).sum() / len(numbers)
        part.backward()
        loss += part.item()
        right += int((apart > 0).sum())
    rate = settings.learning_rate * min(1.0, step / max(1, settings.warmup_steps))
    norm = learner.update(rate, settings.clip)
    learner.model.eval()
    metrics = {
        "step": step,
        "loss": loss,
        "accuracy": right / len(numbers),
        "gradient_norm": norm,
        "learning_rate": rate,
        "expert_max_violation": learner.end_step(settings.bias_speed),
    }
    last = step == settings.steps
    if held_back and (last or step % settings.checkpoint_every == 0):
        metrics |= _measured(learner, held_back, settings)
    log.write(metrics, {"step": step, "seconds": time.perf_counter() - begun})
    if last or step % settings.checkpoint_every == 0:
        log.sync()
        learner.save()
    return metrics


def _difference(learner: Learner, pairs: Sequence[Pair]) -> Tensor:
    """s_chosen - s_rejected [N]."""
    prompts = [pair.prompt for pair in pairs] * 2
    texts = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    chosen, rejected = scores(learner.model, learner.further[HEAD], prompts, texts).chunk(2)
    return chosen - rejected


@torch.no_grad()
def _measured(learner: Learner, pairs: Sequence[Pair], settings: RewardSettings) -> dict[str, float]:
    """Share of pairs whose chosen completion scores higher, and the loss."""
    learner.model.eval()
    size = settings.micro_batch
    apart = torch.cat([_difference(learner, pairs[start : start + size]) for start in range(0, len(pairs), size)])
    return {
        "held_back_accuracy": (apart > 0).double().mean().item(),
        "held_back_loss": -F.logsigmoid(apart).mean().item(),
    }
