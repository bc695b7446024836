import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from corpusmill.dataproc.errors import UserError
from corpusmill.training.loader.shard_loader import ShardLoader, held_back
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.order.sequence_order import SequenceOrder
from corpusmill.training.run import model_config
from corpusmill.training.settings import TrainSettings, settings_for
from corpusmill.training.trainer import train
from corpusmill.training.watching.evaluation import evaluate, unigram_counts, unigram_loss
from corpusmill.training.watching.metrics import cut_after, read_metrics
from tests.training.shardmaker import patterned_rows, write_grouped_set, write_shard

ROOT = Path(__file__).resolve().parents[2]


def settings_of(shards: Path, output: Path, **chosen) -> TrainSettings:
    values = {
        "preset": "tiny",
        "steps": 20,
        "batch_sequences": 8,
        "micro_batch": 4,
        "learning_rate": 1e-2,
        "warmup_steps": 4,
        "checkpoint_every": 5,
        "evaluate_every": 10,
        "threads": 1,
    }
    return TrainSettings(shards=str(shards), output=str(output), **{**values, **chosen})


def run_files(folder: Path) -> dict[str, bytes]:
    """All files of a run but what may differ from run to run."""
    paths = [path for path in folder.rglob("*") if path.is_file() and "_state" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


KILLED = """
import json, os, signal, sys
from corpusmill.training.settings import TrainSettings
from corpusmill.training.trainer import train

def on_step(metrics):
    if metrics["step"] == 13:
        os.kill(os.getpid(), signal.SIGKILL)

settings = TrainSettings(**json.loads(sys.argv[1]))
train(settings, settings.output + "/_state", on_step)
"""


def test_twenty_steps_equal_ten_a_kill_and_ten_more_bit_for_bit(shard_folder: Path, tmp_path: Path):
    from dataclasses import asdict

    straight = settings_of(shard_folder, tmp_path / "straight")
    seen: list[dict] = []
    train(straight, tmp_path / "straight" / "_state", seen.append)

    killed = settings_of(shard_folder, tmp_path / "killed")
    arguments = json.dumps({**asdict(killed), "model": {}})
    died = subprocess.run([sys.executable, "-c", KILLED, arguments], cwd=ROOT, check=False)
    assert died.returncode == -signal.SIGKILL
    assert (tmp_path / "killed/checkpoints/latest").read_text() == "step-000010"
    assert len(read_metrics(tmp_path / "killed/metrics.jsonl")) == 13
    resumed: list[dict] = []
    train(killed, tmp_path / "killed" / "_state", resumed.append)

    assert [line["step"] for line in resumed] == list(range(11, 21))
    assert run_files(tmp_path / "straight") == run_files(tmp_path / "killed")
    timing = read_metrics(tmp_path / "killed/_state/timing.jsonl")
    assert [line["step"] for line in timing] == list(range(1, 21))
    assert len(seen) == 20 and all(line["tokens_per_second"] > 0 for line in seen)
    assert "validation_loss" in seen[9] and "validation_loss" not in seen[8]

    before = run_files(tmp_path / "straight")
    train(straight, tmp_path / "straight" / "_state", lambda _: pytest.fail("a finished run took a step"))
    assert run_files(tmp_path / "straight") == before


def test_a_run_learns_and_says_so(shard_folder: Path, tmp_path: Path):
    settings = settings_of(shard_folder, tmp_path / "run", steps=60, checkpoint_every=60)
    summary = train(settings, tmp_path / "state", token_bytes=np.full(256, 2))
    assert summary == json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["validation_loss"] < summary["unigram_loss"] - 0.3
    assert summary["validation_bits_per_byte"] == pytest.approx(summary["validation_loss"] / math.log(2) / 2)
    metrics = read_metrics(tmp_path / "run/metrics.jsonl")
    assert metrics[0]["loss"] == pytest.approx(math.log(256), abs=0.5)
    assert not any("seconds" in line for line in metrics)
    assert metrics[-1]["tokens"] == summary["tokens"] <= 60 * 8 * 32
    assert metrics[-1]["learning_rate"] < metrics[30]["learning_rate"] == 1e-2
    assert len(metrics[0]["expert_violations"]) == 2

    from safetensors.torch import load_file

    model = Transformer(model_config(settings, ShardSet(shard_folder)))
    model.load_state_dict(load_file(str(tmp_path / "run/model.safetensors")))
    validation = held_back(shard_folder)
    assert validation is not None
    assert evaluate(model, validation, 64, 4).loss == pytest.approx(summary["validation_loss"], rel=1e-5)


def test_tiny_memorises_a_handful_of_sequences(tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = [[rng.integers(8, 256, 32).tolist()] for _ in range(8)]
    write_shard(tmp_path / "shards" / "shard-00000.arrow", rows, 32)
    settings = settings_of(
        tmp_path / "shards", tmp_path / "run", steps=200, micro_batch=8, checkpoint_every=1000, weight_decay=0.0
    )
    summary = train(settings, tmp_path / "state")
    assert summary["train_loss"] < 0.1
    assert summary["validation_loss"] is None and summary["unigram_loss"] is None


def test_training_leaves_torch_as_it_found_it(shard_folder: Path, tmp_path: Path):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.random.get_rng_state()
    train(settings_of(shard_folder, tmp_path / "run", steps=1, document_mask=True, threads=2), tmp_path / "state")
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before[:2]
    assert torch.equal(torch.random.get_rng_state(), before[2])


def test_the_document_mask_changes_what_is_learned(shard_folder: Path, tmp_path: Path):
    actual = [
        train(settings_of(shard_folder, tmp_path / str(masked), steps=2, document_mask=masked), tmp_path / "state")
        for masked in (False, True)
    ]
    assert actual[0]["validation_loss"] != actual[1]["validation_loss"]


def test_other_settings_do_not_continue_a_run(shard_folder: Path, tmp_path: Path):
    settings = settings_of(shard_folder, tmp_path / "run", steps=2)
    train(settings, tmp_path / "state")
    with pytest.raises(UserError, match="seed was 0 and is 1"):
        train(replace(settings, seed=1), tmp_path / "state")
    write_shard(shard_folder / "shard-00003.arrow", patterned_rows(5, 32, 7), 32)
    with pytest.raises(UserError, match="sequences"):
        train(settings, tmp_path / "state")


def test_mistakes_are_named_before_any_work(shard_folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="fewer than a batch of 48"):
        train(settings_of(shard_folder, tmp_path / "run", batch_sequences=48), tmp_path / "state")
    with pytest.raises(UserError, match="vocabulary rows"):
        train(settings_of(shard_folder, tmp_path / "run", model={"vocab_size": 100}), tmp_path / "state")
    with pytest.raises(UserError, match="micro_batch"):
        settings_of(shard_folder, tmp_path / "run", micro_batch=0)
    with pytest.raises(UserError, match="steps"):
        settings_of(shard_folder, tmp_path / "run", steps=0)
    assert not (tmp_path / "run").exists()


def test_a_mixture_decides_what_a_run_reads_and_its_plan_tells(tmp_path: Path):
    shards = write_grouped_set(tmp_path / "shards", {"web": 30, "code": 11, "books": 20})
    phases = [{"tokens": 10 * 8 * 32, "mixture": {"web": 0.75, "code": 0.25}}, {}]
    settings = settings_of(shards, tmp_path / "run", mixture={"books": 1}, phases=phases)
    summary = train(settings, tmp_path / "state")
    order = SequenceOrder.from_json((tmp_path / "run/plan.json").read_bytes())
    assert order.fingerprint == ShardLoader(shards, 4, seed=0, plan=settings.plan).sequence_order.fingerprint
    metrics = read_metrics(tmp_path / "run/metrics.jsonl")
    assert [line["sequences"] for line in metrics] == list(range(8, 161, 8))
    fourth = order.rows(metrics[2]["sequences"], 8)
    assert np.bincount(np.searchsorted([30, 41, 61], fourth, side="right"), minlength=3).tolist() == [6, 2, 0]
    values = {(use["phase"], use["group"]): use["sequences"] for use in summary["mixture"]}
    assert values == {
        (1, "web"): 60,
        (1, "code"): 20,
        (1, "books"): 0,
        (2, "web"): 0,
        (2, "code"): 0,
        (2, "books"): 80,
    }
    with pytest.raises(UserError, match=r"plan was .* and is"):
        train(replace(settings, mixture={"code": 1}), tmp_path / "state")


def test_a_run_with_a_mixture_resumes_bit_for_bit(tmp_path: Path):
    shards = write_grouped_set(tmp_path / "shards", {"web": 30, "code": 11})
    phases = ({"tokens": 2000, "mixture": {"web": 0.9, "code": 0.1}}, {"mixture": {"code": 1}})
    straight = settings_of(shards, tmp_path / "straight", phases=phases)
    train(straight, tmp_path / "straight" / "_state")
    killed = replace(straight, output=str(tmp_path / "killed"))

    def die(line: dict) -> None:
        if line["step"] == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, tmp_path / "killed" / "_state", die)
    train(killed, tmp_path / "killed" / "_state")
    assert run_files(tmp_path / "straight") == run_files(tmp_path / "killed")


def test_a_plan_that_does_not_fit_is_named_before_any_work(tmp_path: Path):
    shards = write_grouped_set(tmp_path / "shards", {"web": 30, "code": 11})
    with pytest.raises(UserError, match="unknown group 'wiki'; the groups are code, web"):
        train(settings_of(shards, tmp_path / "run", mixture={"wiki": 1}), tmp_path / "state")
    with pytest.raises(UserError, match="end after 100 sequences, and the run is of 160"):
        train(settings_of(shards, tmp_path / "run", phases=[{"tokens": 3200}]), tmp_path / "state")
    with pytest.raises(UserError, match="weight of 'web'"):
        settings_of(shards, tmp_path / "run", mixture={"web": -1})
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_stops(shard_folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="finite"):
        train(settings_of(shard_folder, tmp_path / "run", learning_rate=1e30, warmup_steps=0), tmp_path / "state")


def test_recipes_are_defaults_that_a_caller_overrides():
    assert settings_for("quickstart", "s", "o", steps=7).steps == 7


def test_unigram_loss_equals_the_plain_count(shard_folder: Path):
    validation = held_back(shard_folder)
    assert validation is not None
    counts = unigram_counts(ShardLoader(shard_folder, 1), 1000, 256)
    seen = [token for row in patterned_rows(40, 32, 0) for part in row for token in part]
    assert counts.tolist() == [seen.count(token) for token in range(256)]
    rows = [patterned_rows(9, 32, 1)[row] for row in (0, 2, 5, 8)]
    predicted = [token for row in rows for token in [token for part in row for token in part][1:]]
    expected = [-math.log((seen.count(token) + 1) / (len(seen) + 256)) for token in predicted]
    assert unigram_loss(counts, validation, 4) == pytest.approx(sum(expected) / len(expected))


def test_logs_are_cut_to_whole_lines_of_earlier_steps(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    cut_after(path, 5)
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3]
    cut_after(path, 2)
    assert [line["step"] for line in read_metrics(path)] == [1, 2]
    cut_after(tmp_path / "none", 2)
    assert not (tmp_path / "none").exists()
