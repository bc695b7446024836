"""The worker's side of GRPO and of reward models: texts to ids, the trainer, and what it leaves as file entries."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.operating_system import available_cores
from corpusmill.pipelines.engine.outputs import file_entry
from corpusmill.pipelines.engine.state import STATE
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.prompting import prompt_ids, require_tokenizer
from corpusmill.pipelines.stages.grpo.arguments import GrpoWork, RewardWork
from corpusmill.pipelines.stages.grpo.work.rewarding import identity_of, rewarding
from corpusmill.pipelines.stages.grpo.work.rows import fingerprint, read_rows
from corpusmill.pipelines.stages.train.work.mirror import mirrored
from corpusmill.pipelines.stages.train.work.training import local_start
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.training.generation.weights import describe_folder
from corpusmill.training.parallel.ranks import join_ranks
from corpusmill.training.reinforcement.grpo import Prompt, Task, train_grpo
from corpusmill.training.reinforcement.reward_model import REWARD_FILE, Pair, train_reward_model
from corpusmill.training.reinforcement.rollouts import FOLDER
from corpusmill.training.reinforcement.settings import GrpoSettings, RewardSettings
from corpusmill.training.rewards.named import labels, read_reward

OUTPUTS = ("model.safetensors", "config.json", "summary.json", "metrics.jsonl")


@dataclass(frozen=True)
class _Texts:
    """A model's tokenizer, and how its documents begin."""

    tokenizer: Tokenizer
    shards: Any

    def prompt(self, text: str) -> list[int]:
        return prompt_ids(self.tokenizer, self.shards, text)

    @property
    def end(self) -> int:
        return self.tokenizer.special.role("eos")


@contextmanager
def _opened(settings: Any) -> Iterator[tuple[Any, _Texts, str]]:
    """The settings with local folders and all threads, the model's tokenizer, and where it computes."""
    with join_ranks(settings.device) as ranks, ExitStack() as folders:
        output, run = settings.output, local_start(settings.run, folders)
        assert run is not None
        if storage.is_url(output):
            output = folders.enter_context(mirrored(output))
        config, shards, _ = describe_folder(Path(run))
        tokenizer = Tokenizer.load(settings.tokenizer)
        require_tokenizer(tokenizer, shards, config.vocab_size, settings.tokenizer)
        here = replace(settings, run=run, output=output, threads=settings.threads or available_cores())
        yield here, _Texts(tokenizer, shards), str(ranks.device)


def train_grpo_task(task: TaskContext[GrpoWork]) -> dict[str, Any]:
    """A run of GRPO to its end, from its last checkpoint where there is one."""
    work = task.arguments
    with _opened(work.settings) as (settings, texts, device):
        rows = read_rows(work.prompts, ["prompt"], ["answer"])
        held_back = read_rows(work.held_back, ["prompt"], ["answer"])
        rewards = [read_reward(written) for written in settings.rewards]
        with ExitStack() as folders:
            local = {name: local_start(folder, folders) or folder for name, folder in work.models.items()}
            asked = _task(settings, texts, rows, held_back, rewards, local, device)
            summary = train_grpo(settings, asked, storage.join(settings.output, STATE), device)
    names = [f"{FOLDER}/{name}" for name in sorted(storage.list_names(task.path(FOLDER)))]
    drawn = {"rows": work.settings.prompts_per_step * work.settings.group}
    rollouts = [file_entry(task, name) | drawn for name in names]
    return {"summary": summary, "files": [*(file_entry(task, name) for name in OUTPUTS), *rollouts]}


def _task(
    settings: GrpoSettings, texts: _Texts, rows: Any, held_back: Any, rewards: Any, models: Any, device: str
) -> Task:
    """What the trainer is asked, from texts."""
    tokenizer = texts.tokenizer
    prompts, measured = (
        [Prompt(row["prompt"], texts.prompt(row["prompt"]), row["answer"]) for row in some]
        for some in (rows, held_back)
    )
    answers = [prompt.answer for prompt in (*prompts, *measured)]
    return Task(
        prompts=prompts,
        held_back=measured,
        decode=lambda ids: tokenizer.decode(list(ids)),
        reward=rewarding(rewards, models, answers, device, settings.threads),
        stop=frozenset({texts.end}),
        allowed=tokenizer.vocab_size,
        fingerprint={
            "prompts": fingerprint(rows),
            "held_back": fingerprint(held_back),
            "rewards": identity_of(rewards),
            "tokenizer": tokenizer.fingerprint,
        },
        weights=dict(zip(labels(rewards), (one.weight for one in rewards), strict=True)),
    )


def train_reward_task(task: TaskContext[RewardWork]) -> dict[str, Any]:
    """A reward model's training to its end, from its last checkpoint where there is one."""
    work = task.arguments
    with _opened(work.settings) as (settings, texts, device):
        assert isinstance(settings, RewardSettings)
        rows = read_rows(work.pairs, ["prompt", "chosen", "rejected"])
        pairs = [_pair(texts, row) for row in rows]
        compared = {"pairs": fingerprint(rows), "tokenizer": texts.tokenizer.fingerprint}
        summary = train_reward_model(settings, pairs, compared, storage.join(settings.output, STATE), device)
    return {"summary": summary, "files": [file_entry(task, name) for name in (*OUTPUTS, REWARD_FILE)]}


def _pair(texts: _Texts, row: Any) -> Pair:
    chosen, rejected = ([*texts.tokenizer.encode(row[name]), texts.end] for name in ("chosen", "rejected"))
    return Pair(texts.prompt(row["prompt"]), chosen, rejected)
