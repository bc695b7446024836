"""Seconds of a chunk: products, attention, memory traffic and communication of each kind of layer, on one kind of GPU.

A pass through a layer is taken apart into

    products     operations over the rate that products of V3's shapes reach (`training/simulate/hardware.py`)
    attention    operations of attention itself over its rate; its backward pass counts 2.5 times
    again        MLA's up-projections, or with `recompute=layers` everything, computed again
    gradients    reading and adding up FP32 gradients of weights that the rank holds, once a chunk
    the rest     norms, SwiGLU, quantisation, sorting rows, starts of kernels: seconds a token and width, by the
                 device's memory bandwidth

The rest is what no table has. It is calibrated, once for forward passes, for gradients of inputs and for gradients of
weights, so that V3's layout on H800 spends what DeepSeek published of it (`PARTS`); so is `stretch`, by which a
computation is slower in an overlapped pair, where 20 of 132 multiprocessors communicate. All four are solved for when
they are first needed, and follow from the other numbers here. For another layout or GPU they are the same numbers:
that is what the model assumes. A pass that is in no pair also waits for its communication.
"""

from dataclasses import dataclass, replace
from functools import cache
from statistics import mean

from corpusmill.training.model.config import preset
from corpusmill.training.model.dimensions import ModelConfig
from corpusmill.training.model.shares import ModelShare, share_parameters, whole
from corpusmill.training.simulate.actions import Kind
from corpusmill.training.simulate.events import StageTimes
from corpusmill.training.simulate.hardware import H800, Gpu
from corpusmill.training.simulate.hops import exchange
from corpusmill.training.simulate.layout import V3_REPORT, Layout
from corpusmill.training.simulate.published import PARTS

ATTENTION_BACKWARD = 2.5
"""Operations of attention's backward pass over those of its forward pass: five products for two."""
FLOAT = 4
V3_BATCH, V3_LENGTH = 15_360, 4096


@dataclass(frozen=True)
class Rest:
    """What is calibrated: seconds for a token, a layer and a unit of width on an H800, and the stretch of pairs."""

    forward: float = 0.0
    input: float = 0.0
    weight: float = 0.0
    stretch: float = 1.0


@dataclass(frozen=True)
class Passes:
    """Seconds of computation of one chunk: forward, for its input's gradient, for its weights' gradients."""

    forward: float
    input: float
    weight: float

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(self.forward + other.forward, self.input + other.input, self.weight + other.weight)

    @property
    def backward(self) -> float:
        """Both halves."""
        return self.input + self.weight


def known_passes(config: ModelConfig, share: ModelShare, layout: Layout, length: int, gpu: Gpu) -> Passes:
    """Of all that is in tables: products, attention, what is computed again, gradients added up."""
    c, tokens = config, layout.micro_batch * length // layout.context
    rate = gpu.fp8_products if layout.precision == "fp8" else gpu.bf16_products
    modules = share.mtp_modules(c)
    counted = share_parameters(c, share)
    tables = c.vocab_size * c.dim
    expert = 3 * c.dim * c.moe_inter_dim
    routed = share.expert_layers(c) * c.n_activated_experts * expert
    held_tables = tables * ((share.embedding or modules > 0) + share.head)
    products = 2 * tokens * (routed + counted.others - held_tables) / rate
    head = 2 * tokens * tables * (1 + modules) * share.head / gpu.bf16_products
    layers = share.layers + modules
    # Half of the matrix is masked; a rank with a part of the sequence's tokens sees the others' keys.
    core = tokens * layers * length * c.n_heads * (c.qk_head_dim + c.v_head_dim) / gpu.attention
    again = {
        "no": 0.0,
        "selective": 2 * tokens * layers * _up_projections(c) / rate,
        "layers": products + core,
    }[layout.recompute]
    added = 2 * FLOAT * counted.total / gpu.memory_bandwidth
    return Passes(
        forward=products + head + core,
        input=products + head + ATTENTION_BACKWARD * core + again,
        weight=products + head + added,
    )


