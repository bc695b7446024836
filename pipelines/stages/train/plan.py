"""Train: shards to weights. One task that uses the whole machine and resumes from its own checkpoints.

Only what is given is handed to the trainer; the rest follows the preset (`training/settings.py`). Settings that say how
a run is carried out and not what it learns are not part of the plan: a run that was stopped may go on with others.
"""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.operating_system import available_cores
from corpusmill.pipelines.datasets import folder_identities, require_shards
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.stage import Costs, PhasePlan, Stage, StageRun, Summary, Watched
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.train.settings import FREE, NOT_THE_TRAINERS, TrainStageSettings

if TYPE_CHECKING:
    from corpusmill.training.settings import TrainSettings
    from corpusmill.training.simulate.campaign import Campaign
    from corpusmill.training.simulate.hardware import Gpu
    from corpusmill.training.simulate.step import Workload

TOKEN_BYTES = 4

FEWEST_ROWS = 256
"""Of the vocabulary: a byte-level tokenizer has no fewer."""

GIGAFLOPS = 45.0
"""A second, of one core in FP32, validation and checkpoints included, of `quickstart`; `laptop` comes to 80."""

BYTES_A_PARAMETER = 16
BASE_MEGABYTES = 1500
"""Memory: of FP32 weights, gradients and moments, and of all else."""

DISK_BYTES_A_PARAMETER = 28
"""The weights, and two checkpoints of weights and moments."""


