"""One step of a layout: its pipeline stepped through, gradients summed, the optimiser, and memory on the fullest rank.

Two things are not stepped through. Gradients are summed and new weights spread after the last micro-batch (ZeRO-1), by
what the ranks that hold the same weights have to move between nodes. And a pipeline with more micro-batches than
`MOST_STEPPED` is stepped through for two smaller counts and carried on along the line through them: once a pipeline is
full each further micro-batch adds the same time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from corpusmill.training.model.config import ModelConfig, flops_per_token
from corpusmill.training.model.memory import HeldStage, Memory, MemoryLayout, memory
from corpusmill.training.model.shares import ModelShare, share_parameters, whole
from corpusmill.training.simulate.actions import Kind, Program
from corpusmill.training.simulate.costs import stage_times
from corpusmill.training.simulate.events import StageTimes, Timeline, most_in_flight, run
from corpusmill.training.simulate.hardware import Gpu
from corpusmill.training.simulate.hops import BF16, LATENCY
from corpusmill.training.simulate.layout import Layout
from corpusmill.training.simulate.placement import place

MOST_STEPPED = 160
FLOAT = 4
OPTIMIZER_BYTES = 20
"""Read and written a parameter that a rank owns: master 4 + 4, gradient 4, BF16 moments 2 x (2 + 2)."""
RESERVED = 0.1
"""Of a device's memory: buffers of communication, the allocator's gaps, the CUDA context."""


@dataclass(frozen=True)
class Workload:
    """What is trained, and in which steps."""

    config: ModelConfig
    sequence_length: int = 4096
    batch_sequences: int = 15_360

    @property
    def step_tokens(self) -> int:
        """Tokens of a whole batch."""
        return self.sequence_length * self.batch_sequences


@dataclass(frozen=True)
class SimulatedStep:
    """What one step takes."""

    layout: Layout
    shares: tuple[ModelShare, ...]
    """Of each stage."""
    pipeline_seconds: float
    by_kind: dict[Kind, float]
    """Seconds of the mean rank by what it does."""
    bubble_seconds: float
    """Of the mean rank: all the rest of the pipeline's time."""
    slowest_rank_seconds: float
    """That the busiest rank computes: no schedule is faster."""
    optimizer_seconds: float
    network_share: float
    """Communication with experts over computation, in a mean layer's forward pass."""
    memory: tuple[Memory, ...]
    """Of each rank of the pipeline."""
    tokens: int

    @property
    def seconds(self) -> float:
        """Of the step."""
        return self.pipeline_seconds + self.optimizer_seconds

    @property
    def tokens_a_second(self) -> float:
        """A GPU."""
        return self.tokens / self.seconds / self.layout.gpus

    @property
    def fullest(self) -> int:
        """The rank that needs the most memory."""
        return max(range(len(self.memory)), key=lambda rank: self.memory[rank].total)

    @property
    def memory_bytes(self) -> int:
        """Of that rank."""
        return self.memory[self.fullest].total

    def fits(self, gpu: Gpu) -> bool:
        """Whether that is in the device's memory, a tenth left free."""
        return self.memory_bytes <= gpu.memory_bytes * (1 - RESERVED)

    def mfu(self, config: ModelConfig, sequence_length: int, gpu: Gpu, causal: bool = True) -> float:
        """By DeepSeek's convention: no MTP, no recomputation, the dense BF16 peak."""
        return flops_per_token(config, sequence_length, causal) * self.tokens_a_second / gpu.peak_bf16


def simulate(work: Workload, layout: Layout, gpu: Gpu) -> SimulatedStep:
    """Prices one step. Raises UserError for a layout that the model or the batch doesn't suit."""
    config, length = work.config, work.sequence_length
    layout.check(config, length, work.batch_sequences)
    shares = list(place_stages(work, layout, gpu))
    times = [stage_times(config, share, layout, length, gpu) for share in shares]
    micro_batches = layout.micro_batches(work.batch_sequences)
    seconds, by_kind, busiest = _pipeline(layout, micro_batches, times, send_seconds(work, layout, gpu))
    busy = sum(by_kind.values())
    forward = sum(time.forward for time in times)
    network = sum(time.network_forward for time in times)
    return SimulatedStep(
        layout=layout,
        shares=tuple(shares),
        pipeline_seconds=seconds,
        by_kind=by_kind,
        bubble_seconds=seconds - busy,
        slowest_rank_seconds=busiest,
        optimizer_seconds=optimizer_seconds(config, layout, shares, gpu),
        network_share=network / (forward - network),
        memory=rank_memory(work, layout, gpu),
        tokens=work.step_tokens,
    )


@lru_cache(maxsize=4096)
def place_stages(work: Workload, layout: Layout, gpu: Gpu) -> tuple[ModelShare, ...]:
    """The layers of each stage."""

    def seconds(share: ModelShare) -> float:
        times = stage_times(work.config, share, layout, work.sequence_length, gpu)
        return times.paired_forward + times.paired_backward if layout.plan.overlaps else times.forward + times.backward

    return tuple(place(work.config, layout, seconds))


def send_seconds(work: Workload, layout: Layout, gpu: Gpu) -> float:
    """Of a chunk's activations to the next rank: another node, as V3's stages are."""
    tokens = layout.micro_batch * work.sequence_length // layout.context
    return LATENCY + BF16 * work.config.dim * tokens / gpu.network if layout.pipeline > 1 else 0.0


def timeline(work: Workload, layout: Layout, gpu: Gpu) -> Timeline:
    """All actions of a step, for its picture."""
    shares = place_stages(work, layout, gpu)
    times = [stage_times(work.config, share, layout, work.sequence_length, gpu) for share in shares]
    programs = layout.plan.programs(layout.pipeline, layout.micro_batches(work.batch_sequences))
    return run(programs, times, send_seconds(work, layout, gpu))


