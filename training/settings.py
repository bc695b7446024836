"""Everything that a training run is told, as one frozen dataclass, and what suits each preset.

Does not import torch, so the command line can offer these settings as options without waiting for it. Two runs with
equal settings over equal shards, on one machine, leave equal bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.training.order.plan import Plan

CHOICES = {
    "precision": ("float32", "bfloat16"),
    "moments": ("float32", "bfloat16"),
    "parallel": ("zero1", "fsdp2"),
    "spikes": ("stop", "skip", "rollback"),
    "device": ("auto", "cpu", "cuda"),
}
"""The settings that are one of some words."""


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run. Raises UserError for values that contradict each other."""

    shards: str
    """Folder of token shards, held-back ones in its `validation/`."""
    output: str
    """Folder of the run: weights, metrics, summary, checkpoints."""
    preset: str = "laptop"
    """Model preset, see `training.model.config.PRESETS`."""
    model: Mapping[str, int | float] = field(default_factory=dict)
    """Fields of the preset to replace. `vocab_size` follows the shards unless it is given."""
    steps: int = 300
    """Optimiser steps of the whole run."""
    batch_sequences: int = 8
    """Sequences a step, of all ranks together."""
    micro_batch: int = 8
    """Most sequences of a forward pass on one rank. It need not divide a rank's share of the batch: the last pass of a
    step is then smaller, and the numbers are those of any other division but for rounding."""
    first_batch_sequences: int | None = None
    """Sequences of the first step, from which the batch grows; None: it is whole from the start."""
    batch_ramp_tokens: int = 0
    """Tokens over which the batch grows, linearly in tokens consumed (V3: 3,072 to 15,360 over 469 B)."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    final_learning_rate: float = 1e-4
    """Learning rate at the end of the decay."""
    last_learning_rate: float | None = None
    """Learning rate of a last phase after the decay (V3: 7.3e-6); None: there is none."""
    last_fraction: float = 0.0
    """Part of the run, at its end, that has `last_learning_rate`."""
    warmup_steps: int = 20
    """Steps of linear warm-up."""
    constant_fraction: float = 0.6
    """Part of the run at the peak rate."""
    decayed_fraction: float = 1.0
    """Part of the run after which the rate is at its final value; the cosine lies between."""
    weight_decay: float = 0.1
    """AdamW's decay of matrices."""
    clip: float = 1.0
    """Largest global gradient norm."""
    mtp_weight: float = 0.3
    """Weight of the multi-token-prediction loss while the rate is constant."""
    late_mtp_weight: float = 0.1
    """The same during the decay."""
    balance_alpha: float = 1e-4
    """Factor of the sequence-wise balance loss."""
    bias_speed: float = 1e-3
    """Step by which router biases move after each optimiser step."""
    precision: str = "float32"
    """What the model computes in: "float32", or "bfloat16" with FP32 master weights, gradients summed in FP32, and
    router, losses and norms' sums in FP32."""
    moments: str = "float32"
    """Type in which AdamW's moments are kept: "float32", or "bfloat16" (section 3.3.3)."""
    recompute: bool = False
    """Whether norms, MLA's up-projections and SwiGLU are computed again in the backward pass instead of kept."""
    parallel: str = "zero1"
    """How ranks share the work: "zero1" has whole weights and gradients on each and optimiser state in parts (section
    3.1), "fsdp2" has weights in parts, too."""
    average_decay: float = 0.0
    """Decay of the moving average of the weights (EMA, section 3.2.3), in CPU memory; 0: there is none."""
    spikes: str = "stop"
    """What a loss spike leads to: "stop" (only for losses that are not finite), "skip" (its step changes nothing) or
    "rollback" (to the last checkpoint, and on behind the data that led there)."""
    spike_deviations: float = 6.0
    """Standard deviations above the mean of the last losses from which on a loss is a spike."""
    spike_window: int = 64
    """Losses that it is compared with; the first so many of a run are never spikes."""
    start_from: str | None = None
    """Folder of a run or of imported weights to start from, with a new optimiser; None: random weights."""
    document_mask: bool = False
    """Whether documents packed into one sequence are hidden from each other; V3's pre-training does not."""
    mixture: Mapping[str, float] = field(default_factory=dict)
    """Weights by group of the shards, in sequences; groups that are not named are left out. Empty: all shuffled as one,
    or in phases every group by its number of sequences."""
    phases: Sequence[Mapping[str, Any]] = ()
    """Stretches of the run with a mixture each, as {"tokens": …, "mixture": …}: without a mixture it is the run's, and
    the last may be without tokens. Tokens are places of sequences, padding included."""
    seed: int = 0
    """Of initial weights and of the order of sequences."""
    threads: int = 2
    """CPU threads of each rank. Another number may change the last bits of every result."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: CUDA where there is one."""
    peak_teraflops: float | None = None
    """What the device can do at most, in 10^12 operations a second, for MFU; None: known for some GPUs in BF16."""
    checkpoint_every: int = 100
    """Steps between checkpoints; the last step always writes one."""
    keep_checkpoints: int = 2
    """Newest checkpoints that are kept."""
    keep_every: int = 0
    """Besides, checkpoints of every so many steps stay for good; 0: none."""
    evaluate_every: int = 100
    """Steps between measurements on held-back sequences; the last step always makes one."""
    evaluation_sequences: int = 64
    """Held-back sequences that are measured."""
    evaluate_average: bool = False
    """Whether the moving average is measured beside the weights."""
    tensorboard: bool = False
    """Whether metrics are written for TensorBoard, too, to `tensorboard/` beside the run's timing."""

    def __post_init__(self) -> None:
        def require(law: bool, what: str, hint: str) -> None:
            if not law:
                raise UserError(what, where="training settings", hint=hint)

        whole = ("steps", "batch_sequences", "micro_batch", "threads", "checkpoint_every", "keep_checkpoints")
        for name in (*whole, "evaluate_every", "evaluation_sequences", "learning_rate", "clip"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}", "give a positive number")
        for name in ("final_learning_rate", "warmup_steps", "weight_decay", "mtp_weight", "late_mtp_weight"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "give 0 or more")
        for name in ("balance_alpha", "bias_speed", "seed", "keep_every", "batch_ramp_tokens", "last_fraction"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "give 0 or more")
        marks = (self.constant_fraction, self.decayed_fraction, 1 - self.last_fraction)
        require(
            0 <= marks[0] <= marks[1] <= 1 and 0 <= marks[2] <= 1,
            "constant_fraction, decayed_fraction and last_fraction are no parts of one run",
            "give fractions with constant_fraction <= decayed_fraction",
        )
        require(0 <= self.average_decay < 1, f"average_decay is {self.average_decay}", "give 0 or more, below 1")
        require(
            self.last_fraction == 0 or self.last_learning_rate is not None,
            "last_fraction has no last_learning_rate",
            "give both or none",
        )
        first = self.first_batch_sequences
        require(
            first is None or 0 < first <= self.batch_sequences,
            f"first_batch_sequences is {first}",
            "give a positive number, at most batch_sequences",
        )
        require(
            (first is None) == (self.batch_ramp_tokens == 0),
            "first_batch_sequences and batch_ramp_tokens go together",
            "give both or none",
        )
        require(self.spike_window > 1 and self.spike_deviations > 0, "no spike is found so", "give positive numbers")
        require(
            not self.evaluate_average or self.average_decay > 0,
            "evaluate_average without an average",
            "give average_decay",
        )
        for name, known in CHOICES.items():
            value = getattr(self, name)
            require(value in known, f"{name} is '{value}'", f"choose one of {', '.join(known)}")
        Plan.of(self.mixture, self.phases)  # raises for what is none

    @property
    def plan(self) -> Plan | None:
        """What mixture and phases ask for; None when they ask for nothing."""
        return Plan.of(self.mixture, self.phases)


