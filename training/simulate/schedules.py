"""Pipeline schedules as programs, one a rank: 1F1B, zero bubble (ZB1P), ZB-V, DualPipe and DualPipeV.

    1F1B        Narayanan et al. 2021 (arXiv 2104.04473): one stage a rank, whole backward passes
    ZB1P        Qi et al. 2023 (arXiv 2401.10241), ZB-H1: as 1F1B, but weights' gradients fill the gaps
    ZB-V        Qi et al. 2024 (arXiv 2405.15362): two stages a rank, laid out as a V
    DualPipe    DeepSeek-V3, section 3.2.1: micro-batches from both ends, two copies of the model, overlapped pairs
    DualPipeV   the same in half: a V of twice as many stages as ranks, one copy of the model

DualPipe and DualPipeV are one program of eight steps; they differ only in which stage and micro-batch a rank's first
and second chunk are. What a schedule needs (even numbers, enough micro-batches) is checked here, and told as a user's
mistake.
"""

from collections.abc import Callable
from dataclasses import dataclass

from corpusmill.dataproc.errors import UserError
from corpusmill.training.simulate.actions import Chunk, Program, Recorder


@dataclass(frozen=True)
class Schedule:
    """How a pipeline's ranks share their work."""

    name: str
    title: str
    """As its paper calls it."""
    programs: Callable[[int, int], list[Program]]
    """(ranks, micro-batches) to a program a rank."""
    stages: Callable[[int, int], tuple[int, ...]]
    """(rank, ranks) to the stages whose weights it holds."""
    stages_a_rank: int = 1
    """Into how many stages the model is cut, for each rank."""
    copies: int = 1
    """How many ranks of a pipeline hold the same stage."""
    overlaps: bool = False
    """Whether communication hides behind another chunk's computation in pairs."""
    fewest_micro_batches: int = 1
    """For each rank."""
    even: bool = False
    """Whether ranks and micro-batches must be even."""

    def check(self, ranks: int, micro_batches: int) -> None:
        """Raises UserError for numbers that the schedule cannot work with."""
        where = f"schedule {self.name}"
        if self.even and (ranks % 2 or micro_batches % 2):
            what = f"{ranks} pipeline ranks and {micro_batches} micro-batches"
            raise UserError(f"{what} are not both even", where=where, hint="give even numbers")
        least = self.fewest_micro_batches * ranks
        if micro_batches < max(1, least):
            what = f"{micro_batches} micro-batches a pipeline are too few for {ranks} ranks"
            raise UserError(what, where=where, hint=f"give {max(1, least)} or more: fewer pipelines, a larger batch")


def one_forward_one_backward(ranks: int, micro_batches: int) -> list[Program]:
    """1F1B: as many forward passes first as there are ranks behind, then one of each in turn."""
    programs = []
    for rank in range(ranks):
        first, recorder = min(ranks - 1 - rank, micro_batches), Recorder()
        for micro_batch in range(first):
            recorder.forward(Chunk(rank, micro_batch))
        for done in range(micro_batches):
            if first + done < micro_batches:
                recorder.forward(Chunk(rank, first + done))
            recorder.backward(Chunk(rank, done))
        programs.append(recorder.program)
    return programs


def zero_bubble(ranks: int, micro_batches: int) -> list[Program]:
    """ZB1P: rank r puts off the gradients of r micro-batches' weights, and computes them while others finish."""
    programs = []
    for rank in range(ranks):
        first, recorder = min(ranks - 1 - rank, micro_batches), Recorder()
        for micro_batch in range(first):
            recorder.forward(Chunk(rank, micro_batch))
        for done in range(micro_batches):
            if first + done < micro_batches:
                recorder.forward(Chunk(rank, first + done))
            recorder.input(Chunk(rank, done))
            if done >= rank:
                recorder.weight()
        recorder.all_weights()
        programs.append(recorder.program)
    return programs


def zero_bubble_v(ranks: int, micro_batches: int) -> list[Program]:
    """ZB-V: down the ranks and up again, so that the first rank also has the last stage and begins to go back first."""
    programs = []
    for rank in range(ranks):
        down, up, recorder = rank, 2 * ranks - 1 - rank, Recorder()
        forward, backward = {down: 0, up: 0}, {down: 0, up: 0}

        def go(stage: int, counts: dict[int, int] = forward, recorder: Recorder = recorder) -> None:
            recorder.forward(Chunk(stage, counts[stage]))
            counts[stage] += 1

        def back(stage: int, counts: dict[int, int] = backward, recorder: Recorder = recorder) -> None:
            recorder.input(Chunk(stage, counts[stage]))
            counts[stage] += 1

        for _ in range(2 * (ranks - rank) - 1):
            go(down)
        for _ in range(rank):
            go(up)
            go(down)
        for _ in range(ranks - rank):
            go(up)
            back(up)
            recorder.weight()
        while forward[up] < micro_batches:
            if forward[down] < micro_batches:
                go(down)
            back(down)
            recorder.weight()
            go(up)
            back(up)
            recorder.weight()
        for _ in range(rank):
            back(down)
            back(up)
        while backward[down] < micro_batches:
            back(down)
            recorder.weight()
        recorder.all_weights()
        programs.append(recorder.program)
    return programs