class TrainStage(Stage):
    """Shards to a trained model."""

    name = "train"
    kernels = ("corpusmill.training.warmup",)
    version = 2
    Settings = TrainStageSettings
    over_documents = False

    def inputs(self) -> dict[str, Any]:
        start = self.settings.start_from
        return folder_identities([self.settings.shards], self.resolve) | (
            {start: weights_identity(start, self.resolve)} if start is not None else {}
        )

    def plan(self) -> dict[str, Any]:
        """Without what a run that goes on may change."""
        plan = super().plan()
        return plan | {"settings": {key: value for key, value in plan["settings"].items() if key not in FREE}}

    def check(self) -> None:
        from corpusmill.training.layout import require_layout
        from corpusmill.training.model.config import preset

        settings = self._trainer_settings("shards", "output")
        config = preset(settings.preset, {"vocab_size": FEWEST_ROWS, **settings.model})
        require_layout(config, settings, self.ranks)
        lengths = [name for name in ("steps", "tokens", "epochs") if getattr(self.settings, name) is not None]
        if len(lengths) > 1:
            what = f"{' and '.join(lengths)} both say how long the run is"
            raise UserError(what, where=lengths[-1], hint="use one of them")
        if self.settings.recipe == "sft":
            self._check_sft()
        for mark in ("constant", "decayed", "last"):
            names = f"{mark}_fraction", f"{mark}_tokens"
            if all(getattr(self.settings, name) is not None for name in names):
                raise UserError(
                    f"{' and '.join(names)} both set the same thing", where=names[1], hint="use one of them"
                )

    def _check_sft(self) -> None:
        if self.settings.start_from is None:
            hint = "name a finished run, an imported model or a checkpoint with start_from"
            raise UserError("fine-tuning starts from trained weights", where="start_from", hint=hint)

    def check_output(self, folder: str) -> None:
        if storage.is_url(folder) and self.ranks > 1:
            what = "several ranks need a shared folder for their checkpoints, not an object store"
            raise UserError(what, where=folder, hint="train into a local or shared folder, or on one rank")

    def needs(self) -> list[tuple[str, str]]:
        modules = [("torch", "train"), ("safetensors", "train")]
        return [*modules, ("tensorboard", "tensorboard")] if self.settings.tensorboard else modules

    def is_planned_elsewhere(self) -> bool:
        return self.settings.simulate is not None

    def require_memory(self) -> None:
        """Of this machine, with the fewest rows of a vocabulary; the trainer asks again when it knows them."""
        from corpusmill.training.fitting import computes_on_cpu, require_memory
        from corpusmill.training.model.config import preset

        settings = self._trainer_settings("shards", "output")
        config = preset(settings.preset, {"vocab_size": FEWEST_ROWS, **settings.model})
        require_memory(config, settings, self.ranks, self.ranks_here, on_cpu=computes_on_cpu(settings))

    def _trainer_settings(self, shards: str, output: str, sequence_length: int | None = None) -> "TrainSettings":
        """The trainer's own settings, which check themselves. Raises UserError.

        Without the length of a sequence, a run that is given in tokens has no number of steps yet.
        """
        from corpusmill.training.model.config import preset
        from corpusmill.training.settings import settings_for

        chosen = {key: value for key, value in self.settings.model_dump().items() if value is not None}
        chosen = {key: value for key, value in chosen.items() if key not in NOT_THE_TRAINERS}
        chosen["model"] = {
            key: int(value) if value.is_integer() else value for key, value in self.settings.model.items()
        }
        share = max(1, available_cores() // min(self.ranks, self.ranks_here))
        chosen |= {"seed": self.seed, "threads": self.settings.threads or share}
        if self.settings.start_from is not None:
            chosen["start_from"] = self.resolve(self.settings.start_from)
        preset(self.settings.preset, chosen["model"])
        sft = self.settings.recipe == "sft"
        if sft:
            del chosen["document_mask"]  # a flag that is not given cannot be told from one that says no
        settings = settings_for(self.settings.preset, shards, output, sft=sft, **chosen)
        if sequence_length is not None and (tokens := self._length_in_tokens(sequence_length)) is not None:
            settings = replace(settings, steps=_steps_for(tokens, settings, sequence_length))
        return settings

    def _length_in_tokens(self, sequence_length: int) -> int | None:
        """How long the run is, in tokens; None where it is given in steps, or in passes over shards that are not yet
        there, of which a dry run knows no number."""
        from corpusmill.training.settings import SFT_EPOCHS

        settings = self.settings
        epochs = settings.epochs
        if settings.recipe == "sft" and settings.steps is None and settings.tokens is None and epochs is None:
            epochs = SFT_EPOCHS
        if epochs is None:
            return None if settings.tokens is None else int(settings.tokens)
        manifest = state.read_manifest(self.resolve(settings.shards))
        if manifest is None:
            return None
        return math.ceil(epochs * sum(part["rows"] for part in manifest["parts"])) * sequence_length

    @property
    def ranks(self) -> int:
        """How many processes train. Raises UserError where settings and torchrun contradict each other."""
        from corpusmill.pipelines.engine.ranks import launched_ranks

        launched, wanted = launched_ranks(), self.settings.ranks
        if launched > 1 and wanted not in (1, launched):
            what = f"{wanted} ranks were requested, but torchrun started {launched}"
            raise UserError(what, where="ranks", hint="leave the setting out under torchrun")
        return max(launched, wanted)

    @property
    def ranks_here(self) -> int:
        """How many of them share this machine's cores."""
        from corpusmill.pipelines.engine.ranks import launched_ranks

        local = os.environ.get("LOCAL_WORLD_SIZE", "")
        return max(1, int(local)) if launched_ranks() > 1 and local.isdecimal() else self.ranks

    def costs(self, settings_of: Callable[[str], Mapping[str, Any]]) -> Costs:
        """From the floating-point operations of the preset, and what its parameters take; or as simulated."""
        sequence_length = int(settings_of(self.settings.shards)["sequence_length"])
        tokens = self.tokens(sequence_length)
        if (simulated := self.simulated(sequence_length)) is not None:
            campaign = simulated[2]
            return Costs(
                bytes=tokens * TOKEN_BYTES,
                seconds=campaign.seconds,
                megabytes=campaign.step.memory_bytes // 10**6,
                disk=0,  # not of this machine
            )
        parameters, gigaflops = self.size(sequence_length)
        return Costs(
            bytes=tokens * TOKEN_BYTES,
            seconds=tokens * gigaflops / (GIGAFLOPS * available_cores()),
            megabytes=BASE_MEGABYTES + BYTES_A_PARAMETER * parameters // 2**20,
            disk=parameters * DISK_BYTES_A_PARAMETER,
        )

    def simulated(self, sequence_length: int) -> "tuple[Workload, Gpu, Campaign] | None":
        """The run on the GPUs that `simulate` names, with V3's batch ramp if it has one; None: it names none.

        A layout that leaves something out is searched for. Raises UserError where nothing fits.
        """
        if self.settings.simulate is None:
            return None
        from corpusmill.pipelines.stages.train.simulated import gpu_and_layout
        from corpusmill.training.model.config import preset
        from corpusmill.training.simulate.campaign import Length, price
        from corpusmill.training.simulate.layout import layout_values
        from corpusmill.training.simulate.search import answer
        from corpusmill.training.simulate.step import Workload

        settings = self._trainer_settings("shards", "output", sequence_length)
        gpu, layout = gpu_and_layout(self.settings.simulate)
        work = Workload(preset(settings.preset, settings.model), sequence_length, settings.batch_sequences)
        result = answer(work, gpu, layout_values(layout), most=1)
        step = result.fitting[0] if result.fitting else result.nearest
        assert step is not None
        return work, gpu, price(step, work, gpu, Length(settings.steps, self.tokens(sequence_length)))

    def sequences(self, sequence_length: int) -> int:
        """Sequences that the run will read."""
        from corpusmill.training.schedule import planned_sequences

        settings = self._trainer_settings("shards", "output", sequence_length)
        return planned_sequences(*_batches_of(settings), settings.steps, sequence_length)

    def tokens(self, sequence_length: int) -> int:
        """Positions that the run will see."""
        return self.sequences(sequence_length) * sequence_length

    def size(self, sequence_length: int) -> tuple[int, float]:
        """(parameters, GFLOPs per token in training) of the model."""
        from corpusmill.training.model.config import flops_per_token, parameters, preset

        config = preset(self.settings.preset, self._trainer_settings("shards", "output").model)
        flops = flops_per_token(config, sequence_length, mtp=config.mtp_depth > 0)
        return parameters(config).total, flops / 1e9

    def check_inputs(self, folder: str) -> None:
        """Also that the mixture names groups that the shards have, and the phases are as long as the run."""
        from corpusmill.dataproc.sequences.shards import shard_entries
        from corpusmill.training.order.layout import Layout
        from corpusmill.training.order.plan import Plan

        length = self._sequence_length()
        settings = self._trainer_settings("shards", "output", length)
        if self.settings.recipe == "sft" and not require_shards(self.resolve(self.settings.shards))["settings"].get(
            "chat"
        ):
            what = "these shards do not say what is learned of conversations"
            raise UserError(what, where=self.settings.shards, hint="make them with 'corpusmill pack --chat'")
        if (plan := Plan.of(settings.mixture, settings.phases)) is not None:
            groups = Layout.of_entries(shard_entries(self.resolve(self.settings.shards))).sizes
            plan.check(groups, length, self.sequences(length))

    def _sequence_length(self) -> int:
        """Of the shards. Raises UserError for a folder of anything else."""
        manifest = require_shards(self.resolve(self.settings.shards))
        return int(manifest["settings"]["sequence_length"])

    def phases(self) -> list[PhasePlan]:
        return [PhasePlan(name="steps", tasks=1, bytes=self.tokens(self._sequence_length()) * TOKEN_BYTES)]

    def run(self, run: StageRun) -> Summary:
        settings = self._trainer_settings(self.resolve(self.settings.shards), run.folder, self._sequence_length())
        task = Task(
            id="train",
            function="corpusmill.pipelines.stages.train.work.training:train_model",
            arguments=settings,
            bytes=self.phases()[0].bytes,
            ranks=self.ranks,
        )
        result = run.map("steps", [task], watch=_watcher(run, settings.steps))[0]
        summary = result["summary"]
        return Summary(
            counts={"steps": summary["steps"], "tokens": summary["tokens"], "sequences": summary["sequences"]},
            files=result["files"],
            facts=summary | {"threads": settings.threads, "ranks": self.ranks},
        )


def weights_identity(start: str, resolve: Callable[[str], str]) -> dict[str, Any]:
    """Of a stage's folder its manifest; of a checkpoint or of imported weights every file."""
    folder = resolve(start)
    if state.read_manifest(folder) is not None:
        return folder_identities([start], resolve)[start]
    names = storage.list_names(folder)
    if not names or state.STATE in names:
        state.require_manifest(folder)  # raises with what is missing
    return {name: storage.identity(storage.join(folder, name)) for name in names}


def _batches_of(settings: "TrainSettings") -> tuple[int, int | None, int]:
    """What decides how many sequences so many steps read."""
    return settings.batch_sequences, settings.first_batch_sequences, settings.batch_ramp_tokens


def _steps_for(tokens: int, settings: "TrainSettings", sequence_length: int) -> int:
    """The fewest steps that read so many tokens, padding included."""
    from corpusmill.training.schedule import planned_sequences

    least = settings.batch_sequences if settings.first_batch_sequences is None else settings.first_batch_sequences
    fewest, most = 1, -(-tokens // (least * sequence_length))
    while fewest < most:
        middle = (fewest + most) // 2
        if planned_sequences(*_batches_of(settings), middle, sequence_length) * sequence_length < tokens:
            fewest = middle + 1
        else:
            most = middle
    return fewest


def _watcher(run: StageRun, steps: int) -> Callable[[], Watched]:
    """Gives how far the trainer is, from the last whole lines of its metrics and its timing."""
    from corpusmill.training.watching.metrics import METRICS_FILE, TIMING_FILE, last_line, live_words

    def watch() -> Watched:
        metrics = last_line(run.path(METRICS_FILE))
        if metrics is None:
            return Watched(0.0, (f"step 0 of {steps:,}", "starting"))
        words = live_words(metrics, last_line(run.path(state.STATE, TIMING_FILE)), steps)
        return Watched(metrics["step"] / steps, tuple(words))

    return watch
