"""A reward model learns a preference that was planted, is a model of ours, and resumes."""

from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file

from corpusmill.dataproc.errors import UserError
from corpusmill.training.generation.weights import open_trained
from corpusmill.training.reinforcement.reward_model import Pair, RewardModel, train_reward_model
from corpusmill.training.reinforcement.settings import RewardSettings
from tests.training.reinforcement.test_grpo import EOS, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("reward") / "run")


def planted(count: int) -> list[Pair]:
    """Completions with an id of 30 or more are preferred, wherever it stands."""
    random = Random(3)
    pairs = []
    for _ in range(count):
        texts = [[random.randrange(3, 30) for _ in range(random.randrange(3, 7))] for _ in range(2)]
        texts[0][random.randrange(len(texts[0]))] = random.randrange(30, 40)
        pairs.append(Pair([random.randrange(3, 40)], [*texts[0], EOS], [*texts[1], EOS]))
    return pairs


def train(run: Path, output: Path, pairs: list[Pair], **chosen) -> dict:
    usual = {"steps": 30, "pairs_per_step": 24, "learning_rate": 8e-3, "threads": 1, "checkpoint_every": 20}
    settings = RewardSettings(run=str(run), pairs=["x"], output=str(output), **{**usual, **chosen})
    return train_reward_model(settings, pairs, {"pairs": "planted"}, output / "state")


def test_a_planted_preference_is_learned(run: Path, tmp_path: Path) -> None:
    summary = train(run, tmp_path / "a", planted(600))
    assert summary["held_back_accuracy"] > 0.9 and summary["held_back"] > 30
    model = RewardModel(tmp_path / "a")
    good, bad = model.score([[5], [5]], [[7, 35, 9, EOS], [7, 8, 9, EOS]])
    assert good > bad
    assert model.score([[5]], [[7, 35, 9, EOS]], batch=1)[0] == pytest.approx(good, abs=1e-4), "alone as in a batch"
    assert set(load_file(tmp_path / "a" / "reward.safetensors")) == {"head"}
    open_trained(tmp_path / "a")
    with pytest.raises(UserError, match="no reward model"):
        RewardModel(run)


def test_pairs_without_a_difference_teach_nothing(run: Path, tmp_path: Path) -> None:
    swapped = [
        Pair(pair.prompt, *((pair.chosen, pair.rejected) if number % 2 else (pair.rejected, pair.chosen)))
        for number, pair in enumerate(planted(600))
    ]
    assert 0.2 < train(run, tmp_path / "a", swapped, steps=15)["held_back_accuracy"] < 0.8


def test_it_resumes_bit_for_bit_and_gradients_do_not_depend_on_micro_batches(run: Path, tmp_path: Path) -> None:
    pairs = planted(60)
    train(run, tmp_path / "whole", pairs, steps=4, checkpoint_every=2, pairs_per_step=8)
    train(run, tmp_path / "cut", pairs, steps=4, checkpoint_every=2, pairs_per_step=8, micro_batch=3)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all((first[name] - second[name]).abs().max() < 1e-3 for name in first if "bias" not in name)
    (tmp_path / "whole" / "checkpoints" / "latest").write_text("step-000002")
    again = (tmp_path / "whole" / "model.safetensors").read_bytes()
    train(run, tmp_path / "whole", pairs, steps=4, checkpoint_every=2, pairs_per_step=8)
    assert (tmp_path / "whole" / "model.safetensors").read_bytes() == again
    assert torch.get_num_threads() == 1
