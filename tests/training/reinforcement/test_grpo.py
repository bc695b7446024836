"""A run of GRPO: one forward, groups, what stays alive, rollouts as files, and resumption bit for bit after a kill."""

import json
import multiprocessing
import os
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds
from corpusmill.training.generation.generate import Wanted
from corpusmill.training.generation.sampling import Sampling
from corpusmill.training.model.config import as_dictionary
from corpusmill.training.reinforcement import grpo
from corpusmill.training.reinforcement.grpo import Prompt, Task, learning_rate, train_grpo
from corpusmill.training.reinforcement.rollouts import prompts_of_step, roll_out
from corpusmill.training.reinforcement.sequences import join, log_probabilities, pass_over
from corpusmill.training.reinforcement.settings import GrpoSettings
from tests.training.foreign_models import foreign_config, trained_like

ROWS, EOS = 40, 1
CPU = torch.device("cpu")


def write_run(folder: Path) -> Path:
    """A finished run of a small model."""
    config = foreign_config(vocab_size=ROWS + 8)
    folder.mkdir(parents=True)
    save_file(trained_like(config).state_dict(), str(folder / "model.safetensors"))
    header = ShardHeader("none", 48, SpecialIds(eos=EOS, pad=2, bos=0), ROWS, ROWS + 8, seed=0)
    (folder / "config.json").write_text(json.dumps({"model": as_dictionary(config), "shards": asdict(header)}))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("grpo") / "run")


def letters(ids) -> str:
    return "".join(chr(ord("A") + token) for token in ids)


def first_half(prompts, completions, answers) -> dict[str, list[float]]:
    """The share of a completion's letters that are of the first half of the alphabet."""
    return {"half": [sum(letter < "U" for letter in text) / max(1, len(text)) for text in completions]}


def task_of(reward=first_half) -> Task:
    prompts = [Prompt(letters(ids), ids) for ids in ([3, 4], [5], [6, 7, 8], [9, 3], [30, 31])]
    return Task(prompts[:4], prompts[4:], letters, reward, frozenset({EOS}), ROWS, {"prompts": "five"})


def settings_of(run: Path, output: Path, **chosen) -> GrpoSettings:
    usual = {"steps": 3, "prompts_per_step": 2, "group": 4, "max_tokens": 6, "threads": 1, "checkpoint_every": 1}
    usual |= {"evaluate_every": 2, "learning_rate": 3e-3, "warmup_steps": 1}
    return GrpoSettings(run=str(run), prompts=["x"], rewards=["x"], output=str(output), **{**usual, **chosen})


def train(run: Path, output: Path, reward=first_half, **chosen) -> dict:
    return train_grpo(settings_of(run, output, **chosen), task_of(reward), output / "state")


