"""Everything that a training run is told, as one frozen dataclass, and what suits each preset.

Does not import torch, so the command line can offer these settings as options without waiting for it. Two runs with
equal settings over equal shards, on one machine, leave equal bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataproc.errors import UserError
from training.plan import Plan


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run. Raises UserError for values that contradict each other."""

    shards: str
    """Folder of token shards, held-back ones in its `validation/`."""
    output: str
    """Folder of the run: weights, metrics, summary, checkpoints."""
    preset: str = "laptop"
    """Model preset, see `training.config.PRESETS`."""
    model: Mapping[str, int | float] = field(default_factory=dict)
    """Fields of the preset to replace. `vocab_size` follows the shards unless it is given."""
    steps: int = 300
    """Optimiser steps of the whole run."""
    batch_sequences: int = 8
    """Sequences a step."""
    micro_batch: int = 8
    """Sequences a forward pass; gradients of `batch_sequences / micro_batch` passes are accumulated."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    final_learning_rate: float = 1e-4
    """Learning rate at the end of the decay."""
    warmup_steps: int = 20
    """Steps of linear warm-up."""
    constant_fraction: float = 0.6
    """Part of the run at the peak rate; a cosine leads to the final rate at the run's end."""
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
    """CPU threads. Another number may change the last bits of every result."""
    checkpoint_every: int = 100
    """Steps between checkpoints; the last step always writes one."""
    keep_checkpoints: int = 2
    """Newest checkpoints that are kept."""
    evaluate_every: int = 100
    """Steps between measurements on held-back sequences; the last step always makes one."""
    evaluation_sequences: int = 64
    """Held-back sequences that are measured."""

    def __post_init__(self) -> None:
        def require(law: bool, what: str, mend: str) -> None:
            if not law:
                raise UserError(what, where="training settings", mend=mend)

        whole = ("steps", "batch_sequences", "micro_batch", "threads", "checkpoint_every", "keep_checkpoints")
        for name in (*whole, "evaluate_every", "evaluation_sequences", "learning_rate", "clip"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}", "give a positive number")
        for name in ("final_learning_rate", "warmup_steps", "weight_decay", "mtp_weight", "late_mtp_weight"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "give 0 or more")
        for name in ("balance_alpha", "bias_speed", "seed"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}", "give 0 or more")
        require(0 <= self.constant_fraction <= 1, "constant_fraction is not a fraction", "give 0 to 1")
        even = self.batch_sequences % self.micro_batch == 0
        require(even, "micro_batch does not divide batch_sequences", "choose a divisor")
        Plan.of(self.mixture, self.phases)  # raises for what is none

    @property
    def plan(self) -> Plan | None:
        """What mixture and phases ask for; None when they ask for nothing."""
        return Plan.of(self.mixture, self.phases)


RECIPES: dict[str, dict[str, Any]] = {
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