RECIPES: dict[str, dict[str, Any]] = {
    # 300 steps of 16,384 tokens, for text of many languages (docs/training.md has the curve). What a step learns hangs
    # on its batch more than on the rate: after 100 steps batches of 2, 8 and 32 were at 3.71, 3.25 and 2.58 bits a
    # byte, while at 8 rates of 1e-3 and 2e-3 were 0.02 apart. At V3's bias speed of 0.001 all tokens went to four of
    # sixteen experts up to step 40 or so; at 0.01 loads were nearly even (violation 0.5) by step 60.
    "laptop": {
        "steps": 300,
        "batch_sequences": 32,
        "micro_batch": 8,
        "learning_rate": 3e-3,
        "final_learning_rate": 3e-4,
        "warmup_steps": 20,
        "bias_speed": 0.01,
    },
    # 100 steps of 1,024 tokens. For about the same tokens, batches of 4 ended 0.14 nats higher and batches of 1 0.06; a
    # rate of 0.01 ended 0.17 higher. So few steps need fast router biases: at V3's 0.001 a few experts ended up with
    # most tokens (violation 2.2 of at most 3; 0.5 at 0.02).
    "quickstart": {
        "steps": 100,
        "batch_sequences": 2,
        "micro_batch": 2,
        "learning_rate": 6e-3,
        "final_learning_rate": 3e-4,
        "warmup_steps": 10,
        "constant_fraction": 0.3,
        "bias_speed": 0.02,
        "evaluate_every": 50,
        "checkpoint_every": 50,
    },
}
"""Settings that suit a preset, where they differ from the defaults."""


def settings_for(preset: str, shards: str, output: str, **chosen: Any) -> TrainSettings:
    """Settings for a preset: its recipe, and over it what the caller chose."""
    return TrainSettings(shards=shards, output=output, preset=preset, **{**RECIPES.get(preset, {}), **chosen})