def metrics(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def test_a_reward_rises_and_all_that_was_drawn_is_kept(run: Path, tmp_path: Path) -> None:
    summary = train(run, tmp_path / "a", steps=8, group=8, beta=0.0, checkpoint_every=6, learning_rate=1e-2)
    lines = metrics(tmp_path / "a")
    assert [line["step"] for line in lines] == list(range(9))
    assert summary["held_back_reward"] > summary["held_back_reward_before"]
    assert sum(line["reward"] for line in lines[-3:]) > 1.15 * sum(line["reward"] for line in lines[1:4])
    assert summary["sampling_difference_most"] < 1e-4, "sampling and training are one forward pass"
    for step in range(1, 9):
        table = pq.read_table(tmp_path / "a" / "rollouts" / f"step-{step:06d}.parquet")
        rows = table.to_pylist()
        assert table.num_rows == 16 and len({row["id"] for row in rows}) == 16
        assert [row["sample"] for row in rows] == list(range(8)) * 2
        assert sum(row["reward"] for row in rows) / 16 == pytest.approx(lines[step]["reward"])
        assert all(row["reward"] == row["reward_half"] and row["text"].startswith(row["prompt"]) for row in rows)
        assert abs(sum(row["advantage"] for row in rows[:8])) < 1e-9
    assert set(load_file(tmp_path / "a" / "model.safetensors")) == set(load_file(run / "model.safetensors"))


def test_training_gives_the_tokens_the_probabilities_that_they_were_drawn_by(run: Path) -> None:
    from corpusmill.training.generation.weights import open_trained

    model = open_trained(run).model
    prompts = dict(enumerate(task_of().prompts))
    wanted = Wanted(9, Sampling(1.0, seed=4), frozenset({EOS}), ROWS)
    rollouts = roll_out(model, prompts, wanted, name="x", group=5, batch=7)
    assert all(max(one.ids) < ROWS for one in rollouts)
    sequences = join([one.prompt.ids for one in rollouts], [one.ids for one in rollouts], CPU)
    ours = log_probabilities(model, pass_over(model, sequences), sequences, 1.0, ROWS)
    for one, row, places in zip(rollouts, ours, sequences.targets, strict=True):
        assert (row[places] - torch.tensor(one.log_probabilities)).abs().max() < 2e-5
        assert not row[~places].any()
    alone = roll_out(model, {2: prompts[2]}, wanted, name="x", group=2, batch=1)
    both = [one for one in rollouts if one.number == 2][:2]
    assert [one.ids for one in alone] == [one.ids for one in both], "what is written beside it does not matter"


def test_training_on_other_probabilities_than_those_drawn_by_is_an_error(
    run: Path, tmp_path: Path, monkeypatch
) -> None:
    def drifted(*arguments, **named):
        rollouts = roll_out(*arguments, **named)
        for one in rollouts:
            one.log_probabilities = [value - 0.01 for value in one.log_probabilities]
        return rollouts

    monkeypatch.setattr(grpo, "roll_out", drifted)
    with pytest.raises(UserError, match=r"differ by 0\.01 nats between sampling and training"):
        train(run, tmp_path / "drifted")


def test_mtp_learns_and_pulls_at_nothing_else_and_router_biases_move(run: Path, tmp_path: Path) -> None:
    before = load_file(run / "model.safetensors")
    for name, weight in (("with", 0.5), ("without", 0.0)):
        train(run, tmp_path / name, steps=2, mtp_weight=weight, bias_speed=0.01 if weight else 0.0, clip=1e9)
    with_it, without = (load_file(tmp_path / name / "model.safetensors") for name in ("with", "without"))
    biases = [name for name in before if name.endswith("gate.bias")]
    assert any(name.startswith("mtp.") for name in biases)
    for name in biases:
        moved = (with_it[name] - before[name]).abs()
        assert torch.equal(without[name], before[name]) and moved.max() > 0 and moved.max() <= 0.0201
    modules = [name for name in before if name.startswith("mtp.") and name not in biases]
    assert all(torch.equal(without[name], before[name]) for name in modules)
    assert sum(not torch.equal(with_it[name], before[name]) for name in modules) > len(modules) / 2


def test_mtp_leaves_the_gradient_of_the_policy_alone(run: Path) -> None:
    from corpusmill.training.generation.weights import open_trained

    gradients = []
    for mtp in (False, True):
        model = open_trained(run).model.requires_grad_(True)
        sequences = join([[3, 4], [5]], [[7, 8, 9, 1], [10, 11]], CPU)
        passed = pass_over(model, sequences, mtp=mtp)
        (log_probabilities(model, passed, sequences).sum() + passed.mtp).backward()
        gradients.append({name: one.grad for name, one in model.named_parameters() if not name.startswith("mtp.")})
        assert mtp == any(one.grad is not None for name, one in model.named_parameters() if name.startswith("mtp."))
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name


def test_updates_after_the_first_are_off_the_policy_and_may_be_clipped(run: Path, tmp_path: Path) -> None:
    train(run, tmp_path / "a", steps=2, updates=4, learning_rate=0.03, beta=0.0)
    assert metrics(tmp_path / "a")[-1]["clipped"] > 0
    train(run, tmp_path / "b", steps=2, updates=1, temperature=1.7, ratio="output", evaluate_every=9)
    assert metrics(tmp_path / "b")[-1]["clipped"] == 0, "the first update's ratios are 1 at any temperature"


def test_no_difference_in_a_group_and_no_divergence_leave_the_weights_as_they_were(run: Path, tmp_path: Path) -> None:
    def same(prompts, completions, answers):
        return {"same": [0.7] * len(completions)}

    train(run, tmp_path / "a", reward=same, beta=0.0, mtp_weight=0.0, bias_speed=0.0)
    assert all(line["groups_without_signal"] == 1 for line in metrics(tmp_path / "a")[1:])
    after = load_file(tmp_path / "a" / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in load_file(run / "model.safetensors").items())


def killed_at(run: Path, output: Path, step: int) -> None:
    """Runs until rewards are asked for after the rollouts of the step before are there, and is killed there: between
    a step's rollouts and its line."""

    def reward(prompts, completions, answers):
        if (output / "rollouts" / f"step-{step - 1:06d}.parquet").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return first_half(prompts, completions, answers)

    torch.set_num_threads(1)
    train(run, output, reward, steps=4, checkpoint_every=2, evaluate_every=3)


def test_a_run_that_was_killed_goes_on_bit_for_bit(run: Path, tmp_path: Path) -> None:
    whole = {"steps": 4, "checkpoint_every": 2, "evaluate_every": 3}
    train(run, tmp_path / "whole", **whole)
    child = multiprocessing.get_context("fork").Process(target=killed_at, args=(run, tmp_path / "killed", 4))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    assert len(metrics(tmp_path / "killed")) == 3 and not (tmp_path / "killed" / "summary.json").exists()
    train(run, tmp_path / "killed", **whole)
    names = ["model.safetensors", "metrics.jsonl", "summary.json", "config.json"]
    names += [f"rollouts/step-{step:06d}.parquet" for step in range(1, 5)]
    for name in names:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_run_resumes_with_the_same_settings_and_task_only(run: Path, tmp_path: Path) -> None:
    train(run, tmp_path / "a", steps=1)
    train(run, tmp_path / "a", steps=1, micro_batch=3, checkpoint_every=5)
    with pytest.raises(UserError, match="another beta"):
        train(run, tmp_path / "a", steps=1, beta=0.5)
    other = replace(task_of(), fingerprint={"prompts": "six"})
    with pytest.raises(UserError, match="another task"):
        train_grpo(settings_of(run, tmp_path / "a", steps=1), other, tmp_path / "a" / "state")


def test_the_learning_rate_rises_and_falls_to_its_last_value(run: Path, tmp_path: Path) -> None:
    settings = settings_of(run, tmp_path, steps=6, warmup_steps=2, learning_rate=0.4)
    assert [learning_rate(settings, step) for step in range(1, 7)] == pytest.approx([0.2, 0.4, 0.4, 0.4, 0.4, 0.4])
    falling = replace(settings, final_learning_rate=0.1)
    assert [learning_rate(falling, step) for step in range(1, 7)] == pytest.approx([0.2, 0.4, 0.4, 0.3, 0.2, 0.1])


def test_prompts_come_once_an_epoch_in_an_order_of_their_own(run: Path, tmp_path: Path) -> None:
    epochs = [
        [number for step in range(e * 3, e * 3 + 3) for number in prompts_of_step(10, step, 3, 5)] for e in (0, 1)
    ]
    assert all(len(set(epoch)) == 9 for epoch in epochs) and epochs[0] != epochs[1]
    assert prompts_of_step(10, 4, 3, 5) == epochs[1][3:6] and prompts_of_step(10, 4, 3, 6) != epochs[1][3:6]
    with pytest.raises(UserError, match="4 prompts are fewer than the 5 of a step"):
        train(run, tmp_path / "a", prompts_per_step=5)