def _pipeline(
    layout: Layout, micro_batches: int, times: list[StageTimes], send: float
) -> tuple[float, dict[Kind, float], float]:
    """(seconds, of the mean rank by kind, of the busiest rank)."""

    def stepped(count: int) -> tuple[float, dict[Kind, float], float]:
        line = run(programs_of(layout.plan.name, layout.pipeline, count), times, send)
        ranks = range(layout.pipeline)
        kinds = [line.by_kind(rank) for rank in ranks]
        means = {kind: sum(of[kind] for of in kinds) / layout.pipeline for kind in Kind}
        return line.seconds, means, max(line.busy(rank) for rank in ranks)

    most = max(MOST_STEPPED, 8 * layout.pipeline)
    if micro_batches <= most:
        return stepped(micro_batches)
    less, more = most // 2 - most // 2 % 2 + micro_batches % 2, most + micro_batches % 2
    (first, kinds, busiest), (second, further_kinds, further_busiest) = stepped(less), stepped(more)
    times_further = (micro_batches - more) / (more - less)

    def on(before: float, after: float) -> float:
        return after + (after - before) * times_further

    return (
        on(first, second),
        {kind: on(kinds[kind], further_kinds[kind]) for kind in Kind},
        on(busiest, further_busiest),
    )


@cache
def programs_of(schedule: str, ranks: int, micro_batches: int) -> list[Program]:
    """A schedule's programs, made once: a search steps through the same ones many times."""
    return Layout(gpus=ranks, pipeline=ranks, schedule=schedule).plan.programs(ranks, micro_batches)


@cache
def in_flight(schedule: str, ranks: int) -> tuple[dict[int, int], ...]:
    """Micro-batches in flight by rank and stage, once there are enough to fill the pipeline."""
    return tuple(most_in_flight(program) for program in programs_of(schedule, ranks, 4 * ranks))


@lru_cache(maxsize=4096)
def rank_memory(work: Workload, layout: Layout, gpu: Gpu) -> tuple[Memory, ...]:
    """Memory of each rank of a pipeline, by the model that `train --describe` uses."""
    plan, shares = layout.plan, place_stages(work, layout, gpu)
    kept = in_flight(plan.name, layout.pipeline)
    spread = MemoryLayout(
        ranks=layout.stage_ranks * plan.copies,
        expert_ranks=layout.expert,
        zero=1,
        sequence_length=work.sequence_length // layout.context,
        micro_batch=layout.micro_batch,
        fp8=layout.precision == "fp8",
        recompute=layout.recompute == "selective",
        whole_layers=layout.recompute == "layers",
    )
    return tuple(
        memory(
            work.config,
            spread,
            [HeldStage(shares[stage], kept[rank].get(stage, 0)) for stage in plan.stages(rank, layout.pipeline)],
        )
        for rank in range(layout.pipeline)
    )


def needed_bytes(work: Workload, layout: Layout, gpu: Gpu) -> int:
    """Of the fullest rank."""
    return max(memory.total for memory in rank_memory(work, layout, gpu))


def least_state_bytes(work: Workload, layout: Layout) -> float:
    """What weights and gradients alone come to on the mean rank."""
    counted = share_parameters(work.config, replace(whole(work.config), expert_ranks=layout.expert))
    return (BF16 + FLOAT) * counted.total * layout.plan.copies / layout.pipeline


def least_seconds(work: Workload, layout: Layout, gpu: Gpu) -> float:
    """A bound: what the busiest rank computes, if nothing ever waits and all that can overlap does."""
    plan, shares = layout.plan, place_stages(work, layout, gpu)
    times = [stage_times(work.config, share, layout, work.sequence_length, gpu) for share in shares]

    def chunk(time: StageTimes) -> float:
        both = time.forward + time.input + time.weight
        if not plan.overlaps:
            return both
        network = time.network_forward + time.network_backward
        return min(both, max(time.paired_forward + time.paired_backward, network))

    loads = [
        sum(chunk(times[stage]) for stage in plan.stages(rank, layout.pipeline)) for rank in range(layout.pipeline)
    ]
    return max(loads) * layout.micro_batches(work.batch_sequences) / plan.copies


def optimizer_seconds(config: ModelConfig, layout: Layout, shares: Sequence[ModelShare], gpu: Gpu) -> float:
    """Gradients reduced, weights moved, new weights gathered, on the rank that takes longest.

    Holders of the same weights are on different nodes for experts, and for all else on as many as there are: what
    leaves a node is shared out to its GPUs.
    """
    slowest = 0.0
    for rank in range(layout.pipeline):
        stages = layout.plan.stages(rank, layout.pipeline)
        share = shares[stages[0]] if len(stages) == 1 else shares[stages[0]] + shares[stages[1]]
        counted = share_parameters(config, share)
        seconds = 0.0
        for count, spread in ((counted.routed, layout.expert), (counted.others, 1)):
            holders = layout.stage_ranks * layout.plan.copies // spread
            moved = count * (FLOAT + BF16) * (1 - 1 / holders)
            together = max(1, min(gpu.node_gpus // spread, holders)) if spread < gpu.node_gpus else 1
            crossing = moved / together if holders > together else 0.0
            seconds += max(crossing / gpu.network, moved / gpu.nvlink if together > 1 else 0.0)
            seconds += OPTIMIZER_BYTES * count / holders / gpu.memory_bandwidth
        slowest = max(slowest, seconds)
    return slowest
