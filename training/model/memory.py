"""Bytes that training needs on one rank: weights, gradients, optimiser, average, activations.

For choosing a layout before anything is started. State follows from the number of parameters and a type for each role;
activations from `training/model/activations.py`. Roles are those of mixed-precision training (Micikevicius et al. 2018,
section 3.1): weights that are computed with, master weights that are updated. V3 has BF16 weights, FP32 masters and
gradients, BF16 moments (section 3.3.3) and an average of the weights in CPU memory (section 3.2.3). Routers compute in
FP32 whatever the rest does (`training/precision.py`), with the masters themselves.

Ranks are data-parallel. ZeRO stage 1 (Rajbhandari et al. 2020, section 5.1) gives each the masters, moments and average
of its part of the parameters, an N-th; weights and gradients stay whole. Expert and pipeline ranks, which V3
needs to fit anywhere, are not modelled. Nor are communication buffers, the allocator's gaps and the CUDA context (a few
GB together on a GPU): leave a tenth free.
"""

from dataclasses import dataclass

from corpusmill.dataproc.errors import UserError
from corpusmill.training.model.activations import Numerics, activations, workspace
from corpusmill.training.model.config import ModelConfig, parameters

TYPE_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class MemoryLayout:
    """How a run is laid out. Raises UserError for one that cannot be."""

    ranks: int = 1
    """Data-parallel processes, N."""
    zero: int = 0
    """ZeRO stage: 0 every rank has everything; 1 master weights, moments and average are shared out."""
    sequence_length: int = 4096
    """Tokens of a sequence, T."""
    micro_batch: int = 1
    """Sequences of one forward pass, B."""
    weights: str = "bfloat16"
    """Type of weights and activations."""
    master_weights: str = "float32"
    """Type of what the optimiser updates. The weights' own type: there is no second copy."""
    gradients: str = "float32"
    """Type that gradients are accumulated in."""
    moments: str = "bfloat16"
    """Type of AdamW's two moments."""
    average: str | None = "float32"
    """Type of the moving average of the weights in CPU memory; None: there is none."""
    recompute: bool = False
    """Whether norms, MLA's up-projections and SwiGLU are recomputed in the backward pass."""
    fused_norms: bool = True
    """Whether RMSNorm is one kernel, as on GPUs; False is torch on a CPU."""
    fp8: bool = False
    """Whether layers multiply in FP8 and keep their inputs in it; weights are BF16 then."""

    def __post_init__(self) -> None:
        def require(law: bool, what: str, hint: str) -> None:
            if not law:
                raise UserError(what, where="memory layout", hint=hint)

        for name in ("ranks", "sequence_length", "micro_batch"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}", "give a positive number")
        require(self.zero in (0, 1), f"ZeRO stage {self.zero} is not known here", "choose 0 or 1")
        for name in ("weights", "master_weights", "gradients", "moments", "average"):
            kind = getattr(self, name)
            known = kind in TYPE_BYTES or (name == "average" and kind is None)
            require(known, f"{name} cannot be {kind}", f"choose one of {', '.join(TYPE_BYTES)}")
        require(not self.fp8 or self.weights == "bfloat16", "FP8 goes with BF16 weights", "give weights bfloat16")


FLOAT32 = {"weights": "float32", "master_weights": "float32", "gradients": "float32", "moments": "float32"}
"""Types of a run without mixed precision: 16 bytes a parameter."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one rank."""

    weights: int
    master_weights: int
    gradients: int
    moments: int
    activations: dict[str, int]
    """By part of the model."""
    workspace: int
    """The largest tensor that is only there for a while."""
    average: int
    """In CPU memory, not in the total. The snapshot that it is updated from takes as much again."""

    @property
    def state(self) -> int:
        """What stays from step to step."""
        return self.weights + self.master_weights + self.gradients + self.moments

    @property
    def total(self) -> int:
        """At the end of a forward pass, on the device."""
        return self.state + sum(self.activations.values()) + self.workspace


def memory(config: ModelConfig, layout: MemoryLayout) -> Memory:
    """Bytes a rank for a model under a layout. Shares are rounded up: the largest rank counts.

    Raises:
        UserError: sequences are too short to predict anything.
    """
    if layout.sequence_length < config.mtp_depth + 2:
        raise UserError("sequences are too short to predict anything", where="memory layout", hint="use longer ones")
    counted = parameters(config)
    trained = counted.total + counted.mtp_total
    routers = (config.n_moe_layers + config.mtp_depth) * config.n_routed_experts * config.dim
    own_masters = trained - routers if layout.master_weights != layout.weights else 0

    def share(count: int) -> int:
        """What the largest rank owns of so many numbers."""
        return -(-count // layout.ranks) if layout.zero else count

    numerics = Numerics(TYPE_BYTES[layout.weights], layout.fused_norms, layout.fp8)
    shape = (config, layout.micro_batch, layout.sequence_length, numerics)
    return Memory(
        weights=(trained - routers) * TYPE_BYTES[layout.weights] + routers * TYPE_BYTES["float32"],
        master_weights=share(own_masters) * TYPE_BYTES[layout.master_weights],
        gradients=trained * TYPE_BYTES[layout.gradients],
        moments=2 * share(trained) * TYPE_BYTES[layout.moments],
        activations={part: kept.bytes(layout.recompute) for part, kept in activations(*shape).items()},
        workspace=workspace(*shape, layout.recompute),
        average=share(trained) * TYPE_BYTES[layout.average] if layout.average else 0,
    )
