import json
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
import torch

from corpusmill.training.loader.batch import Batch
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.moe import Gate
from corpusmill.training.model.transformer import Transformer, initialise
from corpusmill.training.optimizer import make_optimizer, set_learning_rate
from corpusmill.training.watching.spikes import (
    MOST_ROLLBACKS,
    MOST_SKIPS,
    NAMED_SEGMENTS,
    NAMED_SEQUENCES,
    ROLLED_BACK,
    SKIPPED,
    SPIKES_FILE,
    STOPPED,
    Spike,
    SpikeLog,
    SpikeWatch,
    read_spikes,
    sequence_losses,
    spike_of,
)
from tests.training.shardmaker import write_shard

WINDOW, DEVIATIONS = 8, 4.0


def watch_of(policy: str, accepted: list[float]) -> SpikeWatch:
    watch = SpikeWatch(policy, WINDOW, DEVIATIONS)
    for loss in accepted:
        assert watch.judge(loss, 1.0) is None
        watch.accept(loss)
    return watch


def wavy(count: int, around: float = 3.0) -> list[float]:
    return [around + 0.1 * (-1) ** step for step in range(count)]


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_spike_is_so_many_deviations_above_the_last_accepted_losses(policy: str):
    watch = watch_of(policy, [100.0, *wavy(WINDOW)])  # the first has left the window
    highest = np.mean(wavy(WINDOW)) + DEVIATIONS * np.std(wavy(WINDOW))
    assert watch.judge(highest - 1e-6, 1.0) is None
    assert "above 3.4; the mean of the last 8 is 3" in (watch.judge(highest + 1e-6, 1.0) or "")
    assert watch.judge(0.01, 1e9) is None, "neither a low loss nor a large gradient is one"


def test_only_accepted_losses_count_and_only_a_full_window_judges():
    watch = watch_of("skip", wavy(WINDOW - 1))
    assert watch.judge(50.0, 1.0) is None
    watch.accept(3.0)
    assert watch.judge(50.0, 1.0)
    assert watch.judge(50.0, 1.0), "what was judged a spike raised nothing"


def test_the_noise_of_a_flat_curve_is_no_spike():
    watch = watch_of("skip", [2.0] * WINDOW)
    assert watch.judge(2.0 + 0.99 * DEVIATIONS * 0.02, 1.0) is None
    assert watch.judge(2.0 + 1.01 * DEVIATIONS * 0.02, 1.0)


@pytest.mark.parametrize("policy", ["stop", "skip", "rollback"])
def test_what_is_not_finite_is_a_spike_from_the_first_step_on(policy: str):
    watch = SpikeWatch(policy, WINDOW, DEVIATIONS)
    for bad in (nan, inf, -inf):
        assert watch.judge(bad, 1.0) == "the loss is not finite"
        assert watch.judge(1.0, bad) == "the gradient norm is not finite"


def test_where_spikes_stop_a_run_finite_losses_never_do():
    watch = watch_of("stop", [*wavy(20), 1e6])
    assert watch.judge(nan, nan) and watch.answer(30) == STOPPED
    error = str(watch.error("the loss is not finite", 21, "run"))
    assert error.startswith("run: step 21 was not taken: the loss is not finite; train with a lower learning rate")


def test_skipping_ends_when_no_step_in_a_row_is_good():
    watch = watch_of("skip", wavy(WINDOW))
    assert [watch.answer() for _ in range(MOST_SKIPS)] == [SKIPPED] * MOST_SKIPS
    watch.accept(3.0)
    assert [watch.answer() for _ in range(MOST_SKIPS + 1)] == [SKIPPED] * MOST_SKIPS + [STOPPED]
    assert "step 9 was not taken, nor were 10 steps before it: why; see spikes.jsonl" in str(watch.error("why", 9, "r"))


