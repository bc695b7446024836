"""What a run's settings do, from the outside: batches, precision, averages, spikes, layouts."""

import math
import shutil
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from corpusmill.dataproc.errors import UserError
from corpusmill.training.parallel.ranks import join_ranks
from corpusmill.training.run import Run
from corpusmill.training.settings import TrainSettings, settings_for
from corpusmill.training.trainer import train
from corpusmill.training.watching.metrics import read_metrics
from tests.training.shardmaker import patterned_rows, write_shard, write_shard_set
from tests.training.test_trainer import run_files, settings_of
from tests.training.two_processes import rank_environments, run_ranks, start_rank


def _metrics(settings: TrainSettings) -> list[dict]:
    return read_metrics(Path(settings.output) / "metrics.jsonl")


def _trained(settings: TrainSettings) -> list[dict]:
    train(settings, Path(settings.output) / "_state")
    return _metrics(settings)


def train_a_rank(settings: dict) -> list[float]:
    """One rank of a run; the losses that it saw. Called in a process of its own."""
    settings_of_run = TrainSettings(**settings)
    with join_ranks("cpu") as ranks:
        train(settings_of_run, Path(settings_of_run.output) / "_state", ranks=ranks)
    return [line["loss"] for line in _metrics(settings_of_run)] if ranks.leads else []


@pytest.mark.parametrize("micro_batch", [1, 3, 5, 16])
def test_any_micro_batch_makes_the_same_batch(shard_folder: Path, tmp_path: Path, micro_batch: int):
    plain = _trained(settings_of(shard_folder, tmp_path / "plain", steps=4, micro_batch=8))
    cut = _trained(settings_of(shard_folder, tmp_path / "cut", steps=4, micro_batch=micro_batch))
    for one, other in zip(plain, cut, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-4)
        assert one["sequences"] == other["sequences"]


def test_a_batch_that_grows_reads_what_its_lines_say(shard_folder: Path, tmp_path: Path):
    settings = settings_of(
        shard_folder,
        tmp_path / "run",
        steps=12,
        micro_batch=3,
        batch_sequences=9,
        first_batch_sequences=2,
        batch_ramp_tokens=32 * 40,
    )
    lines = _trained(settings)
    sizes = [line["batch_sequences"] for line in lines]
    assert sizes[0] == 2 and sizes[-1] == 9 and sizes == sorted(sizes) and len(set(sizes)) > 4
    assert [line["sequences"] for line in lines] == [sum(sizes[: step + 1]) for step in range(12)]
    assert lines[-1]["learning_rate"] < 1e-2


def test_a_run_in_bfloat16_learns_as_one_in_float32_does(shard_folder: Path, tmp_path: Path):
    full = _trained(settings_of(shard_folder, tmp_path / "full", steps=40))
    mixed = settings_of(shard_folder, tmp_path / "mixed", steps=40, precision="bfloat16", moments="bfloat16")
    actual = _trained(mixed)
    assert (
        actual[-1]["loss"] == pytest.approx(full[-1]["loss"], rel=0.05) and actual[-1]["loss"] < actual[0]["loss"] - 0.5
    )
    weights = load_file(str(tmp_path / "mixed/model.safetensors"))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert not torch.equal(weights["head.weight"], weights["head.weight"].bfloat16().float()), "masters are FP32"


def test_a_run_in_fp8_resumes_bit_for_bit_and_says_what_is_saturated(shard_folder: Path, tmp_path: Path):
    whole = settings_of(shard_folder, tmp_path / "whole", steps=10, precision="fp8", moments="bfloat16")
    lines = _trained(whole)
    run = Run(replace(whole, output=str(tmp_path / "stopped")))
    for _ in range(5):
        run.step()
    run.save()
    run.checkpoints.wait()
    again = Run(replace(whole, output=str(tmp_path / "stopped"), recompute=True))
    assert [again.step()["loss"] for _ in range(5)] == [line["loss"] for line in lines[5:]]
    measured = lines[-1]["fp8"]
    assert list(measured) == ["layers.0", "layers.1", "mtp.0"]
    for kinds in measured.values():
        for saturated, flushed in kinds.values():
            assert 0 < saturated < 0.2 and 0 <= flushed < 0.2
    assert "fp8" not in lines[0]


def test_fp8_takes_bf16_moments_unless_others_are_asked_for():
    assert settings_for("tiny", "shards", "output", precision="fp8").moments == "bfloat16"
    assert settings_for("tiny", "shards", "output", precision="fp8", moments="float32").moments == "float32"
    assert settings_for("tiny", "shards", "output").moments == "float32"


def test_recomputation_changes_no_bit(shard_folder: Path, tmp_path: Path):
    plain = settings_of(shard_folder, tmp_path / "plain", steps=5)
    again = replace(plain, output=str(tmp_path / "again"), recompute=True)
    assert _trained(plain) == _trained(again)


