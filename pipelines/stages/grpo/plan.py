"""GRPO: a model, prompts and rewards to a model that is rewarded more. One task, resumed from its own checkpoints.

What decides the numbers is in the plan by content: weights, files of prompts, a reward model's folder, the source of a
function of the user's own. Settings that say how a run is carried out are not.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.measures.functions import source_digest
from corpusmill.pipelines.datasets import tokenizer_identity
from corpusmill.pipelines.description import load
from corpusmill.pipelines.engine.stage import Costs, PhasePlan, Stage, StageRun, Summary
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.grpo.progress import watcher
from corpusmill.pipelines.stages.grpo.settings import FREE_OF_GRPO, GrpoStageSettings
from corpusmill.pipelines.stages.train.plan import weights_identity

if TYPE_CHECKING:
    from corpusmill.training.rewards.named import NamedReward

TASKS = "corpusmill.pipelines.stages.grpo.work.starting"
BASE_MEGABYTES = 1500


class LearningStage(Stage):
    """What grpo and reward have in common: they train on a model with its tokenizer."""

    kernels = ("corpusmill.tokenizer.warmup", "corpusmill.training.warmup")

    over_documents = False
    free: frozenset[str]

    def inputs(self) -> dict[str, Any]:
        found = {self.settings.run: weights_identity(self.settings.run, self.resolve)}
        if self.settings.tokenizer is not None:
            found |= tokenizer_identity(self.settings.tokenizer, self.resolve)
        return found | {path: {"file": storage.identity(self.resolve(path))} for path in self.files()}

    @abstractmethod
    def files(self) -> Sequence[str]:
        """Files that it reads, as written."""

    def plan(self) -> dict[str, Any]:
        """Without what a run that goes on may change."""
        plan = super().plan()
        return plan | {"settings": {key: value for key, value in plan["settings"].items() if key not in self.free}}

    def needs(self) -> list[tuple[str, str]]:
        return [("torch", "train"), ("safetensors", "train")]

    def require_files(self, made: Callable[[str], bool]) -> None:
        for path in self.files():
            if not made(path) and not storage.exists(self.resolve(path)):
                raise UserError("no such file", where=path, hint="name a file of JSON lines, or Parquet")

    def tokenizer(self) -> str:
        """The folder of the tokenizer. Raises UserError where it is not known."""
        if self.settings.tokenizer is not None:
            return self.resolve(self.settings.tokenizer)
        run = self.resolve(self.settings.run)
        of_run: Callable[[str], str | None] = load("corpusmill.pipelines.inspect.places:tokenizer_of_run")
        for folder in (run, run.rstrip("/").rsplit("/", 2)[0]):
            if found := of_run(folder):
                return found
        raise UserError("the tokenizer of this model is not known here", where=run, hint="name it with --tokenizer")

    def phases(self) -> list[PhasePlan]:
        return [PhasePlan(name="steps", tasks=1, bytes=1)]

    def costs(self, settings_of: Callable[[str], Mapping[str, Any]]) -> Costs:
        """Not known: it depends on how long completions become."""
        return Costs(bytes=0, seconds=0.0, megabytes=BASE_MEGABYTES, disk=0)

    def trainer_values(self, run: str, tokenizer: str, folder: str) -> dict[str, Any]:
        """The trainer's settings by name."""
        values = {name: getattr(self.settings, name) for name in type(self.settings).model_fields}
        return values | {"run": run, "tokenizer": tokenizer, "output": folder, "seed": self.seed}

    def chosen(self, folder: str) -> dict[str, Any]:
        """The same, with folders as they can be opened."""
        return self.trainer_values(self.resolve(self.settings.run), self.tokenizer(), folder)


class GrpoStage(LearningStage):
    """A model, prompts and rewards to a model that is rewarded more."""

    name = "grpo"
    Settings = GrpoStageSettings
    free = FREE_OF_GRPO

    def rewards(self) -> "list[NamedReward]":
        """The rewards, taken apart. Raises UserError."""
        from corpusmill.training.rewards.named import read_reward

        return [read_reward(written) for written in self.settings.rewards]

    def check(self) -> None:
        from corpusmill.training.reinforcement.settings import GrpoSettings

        self.rewards()
        GrpoSettings(**self.trainer_values("run", "tokenizer", "output"))

    def files(self) -> Sequence[str]:
        return [*self.settings.prompts, *self.settings.held_back]

    def inputs(self) -> dict[str, Any]:
        found = super().inputs()
        for reward in self.rewards():
            if reward.name == "model":
                found[reward.argument] = weights_identity(reward.argument, self.resolve)
            elif reward.is_function:
                name = f"{reward.name}:{reward.argument}"
                found[name] = {"source": source_digest(name)}
        return found

    def run(self, run: StageRun) -> Summary:
        from corpusmill.pipelines.stages.grpo.arguments import GrpoWork
        from corpusmill.training.reinforcement.settings import GrpoSettings

        settings = GrpoSettings(**self.chosen(run.folder))
        work = GrpoWork(
            settings=settings,
            prompts=tuple(map(self.resolve, settings.prompts)),
            held_back=tuple(map(self.resolve, settings.held_back)),
            models={name.argument: self.resolve(name.argument) for name in self.rewards() if name.name == "model"},
        )
        task = Task(id="grpo", function=f"{TASKS}:train_grpo_task", arguments=work, bytes=1)
        result = run.map("steps", [task], watch=watcher(run, settings.steps))[0]
        summary = result["summary"]
        return Summary(
            counts={name: summary[name] for name in ("steps", "completions", "prompts")},
            files=result["files"],
            facts=summary,
        )