def test_going_back_ends_when_one_checkpoint_does_not_help():
    watch = watch_of("rollback", wavy(WINDOW))
    at_100 = json.loads(json.dumps(watch.state()))
    for _ in range(MOST_ROLLBACKS):
        assert watch.answer(100) == ROLLED_BACK
        watch.load_state(at_100)
        for loss in wavy(30):  # good steps that end before the next checkpoint are no way out
            watch.accept(loss)
    assert watch.answer(100) == STOPPED
    assert "after going back 3 times to step 100: why" in str(watch.error("why", 131, "run"))
    at_200 = watch.state()
    assert [watch.answer(200) for _ in range(MOST_ROLLBACKS + 1)] == [ROLLED_BACK] * MOST_ROLLBACKS + [STOPPED]

    resumed = SpikeWatch("rollback", WINDOW, DEVIATIONS)
    resumed.load_state(json.loads(json.dumps(at_200)))
    assert resumed.answer(100) == STOPPED and resumed.answer(200) == ROLLED_BACK
    assert watch_of("rollback", []).answer(None) == STOPPED, "there is nothing to go back to"


def test_a_resumed_watch_judges_to_the_last_bit_as_the_one_before():
    rng = np.random.default_rng(0)
    watch = watch_of("skip", (2 + rng.random(WINDOW + 3) / 7).tolist())
    other = SpikeWatch("skip", WINDOW, DEVIATIONS)
    other.load_state(json.loads(json.dumps(watch.state())))
    low, high = 2.0, 4.0
    while np.nextafter(low, high) < high:  # the very last loss that is none
        middle = (low + high) / 2
        low, high = (low, middle) if watch.judge(middle, 1.0) else (middle, high)
    assert other.judge(low, 1.0) is None and other.judge(high, 1.0) == watch.judge(high, 1.0) is not None
    assert other.state() == watch.state()


def test_six_deviations_leave_the_noise_of_a_falling_curve_alone():
    rng = np.random.default_rng(0)
    steps = np.arange(20_000)
    curve = 2 + 6 * np.exp(-steps / 300) + 0.08 * rng.standard_normal(len(steps))
    watch = SpikeWatch("skip", 64, 6.0)
    for loss in curve.tolist():
        assert watch.judge(loss, 1.0) is None
        watch.accept(loss)
    assert watch.judge(2 + 8 * 0.08, 1.0)


def rows_of(shards: ShardSet, *rows: list[int]) -> list[Batch]:
    return [shards.read(np.array(part)) for part in rows]


@pytest.fixture
def odd_shards(tmp_path: Path) -> ShardSet:
    """Twelve sequences that repeat a pattern, but for the fifth, which is noise."""
    rng = np.random.default_rng(5)
    rows = [[[8 + (row + step) % 4 for step in range(10)], [8 + (row + step) % 4 for step in range(20)]]
            for row in range(12)]  # fmt: skip
    rows[5] = [[int(token)] for token in rng.integers(100, 256, 30)]
    write_shard(tmp_path / "shards/shard-00000.arrow", rows, 32)
    return ShardSet(tmp_path / "shards")


def learned(shards: ShardSet) -> Transformer:
    """A model that knows the pattern."""
    model = Transformer(preset("tiny", {"vocab_size": 256, "init_std": 0.1}))
    initialise(model, 0)
    optimizer = make_optimizer(model)
    set_learning_rate(optimizer, 1e-2)
    batch = shards.read(np.array([0, 1, 2, 3]))
    for _ in range(25):
        losses(model, batch.tokens, batch.valid).total(4 * 29, 4, 0.3, 1e-4).backward()
        optimizer.step()
        optimizer.zero_grad()
    for module in model.modules():
        if isinstance(module, Gate):
            module.load.zero_()
    return model


