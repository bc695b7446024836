"""What chunks cost, what tokens move, which layers are where; and V3's step against the report."""

from dataclasses import replace
from itertools import combinations

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.training.model.config import preset
from corpusmill.training.model.memory import MemoryLayout, memory
from corpusmill.training.model.shares import share_parameters, whole
from corpusmill.training.simulate import published
from corpusmill.training.simulate.actions import Kind
from corpusmill.training.simulate.campaign import Surroundings, length_of_run, price
from corpusmill.training.simulate.costs import calibrated, mean_parts
from corpusmill.training.simulate.hardware import GPUS, H800, gpu_named, measured_products, with_products
from corpusmill.training.simulate.hops import exchange, nodes_reached
from corpusmill.training.simulate.layout import V3_REPORT, Layout, layout_values
from corpusmill.training.simulate.search import answer, candidates, fewest_gpus, search
from corpusmill.training.simulate.step import (
    Workload,
    least_seconds,
    needed_bytes,
    place_stages,
    programs_of,
    simulate,
    timeline,
)

V3 = preset("v3-671b")
WORK = Workload(V3)


# V3 against the report


def test_v3s_step_is_within_7_percent_of_the_published_one():
    step = simulate(WORK, V3_REPORT, H800)
    assert step.seconds == pytest.approx(published.PARTS.step, rel=0.07)
    assert step.tokens == 62_914_560
    assert step.tokens_a_second == pytest.approx(published.TOKENS_A_SECOND, rel=0.07)
    assert step.mfu(V3, 4096, H800) == pytest.approx(published.MFU, rel=0.07)
    # The parts that a chunk's times come from are met; nearly all of the gap is the bubble and the optimiser.
    kinds, parts = step.by_kind, published.PARTS
    assert kinds[Kind.PAIR] == pytest.approx(parts.pairs, rel=0.01)
    assert kinds[Kind.FORWARD] == pytest.approx(parts.forward, rel=0.02)
    assert kinds[Kind.BACKWARD] + kinds[Kind.INPUT] == pytest.approx(parts.backward, rel=0.02)
    assert kinds[Kind.WEIGHT] == pytest.approx(parts.weight, rel=0.02)
    gap = parts.step - step.seconds
    named = parts.bubble - step.bubble_seconds + parts.optimizer - step.optimizer_seconds
    assert named == pytest.approx(gap, abs=0.05)


def test_v3s_run_has_its_steps_and_nearly_its_gpu_hours():
    step = simulate(WORK, V3_REPORT, H800)
    length = length_of_run(14.8e12, WORK, 3072, 469 * 10**9)
    assert length.steps == 242_785
    run = price(step, WORK, H800, length)
    assert run.gpu_hours == pytest.approx(published.GPU_HOURS, rel=0.07)
    assert run.gpu_hours_a_trillion == pytest.approx(published.GPU_HOURS_A_TRILLION, rel=0.07)
    assert run.dollars == pytest.approx(2 * run.gpu_hours_with_losses)
    assert run.gpu_hours < run.gpu_hours_with_losses


@pytest.mark.parametrize("row", published.ELSEWHERE, ids=lambda row: f"{row.who}-{row.layout[:9]}")
def test_other_trainers_are_met_within_a_seventh_without_any_calibration(row: published.Elsewhere):
    work = Workload(V3, 4096, row.batch_sequences)
    step = simulate(work, Layout(**layout_values(row.layout)), GPUS[row.gpu])
    assert step.tokens_a_second == pytest.approx(row.tokens_a_second, rel=1 / 7)


def test_what_is_calibrated_is_positive_and_a_pair_is_hardly_slower_than_its_computation():
    rest = calibrated()
    assert min(rest.forward, rest.input, rest.weight) > 0
    assert 1 <= rest.stretch < 132 / 112, "no slower than without the multiprocessors that communicate"
    parts = mean_parts()
    assert parts[Kind.PAIR] < parts[Kind.FORWARD] + parts[Kind.INPUT] + parts[Kind.WEIGHT]


# Hops


