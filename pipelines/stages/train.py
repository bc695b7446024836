"""Train: shards to weights. One task that uses the whole machine and resumes from its own checkpoints.

Only what is given is handed to the trainer; the rest follows the preset (`training/settings.py`).
"""

import json
from typing import Any

from pydantic import Field

from dataproc import storage
from dataproc.errors import UserError
from pipelines.datasets import folder_identities
from pipelines.engine import state
from pipelines.engine.executor import available_cores
from pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary
from pipelines.engine.task import Task

MAKERS = ("pack", "import")
"""The stages that make shards."""
METRICS = "metrics.jsonl"
TAIL_BYTES = 4096
TOKEN_BYTES = 4


class PhaseSettings(StageSettings):
    """A stretch of the run with a mixture of its own."""

    tokens: int | None = Field(default=None, description="its length, padding included; the last may have none", ge=1)
    mixture: dict[str, float] = Field(default={}, description="weights by group; the run's mixture if left out")


class TrainStageSettings(StageSettings):
    """Settings of `corpusmill train`; what is left out follows the preset."""

    shards: str = Field(description="a folder of token shards")
    preset: str = Field(default="laptop", description="model shape; --describe NAME tells what one costs")
    model: dict[str, float] = Field(default={}, description="other values for fields of the preset")
    steps: int | None = Field(default=None, description="optimiser steps", ge=1)
    batch_sequences: int | None = Field(default=None, description="sequences of a step", ge=1)
    micro_batch: int | None = Field(default=None, description="sequences of a forward pass", ge=1)
    mixture: dict[str, float] = Field(
        default={},
        description="weights, in sequences, of the groups that 'pack --group-by' made; all as one if left out",
    )
    phases: tuple[PhaseSettings, ...] = Field(
        default=(), description="stretches with a mixture each", json_schema_extra={"recipe_only": True}
    )
    learning_rate: float | None = Field(default=None, description="peak learning rate", gt=0)
    final_learning_rate: float | None = Field(default=None, description="learning rate at the end", ge=0)
    warmup_steps: int | None = Field(default=None, description="steps of linear warm-up", ge=0)
    checkpoint_every: int | None = Field(default=None, description="steps between checkpoints", ge=1)
    evaluate_every: int | None = Field(default=None, description="steps between validations", ge=1)
    evaluation_sequences: int | None = Field(default=None, description="held-back sequences measured", ge=1)
    threads: int = Field(default=0, description="CPU threads; 0 is one for each core", ge=0)


class TrainStage(Stage):
    """Shards to a trained model."""

    name = "train"
    Settings = TrainStageSettings
    over_documents = False
    settings: TrainStageSettings

    def inputs(self) -> dict[str, Any]:
        return folder_identities([self.settings.shards], self.resolve)

    def check(self) -> None:
        self._trainer_settings("shards", "output")

    def _trainer_settings(self, shards: str, output: str) -> dict[str, Any]:
        """What the trainer is told, checked by the trainer's own settings. Raises UserError."""
        from dataclasses import asdict

        from training.config import preset
        from training.settings import settings_for

        left_out = {"shards", "preset", "threads"}
        chosen = {key: value for key, value in self.settings.model_dump().items() if value is not None}
        chosen = {key: value for key, value in chosen.items() if key not in left_out}
        chosen["model"] = {
            key: int(value) if value.is_integer() else value for key, value in self.settings.model.items()
        }
        chosen |= {"seed": self.seed, "threads": self.settings.threads or available_cores()}
        preset(self.settings.preset, chosen["model"])
        return asdict(settings_for(self.settings.preset, shards, output, **chosen))

    def tokens(self, sequence_length: int) -> int:
        """Positions that the run will see."""
        told = self._trainer_settings("shards", "output")
        return told["steps"] * told["batch_sequences"] * sequence_length

    def size(self, sequence_length: int) -> tuple[int, float]:
        """(parameters, GFLOPs a token in training) of the model."""
        from training.config import flops_per_token, parameters, preset

        config = preset(self.settings.preset, self._trainer_settings("shards", "output")["model"])
        flops = flops_per_token(config, sequence_length, mtp=config.mtp_depth > 0)
        return parameters(config).total, flops / 1e9

    def check_inputs(self, folder: str) -> None:
        """Also that the mixture names groups that the shards have, and the phases are as long as the run."""
        from dataproc.shards import shard_entries
        from training.layout import Layout
        from training.plan import Plan

        manifest = self._shards()
        told = self._trainer_settings("shards", "output")
        if (plan := Plan.of(told["mixture"], told["phases"])) is not None:
            groups = Layout.of_entries(shard_entries(self.resolve(self.settings.shards))).sizes
            plan.check(groups, manifest["settings"]["sequence_length"], told["steps"] * told["batch_sequences"])

    def _shards(self) -> dict[str, Any]:
        """The manifest of the shards. Raises UserError for a folder of anything else."""
        shards = self.resolve(self.settings.shards)
        manifest = state.require_manifest(shards)
        if manifest["stage"] not in MAKERS:
            what = f"no token shards here: '{manifest['stage']}' made this folder"
            raise UserError(what, where=shards, mend="make them with 'corpusmill pack'")
        return manifest

    def phases(self) -> list[PhasePlan]:
        manifest = self._shards()
        tokens = self.tokens(manifest["settings"]["sequence_length"])
        return [PhasePlan(name="steps", tasks=1, bytes=tokens * TOKEN_BYTES)]

    def run(self, run: StageRun) -> Summary:
        told = self._trainer_settings(self.resolve(self.settings.shards), run.folder)

        def watch() -> str:
            line = _last_line(run.path(METRICS))
            return f"step {line['step']} of {told['steps']}, loss {line['loss']:.3f}" if line else "starting"

        result = run.map(
            "steps",
            [
                Task(
                    id="train",
                    function="pipelines.tasks.train:train_model",
                    arguments=told,
                    bytes=self.phases()[0].bytes,
                    whole_machine=True,
                )
            ],
            watch=watch,
        )[0]
        summary = result["summary"]
        return Summary(
            counts={"steps": summary["steps"], "tokens": summary["tokens"], "sequences": summary["sequences"]},
            files=result["files"],
            facts=summary | {"threads": told["threads"]},
        )


def _last_line(path: str) -> dict[str, Any] | None:
    """The last whole line of the metrics, if there is one yet."""
    if storage.is_url(path) or not storage.exists(path):
        return None
    with storage.open_input(path) as file:
        file.seek(max(0, storage.size(path) - TAIL_BYTES))
        lines = file.read().split(b"\n")[:-1]
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError:  # a line longer than the tail, or one being written
        return None