def test_the_average_follows_the_weights_and_is_measured_and_left(shard_folder: Path, tmp_path: Path):
    settings = settings_of(shard_folder, tmp_path / "run", average_decay=0.9, evaluate_average=True)
    run = Run(replace(settings, output=str(tmp_path / "other")))
    expected = {name: tensor.clone() for name, tensor in run.weights.masters().items()}
    for _ in range(20):
        run.step()
        for name, tensor in run.weights.masters().items():
            expected[name].mul_(0.9).add_(tensor, alpha=1 - 0.9)
    lines = _trained(settings)
    left = load_file(str(tmp_path / "run/average.safetensors"))
    for name, tensor in expected.items():
        assert torch.allclose(left[name], tensor, atol=1e-6), name
    assert lines[-1]["average_validation_loss"] != lines[-1]["validation_loss"]


def test_a_run_starts_from_the_weights_of_another(shard_folder: Path, tmp_path: Path):
    first = settings_of(shard_folder, tmp_path / "first")
    lines = _trained(first)
    longer = write_shard_set(tmp_path / "longer", length=64)
    stretched = {"rope_factor": 4, "original_seq_len": 32}
    second = settings_of(
        longer, tmp_path / "second", start_from=first.output, model=stretched, constant_fraction=1.0, warmup_steps=0
    )
    actual = _trained(second)
    assert actual[0]["loss"] < lines[0]["loss"] - 1 and actual[-1]["loss"] < lines[-1]["loss"] + 0.3
    assert {line["learning_rate"] for line in actual} == {1e-2}


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_spike_is_left_out_and_named(tmp_path: Path, policy: str):
    """The data of one step are noise, of which no token was ever seen: its loss stands out."""
    shards = tmp_path / "shards"
    rows = patterned_rows(160, 32, 0, vocab_size=128)
    write_shard(shards / "shard-00000.arrow", rows, 32)
    settings = settings_of(
        shards,
        tmp_path / "run",
        steps=24,
        batch_sequences=4,
        spikes=policy,
        spike_window=8,
        spike_deviations=5.0,
        model={"init_std": 0.1},
    )
    spoilt = Run(replace(settings, output=str(tmp_path / "asked"))).loader.order(4 * 17, 4)
    for row in spoilt:
        rows[row] = [[200 + (number * 7 + int(row)) % 50 for number in range(32)]]
    write_shard(shards / "shard-00000.arrow", rows, 32)
    lines = _trained(settings)
    assert [line["step"] for line in lines] == list(range(1, 25))
    spikes = read_metrics(tmp_path / "run/spikes.jsonl")
    assert spikes and spikes[0]["step"] == 18
    named = {sequence["row"] for sequence in spikes[0]["sequences"]}
    assert named == set(spoilt.tolist())
    if policy == "skip":
        assert lines[-1]["sequences"] == 4 * 25
    else:
        assert lines[-1]["sequences"] == 4 * (24 + 18 - 15), "three steps were made again, with other data"

    killed = replace(settings, output=str(tmp_path / "killed"))

    def die(line: dict) -> None:
        if line["step"] == 19:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, tmp_path / "killed/_state", die)
    train(killed, tmp_path / "killed/_state")
    assert run_files(tmp_path / "run") == run_files(tmp_path / "killed")


def test_a_run_that_a_spike_stopped_goes_on_once_it_is_told_to_skip(shard_folder: Path, tmp_path: Path, monkeypatch):
    real = Run._accumulate

    def poisoned(self, batches, now):
        """The data of step 8 make a loss that is no number."""
        sums = real(self, batches, now)
        return sums | {"loss": math.nan} if self.loader.sequences_consumed == 8 * 8 else sums

    monkeypatch.setattr(Run, "_accumulate", poisoned)
    settings = settings_of(shard_folder, tmp_path / "run", steps=12)
    with pytest.raises(UserError, match=r"step 8 was not taken: the loss is not finite"):
        _trained(settings)
    lines = _trained(replace(settings, spikes="skip"))
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert [line["sequences"] for line in lines[6:8]] == [8 * 7, 8 * 9]
    spikes = read_metrics(tmp_path / "run/spikes.jsonl")
    assert [(spike["step"], spike["loss"], spike["done"]) for spike in spikes] == [(8, None, "skipped")]


def test_phases_that_end_leave_nothing_to_take_in_a_spikes_stead(shard_folder: Path, tmp_path: Path):
    phases = [{"tokens": 20 * 8 * 32}]
    with pytest.raises(UserError, match="leave the length of the last phase open"):
        _trained(settings_of(shard_folder, tmp_path / "run", spikes="skip", phases=phases))
    assert len(_trained(settings_of(shard_folder, tmp_path / "run", phases=phases))) == 20


def test_checkpoints_of_every_so_many_steps_stay(shard_folder: Path, tmp_path: Path):
    _trained(settings_of(shard_folder, tmp_path / "run", keep_checkpoints=1, keep_every=10))
    left = sorted(path.name for path in (tmp_path / "run/checkpoints").glob("step-*"))
    assert left == ["step-000010", "step-000020"]