def _up_projections(config: ModelConfig) -> int:
    """MLA's parameters that widen latents."""
    c = config
    return c.n_heads * (c.q_lora_rank * c.qk_head_dim + c.kv_lora_rank * (c.qk_nope_head_dim + c.v_head_dim))


def rest_passes(config: ModelConfig, share: ModelShare, layout: Layout, length: int, gpu: Gpu, rest: Rest) -> Passes:
    """Of all that is calibrated, in proportion to tokens, layers, width and the device's memory bandwidth."""
    tokens = layout.micro_batch * length // layout.context
    units = float(tokens * (share.layers + share.mtp_modules(config)) * config.dim)
    units *= H800.memory_bandwidth / gpu.memory_bandwidth
    again = rest.forward * (layout.recompute == "layers")
    return Passes(rest.forward * units, (rest.input + again) * units, rest.weight * units)


def network_seconds(config: ModelConfig, share: ModelShare, layout: Layout, length: int, gpu: Gpu) -> float:
    """Of dispatch and combine of one pass of a chunk, forward or backward."""
    tokens = layout.micro_batch * length // layout.context
    of_layer = exchange(config, layout.expert, gpu, layout.precision == "fp8").seconds(tokens, gpu)
    return share.expert_layers(config) * of_layer


def stage_times(
    config: ModelConfig, share: ModelShare, layout: Layout, length: int, gpu: Gpu, rest: Rest | None = None
) -> StageTimes:
    """Seconds of one stage's actions; `rest` is calibrated unless it is given."""
    rest = rest or calibrated()
    passes = known_passes(config, share, layout, length, gpu)
    passes += rest_passes(config, share, layout, length, gpu, rest)
    network = network_seconds(config, share, layout, length, gpu)
    back = network * (2 if layout.recompute == "layers" else 1)
    return StageTimes(
        forward=passes.forward + network,
        backward=passes.backward + back,
        input=passes.input + back,
        weight=passes.weight,
        paired_forward=passes.forward * rest.stretch,
        paired_backward=passes.backward * rest.stretch,
        network_forward=network,
        network_backward=back,
    )


def mean_parts() -> dict[Kind, float]:
    """Seconds of V3's mean chunk by kind, as published: the parts over how often a rank of its schedule does each.

    "1B" counts whole backward passes and gradients of inputs. Which rank Table 4 measured is not said: the mean of the
    16 is taken (the first alone would give pairs 3 % more and forward passes 15 % less).
    """
    programs = V3_REPORT.plan.programs(V3_REPORT.pipeline, V3_REPORT.micro_batches(V3_BATCH))
    counts = {kind: mean(sum(action.kind is kind for action in program) for program in programs) for kind in Kind}
    weight = PARTS.weight / counts[Kind.WEIGHT]
    return {
        Kind.FORWARD: PARTS.forward / counts[Kind.FORWARD],
        Kind.WEIGHT: weight,
        Kind.INPUT: (PARTS.backward - counts[Kind.BACKWARD] * weight) / (counts[Kind.BACKWARD] + counts[Kind.INPUT]),
        Kind.PAIR: PARTS.pairs / counts[Kind.PAIR],
    }


@cache
def calibrated() -> Rest:
    """What must be added to the tables for V3's mean chunk to take as long as published."""
    config = preset("v3-671b")
    all_of_it = replace(whole(config), expert_ranks=V3_REPORT.expert)
    case = (config, all_of_it, V3_REPORT, V3_LENGTH, H800)
    published, stages = mean_parts(), V3_REPORT.stages
    known, one = known_passes(*case), rest_passes(*case, Rest(1.0, 1.0, 1.0))
    network = network_seconds(*case)
    passes = Passes(
        forward=published[Kind.FORWARD] * stages - network,
        input=published[Kind.INPUT] * stages - network,
        weight=published[Kind.WEIGHT] * stages,
    )
    return Rest(
        forward=(passes.forward - known.forward) / one.forward,
        input=(passes.input - known.input) / one.input,
        weight=(passes.weight - known.weight) / one.weight,
        stretch=published[Kind.PAIR] * stages / (passes.forward + passes.backward),
    )
