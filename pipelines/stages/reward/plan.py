"""Reward: a model and preference pairs to a reward model. One task, resumed from its own checkpoints."""

from collections.abc import Sequence

from corpusmill.pipelines.engine.stage import StageRun, Summary
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.grpo.plan import TASKS, LearningStage
from corpusmill.pipelines.stages.grpo.progress import watcher
from corpusmill.pipelines.stages.grpo.settings import FREE_OF_REWARD, RewardStageSettings


class RewardStage(LearningStage):
    """A model and preference pairs to a model that scores texts."""

    name = "reward"
    Settings = RewardStageSettings
    free = FREE_OF_REWARD

    def check(self) -> None:
        from corpusmill.training.reinforcement.settings import RewardSettings

        RewardSettings(**self.trainer_values("run", "tokenizer", "output"))

    def files(self) -> Sequence[str]:
        return list(self.settings.pairs)

    def run(self, run: StageRun) -> Summary:
        from corpusmill.pipelines.stages.grpo.arguments import RewardWork
        from corpusmill.training.reinforcement.settings import RewardSettings

        settings = RewardSettings(**self.chosen(run.folder))
        work = RewardWork(settings=settings, pairs=tuple(map(self.resolve, settings.pairs)))
        task = Task(id="reward", function=f"{TASKS}:train_reward_task", arguments=work, bytes=1)
        result = run.map("steps", [task], watch=watcher(run, settings.steps))[0]
        summary = result["summary"]
        return Summary(
            counts={name: summary[name] for name in ("steps", "pairs", "held_back")},
            files=result["files"],
            facts=summary,
        )
