"""The fastest layouts of so many GPUs that fit into their memory, found by trying all that make sense.

Degrees are powers of two that divide what they share out. Memory is asked first, since it costs no stepping through a
schedule: it leaves a few dozen of some hundred layouts, and each of these is simulated. Where nothing fits, the layouts
that come nearest are given, and how many GPUs of the kind would do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.training.simulate.hardware import Gpu
from corpusmill.training.simulate.layout import RECOMPUTE, Layout
from corpusmill.training.simulate.schedules import SCHEDULES
from corpusmill.training.simulate.step import (
    RESERVED,
    SimulatedStep,
    Workload,
    least_seconds,
    least_state_bytes,
    needed_bytes,
    simulate,
)

MOST_GPUS = 2**16
MICRO_BATCHES = (1, 2, 4)


@dataclass(frozen=True)
class Search:
    """What a search came to."""

    fitting: tuple[SimulatedStep, ...]
    """The fastest, fastest first."""
    tried: int
    fit: int
    """How many of these fit into memory."""
    nearest: SimulatedStep | None
    """Where nothing fits: the layout that needs the least memory."""


def search(work: Workload, gpu: Gpu, given: Mapping[str, Any], most: int = 5) -> Search:
    """The fastest layouts with these fields given and all others free.

    Each layout's time has a bound, what its busiest rank computes; they are stepped through in that order, until the
    next bound is above the slowest of the best `most`.

    Raises:
        UserError: not one suits model and batch.
    """
    limit = gpu.memory_bytes * (1 - RESERVED)
    layouts = list(candidates(work, gpu, given))
    if not layouts:
        raise UserError(
            f"no layout of {given['gpus']} GPUs suits this model and a batch of {work.batch_sequences:,} sequences",
            where="layout",
            hint="change gpus, batch_sequences, or the fields given for the layout",
        )
    fit = [layout for layout in layouts if _fits(work, layout, gpu, limit)]
    if not fit:
        nearest = min(layouts, key=lambda layout: needed_bytes(work, layout, gpu))
        return Search((), len(layouts), 0, simulate(work, nearest, gpu))
    best: list[SimulatedStep] = []
    for bound, layout in sorted(
        ((least_seconds(work, layout, gpu), layout) for layout in fit), key=lambda pair: pair[0]
    ):
        if len(best) == most and bound > best[-1].seconds:
            break
        best = sorted([*best, simulate(work, layout, gpu)], key=lambda step: (step.seconds, step.memory_bytes))[:most]
    return Search(tuple(best), len(layouts), len(fit), None)


SEARCHED = ("pipeline", "expert", "schedule")
"""What a layout must say for nothing to be left to search; all else has a default."""


def says_all(given: Mapping[str, Any]) -> bool:
    """Whether a layout's fields are one layout and not several."""
    return all(name in given for name in SEARCHED) or (given.get("pipeline") == 1 and "expert" in given)


def answer(work: Workload, gpu: Gpu, given: Mapping[str, Any], most: int = 5) -> Search:
    """The layout itself where it says everything, whether it fits or not; otherwise what a search finds."""
    if not says_all(given):
        return search(work, gpu, given, most)
    step = simulate(work, Layout(**given), gpu)
    fits = step.fits(gpu)
    return Search((step,) if fits else (), 1, int(fits), None if fits else step)


def fewest_gpus(work: Workload, gpu: Gpu, given: Mapping[str, Any]) -> int | None:
    """From `gpus` on, doubled until something fits; None: nothing up to 65,536 does."""
    gpus = int(given["gpus"])
    while gpus <= MOST_GPUS:
        limit = gpu.memory_bytes * (1 - RESERVED)
        if any(_fits(work, layout, gpu, limit) for layout in candidates(work, gpu, {**given, "gpus": gpus})):
            return gpus
        gpus *= 2
    return None


def candidates(work: Workload, gpu: Gpu, given: Mapping[str, Any]) -> Iterator[Layout]:
    """All layouts that agree with what is given, and that model and batch suit."""
    gpus = int(given["gpus"])
    for pipeline in _choices("pipeline", given, _powers(gpus, work.config.n_layers)):
        stage_ranks = max(1, gpus // pipeline)
        schedules = tuple(SCHEDULES) if pipeline > 1 else ("1f1b",)
        for expert in _choices("expert", given, _powers(stage_ranks, work.config.n_routed_experts)):
            for schedule in _choices("schedule", given, schedules):
                for micro_batch in _choices("micro_batch", given, MICRO_BATCHES):
                    for recompute in _choices("recompute", given, RECOMPUTE):
                        changed = {
                            **given,
                            "pipeline": pipeline,
                            "expert": expert,
                            "schedule": schedule,
                            "micro_batch": micro_batch,
                            "recompute": recompute,
                        }
                        try:
                            layout = Layout(**changed)
                            layout.check(work.config, work.sequence_length, work.batch_sequences)
                        except UserError:
                            continue
                        yield layout


def _fits(work: Workload, layout: Layout, gpu: Gpu, limit: float) -> bool:
    """Whether the fullest rank is within the limit; weights and gradients alone often are not."""
    return least_state_bytes(work, layout) <= limit and needed_bytes(work, layout, gpu) <= limit


def _choices(name: str, given: Mapping[str, Any], free: tuple[Any, ...]) -> tuple[Any, ...]:
    return (given[name],) if name in given else free


def _powers(whole: int, most: int) -> tuple[int, ...]:
    """Powers of two that divide `whole`, up to `most`."""
    return tuple(1 << place for place in range(most.bit_length()) if whole % (1 << place) == 0 and 1 << place <= most)