def eight_steps(
    place: int, depth: int, count: int, first: Callable[[int], Chunk], second: Callable[[int], Chunk]
) -> Program:
    """DualPipe's program of the rank at `place` of `depth`, counted from the end that its first chunks come from.

    Args:
        place: 0 is the end; `depth - 1` the middle.
        depth: ranks from an end to the middle.
        count: chunks of each of the two kinds.
        first: the n-th chunk from this end.
        second: the n-th from the other (DualPipe), or of the way back (DualPipeV).
    """
    recorder, behind, middle = Recorder(), depth - place - 1, place == depth - 1
    forward, backward = [0, 0], [0, 0]

    def taken(counts: list[int], kind: int) -> Chunk:
        counts[kind] += 1
        return (first, second)[kind](counts[kind] - 1)

    def go(kind: int) -> None:
        recorder.forward(taken(forward, kind))

    def back(kind: int, split: bool = False) -> None:
        (recorder.input if split else recorder.backward)(taken(backward, kind))

    def both(ahead: int, behind_kind: int) -> None:
        recorder.pair(taken(forward, ahead), taken(backward, behind_kind))

    for _ in range(2 * behind):  # 1: forward, from this end
        go(0)
    for _ in range(place + 1):  # 2: forward, from both ends in turn
        go(0)
        go(1)
    for _ in range(behind):  # 3: backward begins; weights' gradients fill the wait
        back(1, split=True)
        recorder.weight()
        go(1)
    for number in range(count - 2 * depth + place + 1):  # 4: overlapped pairs, the long middle
        if number == 0 and middle:
            go(0)
            back(1)
        else:
            both(0, 1)
        both(1, 0)
    for _ in range(behind):  # 5: this end has nothing new to go forward
        back(1)
        both(1, 0)
    for number in range(place + 1):  # 6: backward only; from its half on, weights' gradients are put off
        half = (place + 1) // 2
        back(1, split=number > half or (number == half and place % 2 == 1))
        back(0, split=number >= half)
    for _ in range(behind):  # 7: weights' gradients fill the wait for the last backward passes
        recorder.weight()
        back(0, split=True)
    recorder.all_weights()  # 8
    return recorder.program


def _numbered(stage: int, first: int = 0) -> Callable[[int], Chunk]:
    """The n-th chunk of a stage, micro-batches counted from `first`."""
    return lambda number: Chunk(stage, first + number)


def dual_pipe(ranks: int, micro_batches: int) -> list[Program]:
    """DualPipe: half of the micro-batches from each end; rank r holds stages r and P - 1 - r."""
    half, programs = micro_batches // 2, []
    for rank in range(ranks):
        place = min(rank, ranks - 1 - rank)
        from_start, from_end = _numbered(rank), _numbered(ranks - 1 - rank, half)
        near, far = (from_start, from_end) if rank < ranks // 2 else (from_end, from_start)
        programs.append(eight_steps(place, ranks // 2, half, near, far))
    return programs


def dual_pipe_v(ranks: int, micro_batches: int) -> list[Program]:
    """DualPipeV: all micro-batches go down the ranks and up again; rank r holds stages r and 2P - 1 - r."""
    return [
        eight_steps(
            rank,
            ranks,
            micro_batches,
            _numbered(rank),
            _numbered(2 * ranks - 1 - rank),
        )
        for rank in range(ranks)
    ]


def _one(rank: int, ranks: int) -> tuple[int, ...]:
    return (rank,)


def _mirrored(rank: int, ranks: int) -> tuple[int, ...]:
    return (rank, ranks - 1 - rank)


def _v(rank: int, ranks: int) -> tuple[int, ...]:
    return (rank, 2 * ranks - 1 - rank)


SCHEDULES = {
    schedule.name: schedule
    for schedule in (
        Schedule("1f1b", "1F1B", one_forward_one_backward, _one, fewest_micro_batches=1),
        Schedule("zb1p", "ZB1P", zero_bubble, _one, fewest_micro_batches=1),
        Schedule("zbv", "ZB-V", zero_bubble_v, _v, stages_a_rank=2, fewest_micro_batches=2),
        Schedule(
            "dualpipe", "DualPipe", dual_pipe, _mirrored, copies=2, overlaps=True, fewest_micro_batches=2, even=True
        ),
        Schedule("dualpipev", "DualPipeV", dual_pipe_v, _v, stages_a_rank=2, overlaps=True, fewest_micro_batches=2),
    )
}


def schedule_named(name: str) -> Schedule:
    """Raises UserError for a name that is none."""
    if name not in SCHEDULES:
        raise UserError(f"unknown schedule '{name}'", hint=f"choose one of {', '.join(SCHEDULES)}")
    return SCHEDULES[name]
