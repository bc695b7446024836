"""A whole run from one step: hours, dollars, and what checkpoints, lost nodes and restarts cost.

Steps of a growing batch are shorter but not in proportion: the pipeline's filling and the optimiser cost the same in
each. So the run's time is a part for each step and a part for each token, from two simulated batches.

A checkpoint stops training only while tensors are copied to the CPU (`training/checkpoint/` writes them in a thread).
When a GPU fails, what was computed since the last checkpoint is lost, half an interval on average, and all GPUs wait
until the job stands again. The interval that loses least is Young's: sqrt(2 x copy x time between failures).
"""

from dataclasses import dataclass
from math import sqrt

from corpusmill.dataproc.errors import UserError
from corpusmill.training.model.memory import Memory
from corpusmill.training.schedule import planned_sequences
from corpusmill.training.simulate.hardware import Gpu
from corpusmill.training.simulate.step import SimulatedStep, Workload, simulate

HOUR = 3600.0


@dataclass(frozen=True)
class Surroundings:
    """What is assumed of the machines around the GPUs."""

    copy_bandwidth: float = 25e9
    """Bytes a second from one GPU to its CPU's memory: PCIe 5 at 40 %."""
    storage_bandwidth: float = 2e9
    """Bytes a second that a node reads or writes of shared storage."""
    start_seconds: float = 600.0
    """From a failure to running processes: noticed, node replaced, everything imported, NCCL joined."""
    gpu_hours_between_failures: float = 50_700.0
    """GPU-hours for each unexpected stop: 419 in 54 days of 16,384 GPUs (Llama 3's report, arXiv 2407.21783)."""


@dataclass(frozen=True)
class Length:
    """How long a run is: steps, the tokens that they see, and the batches that they have."""

    steps: int
    tokens: float
    """Of sequences, padding included."""


def length_of_run(
    tokens: float, work: Workload, first_batch_sequences: int | None = None, batch_ramp_tokens: int = 0
) -> Length:
    """The fewest steps that see so many tokens, the batch growing as `training/schedule.py` says."""
    if tokens < 1:
        raise UserError("a run needs at least one token", where="tokens", hint="give a positive number")
    least = first_batch_sequences or work.batch_sequences

    def seen(steps: int) -> int:
        batches = work.batch_sequences, first_batch_sequences, batch_ramp_tokens
        return planned_sequences(*batches, steps, work.sequence_length) * work.sequence_length

    fewest, most = 1, int(-(-tokens // (least * work.sequence_length)))
    while fewest < most:
        middle = (fewest + most) // 2
        fewest, most = (middle + 1, most) if seen(middle) < tokens else (fewest, middle)
    return Length(fewest, seen(fewest))


@dataclass(frozen=True)
class Campaign:
    """A run on one layout. Dollars are GPU-hours times a price."""

    step: SimulatedStep
    length: Length
    undisturbed_seconds: float
    """Of all steps."""
    checkpoint_bytes: int
    """Of the whole checkpoint."""
    checkpoint_seconds: float
    """That a checkpoint stops training."""
    write_seconds: float
    """That writing it takes beside training."""
    failures: float
    """Expected, in the whole run."""
    checkpoint_interval: float
    """Seconds between checkpoints."""
    restart_seconds: float
    """From a failure to the first new step: processes started, the checkpoint read."""
    dollars_an_hour: float

    @property
    def gpus(self) -> int:
        """Of the layout."""
        return self.step.layout.gpus

    @property
    def lost_seconds(self) -> float:
        """By one failure: half an interval to compute again, and the restart."""
        return self.checkpoint_interval / 2 + self.restart_seconds

    @property
    def checkpoints(self) -> float:
        """In the whole run."""
        return self.undisturbed_seconds / self.checkpoint_interval

    @property
    def seconds(self) -> float:
        """With checkpoints and failures."""
        return self.undisturbed_seconds + self.checkpoints * self.checkpoint_seconds + self.failures * self.lost_seconds

    @property
    def gpu_hours(self) -> float:
        """Of the steps alone, as DeepSeek's report counts."""
        return self.undisturbed_seconds * self.gpus / HOUR

    @property
    def gpu_hours_with_losses(self) -> float:
        """With checkpoints and failures."""
        return self.seconds * self.gpus / HOUR

    @property
    def gpu_hours_a_trillion(self) -> float:
        """Tokens."""
        return self.gpu_hours / self.length.tokens * 1e12

    @property
    def dollars(self) -> float:
        """Of the run, losses included."""
        return self.dollars_of(self.seconds)

    @property
    def dollars_a_million(self) -> float:
        """Tokens, losses included."""
        return self.dollars / self.length.tokens * 1e6

    def dollars_of(self, seconds: float) -> float:
        """Of all GPUs for so long."""
        return seconds * self.gpus / HOUR * self.dollars_an_hour


def price(
    step: SimulatedStep,
    work: Workload,
    gpu: Gpu,
    length: Length,
    dollars_an_hour: float | None = None,
    around: Surroundings | None = None,
) -> Campaign:
    """A run of this length in such steps."""
    around = around or Surroundings()
    seconds = _undisturbed(step, work, gpu, length)
    largest = max(_saved(memory) for memory in step.memory)
    total = sum(_saved(memory) for memory in step.memory) * step.layout.stage_ranks
    node_gpus = min(gpu.node_gpus, step.layout.gpus)
    stored = largest * node_gpus / around.storage_bandwidth
    copied = largest / around.copy_bandwidth
    between = around.gpu_hours_between_failures * HOUR / step.layout.gpus
    # No sooner than the one before is written.
    interval = max(sqrt(2 * copied * between), stored, step.seconds)
    return Campaign(
        step=step,
        length=length,
        undisturbed_seconds=seconds,
        checkpoint_bytes=total,
        checkpoint_seconds=copied,
        write_seconds=stored,
        failures=seconds / between,
        checkpoint_interval=interval,
        restart_seconds=around.start_seconds + stored,
        dollars_an_hour=gpu.dollars_an_hour if dollars_an_hour is None else dollars_an_hour,
    )


def _saved(memory: Memory) -> int:
    """What a rank writes: masters and moments that it owns; weights follow from the masters."""
    return memory.master_weights + memory.moments


def _undisturbed(step: SimulatedStep, work: Workload, gpu: Gpu, length: Length) -> float:
    """Seconds of all steps: so much for each step, so much for each token."""
    larger = Workload(work.config, work.sequence_length, 2 * work.batch_sequences)
    for_token = (simulate(larger, step.layout, gpu).seconds - step.seconds) / work.step_tokens
    for_step = step.seconds - for_token * work.step_tokens
    return length.steps * for_step + length.tokens * for_token