def test_the_offending_sequence_comes_first(odd_shards: ShardSet):
    model = learned(odd_shards)
    actual = sequence_losses(model, rows_of(odd_shards, [4, 11, 5], [1]), masked=False)
    assert actual[0][0] == 5 and actual[0][1] > actual[1][1] + 2
    assert sorted(row for row, _ in actual) == [1, 4, 5, 11]
    for row, nats in actual:
        batch = odd_shards.read(np.array([row]))
        alone = losses(model, batch.tokens, batch.valid).main.item() / 29
        assert nats == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_looking_for_it_changes_nothing(odd_shards: ShardSet, masked: bool):
    model = learned(odd_shards).train()
    before = {name: tensor.clone() for name, tensor in [*model.named_buffers(), *model.named_parameters()]}
    sequence_losses(model, rows_of(odd_shards, [4, 5]), masked)
    assert model.training
    for name, tensor in [*model.named_buffers(), *model.named_parameters()]:
        assert torch.equal(tensor, before[name]) and tensor.grad is None
    whole, hidden = (sequence_losses(model, rows_of(odd_shards, [4, 7]), choice) for choice in (False, True))
    assert whole != hidden


def test_losses_that_are_not_finite_come_before_all(odd_shards: ShardSet):
    model = learned(odd_shards)
    with torch.no_grad():
        model.embed.weight[12:] = nan  # the pattern's tokens are 8 to 11
    actual = sequence_losses(model, rows_of(odd_shards, [0, 5, 1]), False)
    assert actual[0][0] == 5 and not np.isfinite(actual[0][1])
    assert actual[1][1] >= actual[2][1] and np.isfinite(actual[1][1])


def test_the_record_names_documents_and_sources(odd_shards: ShardSet):
    spike = spike_of(
        odd_shards, [(5, nan), (4, 1.5)], step=7, loss=inf, norm=2.0, why="why", done=ROLLED_BACK,
        positions=range(24, 28), back_to=(4, 16),
    )  # fmt: skip
    assert (spike.loss, spike.norm, spike.back_to) == (None, 2.0, 4)
    assert (spike.first, spike.end, spike.skipped_from) == (24, 28, 16)
    worst, other = spike.sequences
    assert (worst["row"], worst["nats"], worst["segments_left_out"]) == (5, None, 30 - NAMED_SEGMENTS)
    assert len(worst["segments"]) == NAMED_SEGMENTS
    assert worst["segments"][3] == {"document": "shard-00000.arrow/5/3", "source": "test"}
    assert other == {
        "row": 4,
        "nats": 1.5,
        "segments": [{"document": f"shard-00000.arrow/4/{place}", "source": "test"} for place in (0, 1)],
        "segments_left_out": 0,
    }
    assert spike.sequences_left_out == 0


def test_a_record_of_a_large_batch_stays_small(odd_shards: ShardSet):
    many = [(number % 12, 9.0 - number) for number in range(1000)]
    spike = spike_of(
        odd_shards, many, step=1, loss=1.0, norm=1.0, why="why", done=SKIPPED, positions=range(1000)
    )  # fmt: skip
    assert [sequence["row"] for sequence in spike.sequences] == [row for row, _ in many[:NAMED_SEQUENCES]]
    assert spike.sequences_left_out == 1000 - NAMED_SEQUENCES
    assert (spike.back_to, spike.skipped_from) == (None, 0)


def spike_between(step: int, end: int) -> Spike:
    return Spike(step, 9.0, None, "why", SKIPPED, None, end - 4, end, end - 4, [], 0)


def test_a_run_that_goes_on_cuts_off_the_spikes_that_it_will_find_again(tmp_path: Path):
    SpikeLog(tmp_path, 0)
    assert not (tmp_path / SPIKES_FILE).exists() and read_spikes(tmp_path) == []
    log = SpikeLog(tmp_path, 0)
    spikes = [
        spike_between(step, end) for step, end in ((10, 44), (10, 48), (4, 60), (9, 80))
    ]  # at 60 it had gone back
    for spike in spikes:
        log.write(spike)
    assert read_spikes(tmp_path) == spikes
    with (tmp_path / SPIKES_FILE).open("a") as file:
        file.write('{"step": 9, "e')
    SpikeLog(tmp_path, 80)
    assert read_spikes(tmp_path) == spikes
    SpikeLog(tmp_path, 79).write(spike_between(9, 80))
    assert read_spikes(tmp_path) == spikes
    SpikeLog(tmp_path, 50)
    assert read_spikes(tmp_path) == spikes[:2]
    SpikeLog(tmp_path, 0)
    assert read_spikes(tmp_path) == []
