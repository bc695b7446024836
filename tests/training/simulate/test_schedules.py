"""Schedules against the bubbles and the memory of their papers, and against the laws that every schedule keeps."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.training.simulate.actions import Chunk, Kind
from corpusmill.training.simulate.events import StageTimes, Timeline, most_in_flight, run
from corpusmill.training.simulate.schedules import SCHEDULES, schedule_named

RANKS = st.sampled_from([2, 4, 6, 8])
SECONDS = st.integers(1, 9)
FEW = settings(max_examples=12, deadline=None)
SPACE = st.integers(0, 6).map(lambda number: 2 * number)


def stepped(name: str, ranks: int, micro_batches: int, forward: int, inputs: int, weight: int, pair: int) -> Timeline:
    schedule = SCHEDULES[name]
    times = StageTimes(forward, inputs + weight, inputs, weight, paired_forward=pair)
    return run(schedule.programs(ranks, micro_batches), [times] * (ranks * schedule.stages_a_rank))


def bubbles(line: Timeline) -> set[float]:
    return {line.bubble(rank) for rank in range(len(line.ranks))}


@given(RANKS, SPACE, SECONDS, SECONDS, SECONDS)
@FEW
def test_1f1b_idles_p_minus_1_times_f_and_b(ranks: int, more: int, forward: int, inputs: int, weight: int):
    line = stepped("1f1b", ranks, ranks + more, forward, inputs, weight, 0)
    assert bubbles(line) == {(ranks - 1) * (forward + inputs + weight)}


@given(RANKS, SPACE, SECONDS, SECONDS)
@FEW
def test_zb1p_idles_p_minus_1_times_f_and_b_less_2w(ranks: int, more: int, chunk: int, less: int):
    weight = max(1, chunk - less)  # the paper's formula is of weights' gradients that take no longer than the others
    line = stepped("zb1p", ranks, 2 * ranks + more, chunk, chunk, weight, 0)
    assert bubbles(line) == {(ranks - 1) * (chunk + (chunk + weight) - 2 * weight)}


@given(RANKS, SPACE, SECONDS)
@FEW
def test_zbv_only_fills_and_drains_where_all_three_take_as_long(ranks: int, more: int, chunk: int):
    assert bubbles(stepped("zbv", ranks, 2 * ranks + more, chunk, chunk, chunk, 0)) == {(ranks - 1) * chunk}


@given(RANKS, SPACE, SECONDS, SECONDS)
@FEW
def test_dualpipe_idles_half_p_minus_1_times_pair_and_b_less_3w(ranks: int, more: int, chunk: int, less: int):
    weight = max(1, chunk - less)
    pair, backward = 2 * chunk + weight, chunk + weight
    line = stepped("dualpipe", ranks, 2 * ranks + more, chunk, chunk, weight, pair)
    assert bubbles(line) == {(ranks // 2 - 1) * (pair + backward - 3 * weight)}
    v = stepped("dualpipev", ranks, 2 * ranks + more, chunk, chunk, weight, pair)
    assert bubbles(v) == {(ranks - 1) * (pair + backward - 3 * weight)}, "half as many ranks of as many stages"


def test_memory_is_that_of_the_papers():
    for ranks, count in ((4, 16), (8, 20)):
        kept = {
            name: [sum(most_in_flight(program).values()) for program in schedule.programs(ranks, count)]
            for name, schedule in SCHEDULES.items()
        }
        assert kept["1f1b"] == [ranks - rank for rank in range(ranks)]
        assert kept["zb1p"] == [ranks] * ranks
        assert kept["zbv"] == [2 * ranks] * ranks, "of stages half as large"
        assert kept["dualpipe"] == [ranks + 1] * ranks
        assert kept["dualpipev"] == [2 * ranks + 1] * ranks, "of stages half as large"


@given(st.sampled_from(sorted(SCHEDULES)), RANKS, SPACE, SECONDS, SECONDS, SECONDS)
@FEW
def test_every_chunk_passes_every_stage_once_each_way(name: str, ranks: int, more: int, f: int, i: int, w: int):
    schedule, count = SCHEDULES[name], 2 * ranks + more
    programs = schedule.programs(ranks, count)
    forward, backward, weights = Counter(), Counter(), Counter()
    for rank, program in enumerate(programs):
        for action in program:
            forward[action.forward] += 1
            if action.kind is not Kind.WEIGHT:
                backward[action.backward] += 1
            if action.kind is not Kind.INPUT:
                weights[action.backward] += 1
            for chunk in filter(None, (action.forward, action.backward)):
                assert chunk.stage in schedule.stages(rank, ranks)
    stages = ranks * schedule.stages_a_rank
    every = {Chunk(stage, number): 1 for stage in range(stages) for number in range(count)}
    for counted in (forward, backward, weights):
        del counted[None]
        assert counted == every
    line = stepped(name, ranks, count, f, i, w, f + i + w)
    work = count * stages * (f + i + w) / ranks
    assert all(line.busy(rank) == work for rank in range(ranks))
    assert line.seconds >= work


@pytest.mark.parametrize(("name", "ranks", "count"), [("dualpipe", 3, 8), ("dualpipe", 4, 6), ("zbv", 4, 7)])
def test_numbers_that_a_schedule_cannot_work_with_are_refused(name: str, ranks: int, count: int):
    with pytest.raises(UserError):
        SCHEDULES[name].check(ranks, count)


def test_an_unknown_schedule_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match="gpipe"):
        schedule_named("gpipe")


def test_programs_that_wait_for_each_other_are_no_schedule():
    programs = SCHEDULES["1f1b"].programs(2, 4)
    with pytest.raises(ValueError, match="wait"):
        run([programs[0][::-1], programs[1]], [StageTimes(1, 2, 1, 1)] * 2)


def test_a_chunk_from_another_rank_arrives_later_by_the_time_of_sending():
    times, programs = [StageTimes(1, 2, 1, 1)] * 4, SCHEDULES["1f1b"].programs(4, 1)
    assert run(programs, times).seconds == 4 * 3
    assert run(programs, times, send_seconds=0.5).seconds == 4 * 3 + 6 * 0.5