@pytest.mark.parametrize("parallel", ["zero1", "fsdp2"])
def test_two_ranks_do_what_one_does(shard_folder: Path, tmp_path: Path, parallel: str):
    one = _trained(settings_of(shard_folder, tmp_path / "one", steps=6, batch_sequences=7, average_decay=0.5))
    two = settings_of(shard_folder, tmp_path / "two", steps=6, batch_sequences=7, average_decay=0.5, parallel=parallel)
    run_ranks(2, "tests.training.test_run:train_a_rank", asdict(two))
    for single, double in zip(one, _metrics(two), strict=True):
        assert single.keys() == double.keys()
        assert single["loss"] == pytest.approx(double["loss"], rel=1e-5)
        assert single["gradient_norm"] == pytest.approx(double["gradient_norm"], rel=1e-4)
        assert single["expert_violations"] == pytest.approx(double["expert_violations"])
    for name in ("model.safetensors", "average.safetensors"):
        left, right = (load_file(str(tmp_path / run / name)) for run in ("one", "two"))
        assert left.keys() == right.keys()
        assert all(torch.allclose(left[key], right[key], atol=2e-4) for key in left)


@pytest.mark.parametrize(
    "layout",
    [
        {},
        pytest.param({"expert_ranks": 2, "expert_chunk": 64}, marks=pytest.mark.slow),
        pytest.param({"pipeline_ranks": 2, "model": {"n_layers": 4}, "micro_batch": 2}, marks=pytest.mark.slow),
    ],
    ids=["data", "experts", "layers"],
)
def test_two_ranks_killed_go_on_bit_for_bit_and_one_goes_on_from_two(shard_folder: Path, tmp_path: Path, layout: dict):
    straight = settings_of(shard_folder, tmp_path / "straight", average_decay=0.9, **layout)
    run_ranks(2, "tests.training.test_run:train_a_rank", asdict(straight), timeout=240)
    killed = replace(straight, output=str(tmp_path / "killed"))
    _kill_two_ranks_after(killed, tmp_path, steps=10)
    halfway = _metrics(killed)
    assert 10 <= len(halfway) < 20
    moved = replace(straight, output=str(tmp_path / "moved"))
    shutil.copytree(killed.output, moved.output)
    run_ranks(2, "tests.training.test_run:train_a_rank", asdict(killed), timeout=240)
    assert run_files(tmp_path / "straight") == run_files(tmp_path / "killed")

    alone = _trained(replace(moved, expert_ranks=1, pipeline_ranks=1))
    for one, two in zip(alone, _metrics(straight), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)


def _kill_two_ranks_after(settings: TrainSettings, folder: Path, steps: int) -> None:
    """SIGKILL for both ranks as soon as a checkpoint of so many steps is there."""
    slow = asdict(settings)
    processes = [
        start_rank(environment, "tests.training.test_run:train_a_slow_rank", slow, steps, folder=folder)
        for environment in rank_environments(2)
    ]
    latest = Path(settings.output) / "checkpoints/latest"
    deadline = time.monotonic() + 60
    while not (latest.exists() and latest.read_text() == f"step-{steps:06d}"):
        assert time.monotonic() < deadline and all(process.poll() is None for process in processes)
        time.sleep(0.01)
    for process in processes:
        process.kill()
    assert {process.wait() for process in processes} == {-signal.SIGKILL}


def train_a_slow_rank(settings: dict, pause_after: int) -> None:
    """A rank that waits to be killed two steps after a checkpoint."""
    settings_of_run = TrainSettings(**settings)

    def wait(line: dict) -> None:
        if line["step"] >= pause_after + 2:
            time.sleep(120)

    with join_ranks("cpu") as ranks:
        train(settings_of_run, Path(settings_of_run.output) / "_state", wait, ranks=ranks)


def test_a_resumed_run_may_be_carried_out_in_another_way_but_not_be_another(shard_folder: Path, tmp_path: Path):
    settings = settings_of(shard_folder, tmp_path / "run", steps=4, checkpoint_every=2)
    _trained(settings)
    _trained(replace(settings, micro_batch=3, recompute=True, keep_every=2, threads=2))
    for changed in ({"precision": "bfloat16"}, {"clip": 0.5}, {"average_decay": 0.5}):
        with pytest.raises(UserError, match=next(iter(changed))):
            _trained(replace(settings, **changed))


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path):
    for wrong in (
        {"first_batch_sequences": 4},
        {"batch_ramp_tokens": 100},
        {"evaluate_average": True},
        {"last_fraction": 0.1},
        {"constant_fraction": 0.9, "decayed_fraction": 0.5},
        {"precision": "float16"},
        {"average_decay": 1.0},
    ):
        with pytest.raises(UserError):
            settings_of(tmp_path, tmp_path, **wrong)