@pytest.mark.parametrize("nodes", [1, 2, 4, 8])
def test_nodes_that_a_token_reaches_are_those_of_all_choices_of_groups(nodes: int):
    groups, limited = V3.n_expert_groups, V3.n_limited_groups
    choices = list(combinations(range(groups), limited))
    reached = sum(len({group * nodes // groups for group in choice}) for choice in choices) / len(choices)
    assert nodes_reached(V3, nodes) == pytest.approx(reached)


def test_a_group_that_is_spread_over_two_nodes_is_reached_twice_at_most():
    assert 4 < nodes_reached(V3, 16) < 8
    without = replace(V3, n_expert_groups=1, n_limited_groups=1)
    assert nodes_reached(without, 8) > nodes_reached(V3, 8), "the router's limit saves copies"


def test_a_v3_token_crosses_the_network_three_and_a_half_times_each_way():
    moved = exchange(V3, 64, H800, fp8=True)
    assert moved.network_bytes == pytest.approx(3.5 * (7168 + 4 * 56 + 2 * 7168))
    assert exchange(V3, 8, H800, fp8=True).network_bytes == 0
    assert exchange(V3, 1, H800, fp8=True).seconds(4096, H800) == 0
    assert exchange(V3, 64, H800, fp8=False).network_bytes > moved.network_bytes


# Places and memory


@pytest.mark.parametrize("layout", [V3_REPORT, replace(V3_REPORT, schedule="1f1b"), replace(V3_REPORT, pipeline=8)])
def test_stages_hold_every_layer_once_and_the_ranks_are_even(layout: Layout):
    shares = place_stages(WORK, layout, H800)
    assert sum(share.layers for share in shares) == 61
    assert sum(share.dense_layers for share in shares) == 3
    assert (shares[0].embedding, shares[-1].head) == (True, True)
    counted = sum(share_parameters(V3, share).others for share in shares)
    assert counted == share_parameters(V3, whole(V3)).others + 129_280 * 7168, "MTP has the embedding once more"
    step = simulate(WORK, layout, H800)
    busy = sum(step.by_kind.values())
    assert step.slowest_rank_seconds < 1.12 * busy


def test_a_rank_alone_needs_what_describe_says():
    config = preset("h200-small")
    work = Workload(config, 4096, 8)
    layout = Layout(gpus=4, precision="bfloat16")
    described = memory(config, MemoryLayout(ranks=4, zero=1, recompute=True))
    assert needed_bytes(work, layout, H800) == described.total


def test_all_ranks_of_a_layout_hold_the_optimisers_state_once():
    step = simulate(WORK, V3_REPORT, H800)
    owned = sum(memory.master_weights + memory.moments for memory in step.memory) * V3_REPORT.stage_ranks
    trained = 8 * share_parameters(V3, whole(V3)).total
    assert owned == pytest.approx(trained, rel=0.01)
    parts = step.memory[3]
    assert parts.weights == pytest.approx(6.8e9, rel=0.05), "as the report's figures come to"
    assert parts.gradients == pytest.approx(2 * parts.weights, rel=0.01)


def test_whole_layers_again_keep_less_and_take_longer():
    lean = replace(V3_REPORT, recompute="layers")
    assert needed_bytes(WORK, lean, H800) < needed_bytes(WORK, V3_REPORT, H800) / 2
    assert simulate(WORK, lean, H800).seconds > 1.15 * simulate(WORK, V3_REPORT, H800).seconds


# Many micro-batches, and searching


@pytest.mark.parametrize("schedule", ["1f1b", "zb1p", "zbv", "dualpipe", "dualpipev"])
def test_a_long_step_is_carried_on_along_a_line(schedule: str):
    layout = Layout(gpus=8, pipeline=4, expert=2, schedule=schedule)
    work = Workload(preset("h200-small"), 4096, 2 * 182)
    assert layout.micro_batches(work.batch_sequences) > 160
    line = timeline(work, layout, H800)
    step = simulate(work, layout, H800)
    assert step.pipeline_seconds == pytest.approx(line.seconds, rel=2e-3)
    assert step.bubble_seconds == pytest.approx(line.mean_bubble, rel=0.05)
    programs_of.cache_clear()


def test_a_search_gives_the_fastest_that_fit_and_its_bound_is_one():
    config, gpu = preset("h200-small"), H800
    work, given = Workload(config, 4096, 64), {"gpus": 8, "micro_batch": 1}
    result = search(work, gpu, given, most=3)
    every = [simulate(work, layout, gpu) for layout in candidates(work, gpu, given)]
    fitting = sorted(step.seconds for step in every if step.fits(gpu))
    assert [step.seconds for step in result.fitting] == fitting[:3]
    assert (result.tried, result.fit) == (len(every), len(fitting))
    assert all(least_seconds(work, step.layout, gpu) <= step.seconds + 1e-9 for step in every)


def test_where_nothing_fits_the_nearest_is_named_and_how_many_gpus_would_do():
    work, given = Workload(V3, 4096, 256), {"gpus": 8, "schedule": "1f1b", "micro_batch": 1, "recompute": "layers"}
    result = search(work, H800, given)
    assert result.fit == 0 and result.nearest is not None
    enough = fewest_gpus(work, H800, given)
    assert enough is not None and enough > 8
    assert search(work, H800, {**given, "gpus": enough}).fit
    assert not search(work, H800, {**given, "gpus": enough // 2}).fit


def test_a_layout_that_says_everything_is_priced_whether_it_fits_or_not():
    result = answer(WORK, H800, layout_values("v3-report"))
    assert (result.tried, result.fit) == (1, 0)
    assert result.nearest is not None and result.nearest.layout == V3_REPORT


# Runs


def test_a_failure_loses_half_an_interval_and_a_restart():
    step = simulate(WORK, V3_REPORT, H800)
    length = length_of_run(1e12, WORK)
    around = Surroundings(start_seconds=100, gpu_hours_between_failures=2048 * 10)
    run = price(step, WORK, H800, length, 3.0, around)
    assert run.failures == pytest.approx(run.undisturbed_seconds / 36_000)
    assert run.lost_seconds == run.checkpoint_interval / 2 + 100 + run.write_seconds
    assert run.dollars == pytest.approx(run.seconds * 2048 / 3600 * 3)
    never = price(step, WORK, H800, length, 3.0, replace(around, gpu_hours_between_failures=1e18))
    assert never.seconds == pytest.approx(never.undisturbed_seconds, rel=1e-3)


def test_measured_products_take_the_tables_place():
    rows = [
        {"shape": "4096 x 2112 x 7168", "bf16": 600.0, "triton": 800.0, "cublas": 900.0, "fp8 over bf16": 1.5},
        {"shape": "4 of 8192 x 4096 x 7168", "bf16": 600.0, "triton": 900.0, "share of peak": 0.5},
    ]
    fp8, bf16 = measured_products(rows)
    assert (fp8, bf16) == (pytest.approx(900e12), pytest.approx(600e12))
    measured = with_products(gpu_named("H200"), fp8, bf16)
    assert simulate(WORK, V3_REPORT, measured).seconds > simulate(WORK, V3_REPORT, gpu_named("h200")).seconds
    with pytest.raises(UserError, match="measured"):
        measured_products([{"shape": "none"}])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpus=8,pipeline=3", "does not divide"),
        ("gpus=8,expert=16", "does not divide"),
        ("gpus=8,pipeline=2,schedule=gpipe", "gpipe"),
        ("gpus=eight", "eight"),
        ("pipeline=2", "no gpus"),
        ("ranks=2", "is not a field of a layout"),
        ("gpus=8,recompute=all", "recompute"),
        ("gpus=8,precision=fp4", "precision"),
        ("gpus=0", "gpus is 0"),
    ],
)
def test_layouts_that_cannot_be_are_refused(text: str, says: str):
    with pytest.raises(UserError, match=says):
        Layout(**layout_values(text)).check(V3, 4096, 15_360)


def test_batches_and_models_that_a_layout_does_not_suit_are_refused():
    for layout, batch, says in (
        (V3_REPORT, 3072, "too few"),
        (V3_REPORT, 1000, "not a multiple"),
        (Layout(gpus=128, pipeline=128), 15_360, "fewer than 128 stages"),
        (Layout(gpus=96, expert=96), 15_360, "256 experts"),
        (Layout(gpus=3, context=3), 15_360, "cannot be cut"),
    ):
        with pytest.raises(UserError, match=says):
            layout.check(V3, 4096, batch)
    with pytest.raises(UserError, match="unknown GPU"):
        gpu_named("tpu")
