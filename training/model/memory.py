"""Bytes that training needs on one rank: weights, gradients, optimiser, average, activations.

For choosing a layout before anything is started. State follows from the number of parameters and a type for each role;
activations from `training/model/activations.py`. Roles are those of mixed-precision training (Micikevicius et al. 2018,
section 3.1): weights that are computed with, master weights that are updated. V3 has BF16 weights, FP32 masters and
gradients, BF16 moments (section 3.3.3) and an average of the weights in CPU memory (section 3.2.3). Routers compute in
FP32 whatever the rest does (`training/precision.py`), with the masters themselves.

Ranks are data-parallel. ZeRO stage 1 (Rajbhandari et al. 2020, section 5.1) gives each the masters, moments and average
of its part of the parameters, an N-th; weights and gradients stay whole. Where pipelines and experts' ranks split the
model (`training/simulate/`), a rank holds one or two stages, each a share of it (`training/model/shares.py`), and
activations of as many micro-batches as the schedule keeps in flight. Communication buffers, the allocator's gaps and
the CUDA context (a few GB together on a GPU) are not modelled: leave a tenth free.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import add

from corpusmill.dataproc.errors import UserError
from corpusmill.training.model.activations import (
    Numerics,
    activations,
    largest_layer,
    layer_inputs,
    workspace,
)
from corpusmill.training.model.config import ModelConfig
from corpusmill.training.model.shares import ModelShare, share_parameters, whole

TYPE_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class MemoryLayout:
    """How a run is laid out. Raises UserError for one that cannot be."""

    ranks: int = 1
    """Processes that hold the same weights, N: data-parallel ones, experts apart."""
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
    whole_layers: bool = False
    """Whether a layer keeps its input alone and is run again in the backward pass, its exchange with other ranks'
    experts included. Others' trainers can; this one cannot yet."""
    fused_norms: bool = True
    """Whether RMSNorm is one kernel, as on GPUs; False is torch on a CPU."""
    fp8: bool = False
    """Whether layers multiply in FP8 and keep their inputs in it; weights are BF16 then."""
    expert_ranks: int = 1
    """Over how many of the processes routed experts are spread; each expert is on `ranks` over this many."""

    def __post_init__(self) -> None:
        def require(law: bool, what: str, hint: str) -> None:
            if not law:
                raise UserError(what, where="memory layout", hint=hint)

        for name in ("ranks", "sequence_length", "micro_batch", "expert_ranks"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}", "give a positive number")
        require(
            self.ranks % self.expert_ranks == 0,
            f"experts on {self.expert_ranks} of {self.ranks} ranks",
            "give a divisor of ranks",
        )
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


@dataclass(frozen=True)
class HeldStage:
    """A stage of a pipeline on one rank."""

    share: ModelShare
    in_flight: int = 1
    """Micro-batches whose activations it keeps at once."""


def memory(config: ModelConfig, layout: MemoryLayout, stages: Sequence[HeldStage] = ()) -> Memory:
    """Bytes a rank for a model under a layout. Shares are rounded up: the largest rank counts.

    Args:
        config: the model.
        layout: what is shared out, and in which types.
        stages: what of the model the rank holds; if left out, all of it and one micro-batch.

    Raises:
        UserError: sequences are too short to predict anything.
    """
    if layout.sequence_length < config.mtp_depth + 2:
        raise UserError("sequences are too short to predict anything", where="memory layout", hint="use longer ones")
    stages = stages or (HeldStage(replace(whole(config), expert_ranks=layout.expert_ranks)),)
    total_share = reduce(add, (stage.share for stage in stages))
    counted = share_parameters(config, total_share)
    expert_holders = layout.ranks // layout.expert_ranks

    def owned(routed: int, others: int) -> int:
        """What the largest rank owns of so many numbers."""
        return -(-routed // expert_holders) - (-others // layout.ranks) if layout.zero else routed + others

    own_masters = owned(counted.routed, counted.others - counted.routers)
    trained = owned(counted.routed, counted.others)
    numerics = Numerics(TYPE_BYTES[layout.weights], layout.fused_norms, layout.fp8)
    shape = (config, layout.micro_batch, layout.sequence_length, numerics)
    kept: dict[str, int] = {}
    for stage in stages:
        for part, size in _kept(*shape, stage.share, layout.recompute, layout.whole_layers):
            kept[part] = kept.get(part, 0) + size * stage.in_flight
    passing = workspace(*shape, layout.recompute)
    if layout.whole_layers:
        passing = max(passing, largest_layer(config, layout.micro_batch * layout.sequence_length, numerics))
    types = TYPE_BYTES[layout.weights]
    return Memory(
        weights=(counted.total - counted.routers) * types + counted.routers * TYPE_BYTES["float32"],
        master_weights=own_masters * TYPE_BYTES[layout.master_weights] * (layout.master_weights != layout.weights),
        gradients=counted.total * TYPE_BYTES[layout.gradients],
        moments=2 * trained * TYPE_BYTES[layout.moments],
        activations=kept,
        workspace=passing,
        average=trained * TYPE_BYTES[layout.average] if layout.average else 0,
    )


@lru_cache(maxsize=4096)
def _kept(
    config: ModelConfig,
    micro_batch: int,
    length: int,
    numerics: Numerics,
    share: ModelShare,
    recompute: bool,
    whole_layers: bool,
) -> tuple[tuple[str, int], ...]:
    """Bytes by part for one micro-batch; a search over layouts asks for the same shares again and again."""
    parts = activations(config, micro_batch, length, numerics, share)
    if not whole_layers:
        return tuple((part, kept.bytes(recompute)) for part, kept in parts.items())
    inputs = layer_inputs(config, micro_batch * length, numerics.element_bytes, share)
    ends = ("output head", "ids and RoPE table")
    return ("layers' inputs", inputs), *((part, parts[part].bytes(recompute)) for part in ends)
