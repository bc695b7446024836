"""What `corpusmill train` can be told: flags and recipe keys that the trainer's own settings are made from.

What is left out follows the preset (`training/settings.py`), so nearly all defaults are None. Some are in recipes only,
because they are rarely changed and `--help` has to be read. Some are *free*: they say how a run is carried out and not
what it learns (or, of spikes, how it gets past one), and a run that was stopped may go on with others.
"""

from typing import Any, Literal

from pydantic import Field

from corpusmill.pipelines.engine.stage import StageSettings

Precision = Literal["float32", "bfloat16"]


class PhaseSettings(StageSettings):
    """A stretch of the run with a mixture of its own."""

    tokens: int | None = Field(default=None, description="its length, padding included; the last may have none", ge=1)
    mixture: dict[str, float] = Field(default={}, description="weights by group; the run's mixture if left out")


def _setting(description: str, default: Any = None, *, rare: bool = False, free: bool = False, **bounds: Any) -> Any:
    """A field of the settings.

    Args:
        description: for `--help`, with the unit.
        default: None where the preset says it.
        rare: in recipes only, so that `--help` stays readable.
        free: a run that goes on may have another.
        bounds: as pydantic names them.
    """
    extra: Any = {"recipe_only": rare, "free": free}
    return Field(default=default, description=description, json_schema_extra=extra, **bounds)


class TrainStageSettings(StageSettings):
    """Settings of `corpusmill train`; what is left out follows the preset."""

    shards: str = Field(description="a folder of token shards")
    preset: str = Field(default="laptop", description="model shape; --describe NAME tells what one costs")
    model: dict[str, float] = Field(default={}, description="other values for fields of the preset")
    start_from: str | None = _setting("a finished run, imported model or checkpoint whose weights it starts from")
    steps: int | None = _setting("optimiser steps", ge=1)
    tokens: int | None = _setting(
        "length in tokens, padding included, instead of steps: the fewest that reach it", ge=1
    )
    batch_sequences: int | None = _setting("sequences of a step, of all ranks together", ge=1)
    micro_batch: int | None = _setting("most sequences of a forward pass on one rank", free=True, ge=1)
    first_batch_sequences: int | None = _setting("sequences of the first step, from which the batch grows", ge=1)
    batch_ramp_tokens: int | None = _setting("tokens over which the batch grows", ge=0)
    mixture: dict[str, float] = Field(
        default={},
        description="weights, in sequences, of the groups that 'pack --group-by' made; all as one if left out",
    )
    phases: tuple[PhaseSettings, ...] = Field(
        default=(), description="stretches with a mixture each", json_schema_extra={"recipe_only": True}
    )
    document_mask: bool = _setting("hide documents of one sequence from each other", False)
    learning_rate: float | None = _setting("peak learning rate", gt=0)
    final_learning_rate: float | None = _setting("learning rate at the end of the decay", ge=0)
    last_learning_rate: float | None = _setting("learning rate of a last phase after the decay", rare=True, ge=0)
    last_fraction: float | None = _setting("part of the run, at its end, with that rate", rare=True, ge=0, le=1)
    warmup_steps: int | None = _setting("steps of linear warm-up", ge=0)
    constant_fraction: float | None = _setting("part of the run at the peak rate", ge=0, le=1)
    decayed_fraction: float | None = _setting("part after which the decay has ended", rare=True, ge=0, le=1)
    weight_decay: float | None = _setting("AdamW's decay of matrices", rare=True, ge=0)
    clip: float | None = _setting("largest global gradient norm", rare=True, gt=0)
    mtp_weight: float | None = _setting("weight of the multi-token-prediction loss at the peak rate", ge=0)
    late_mtp_weight: float | None = _setting("the same during and after the decay", rare=True, ge=0)
    balance_alpha: float | None = _setting("factor of the sequence-wise balance loss", rare=True, ge=0)
    bias_speed: float | None = _setting("step of the routers' biases after each optimiser step", rare=True, ge=0)
    precision: Precision | None = _setting("what the model computes in; masters are float32")
    moments: Precision | None = _setting("what AdamW's moments are kept in")
    recompute: bool = _setting("compute norms, MLA's up-projections and SwiGLU again instead of keeping them", False,
                               free=True)  # fmt: skip
    parallel: Literal["zero1", "fsdp2"] | None = _setting(
        "what ranks share: optimiser state, or weights and gradients, too", free=True
    )
    ranks: int = _setting("data-parallel processes; torchrun's number under torchrun", 1, free=True, ge=1)
    threads: int = _setting("CPU threads of each rank; 0 shares all cores out", 0, free=True, ge=0)
    device: Literal["auto", "cpu", "cuda"] | None = _setting("where to compute; auto is CUDA where there is", free=True)
    average_decay: float | None = _setting("decay of a moving average of the weights; 0 is none", ge=0, lt=1)
    spikes: Literal["stop", "skip", "rollback"] | None = _setting("what a spike of the loss leads to", free=True)
    spike_deviations: float | None = _setting("standard deviations that make a spike", rare=True, free=True, gt=0)
    spike_window: int | None = _setting("last losses that a spike is seen against", rare=True, free=True, ge=2)
    checkpoint_every: int | None = _setting("steps between checkpoints", free=True, ge=1)
    keep_checkpoints: int | None = _setting("newest checkpoints that are kept", free=True, ge=1)
    keep_every: int | None = _setting("keep checkpoints of every so many steps for good; 0 is none", free=True, ge=0)
    evaluate_every: int | None = _setting("steps between validations", free=True, ge=1)
    evaluation_sequences: int | None = _setting("held-back sequences measured", free=True, ge=1)
    evaluate_average: bool = _setting("measure the moving average, too", False, free=True)
    tensorboard: bool = _setting("write metrics for TensorBoard, too", False, free=True)
    peak_teraflops: float | None = _setting("10^12 operations a second of the device at most, for MFU", free=True,
                                            rare=True, gt=0)  # fmt: skip


FREE = frozenset(
    name
    for name, field in TrainStageSettings.model_fields.items()
    if (field.json_schema_extra or {}).get("free")  # type: ignore[union-attr]
)
"""Settings that a run which goes on may have others of."""
NOT_THE_TRAINERS = {"shards", "preset", "threads", "tokens", "ranks", "start_from"}
"""Settings that the trainer is told in another way, or not at all."""
