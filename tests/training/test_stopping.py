"""How a run ends before its time: by SIGTERM, and by a checkpoint that could not be written."""

import errno
import os
import signal
from pathlib import Path

import pytest

import corpusmill.training.checkpoint.storage as storage
from corpusmill.dataproc.errors import UserError
from corpusmill.training.trainer import train
from corpusmill.training.watching.metrics import read_metrics
from tests.training.test_trainer import run_files, settings_of


def test_sigterm_saves_and_the_next_start_goes_on_bit_for_bit(shard_folder: Path, tmp_path: Path):
    straight = settings_of(shard_folder, tmp_path / "straight", steps=8, checkpoint_every=100)
    train(straight, tmp_path / "straight/_state")
    ended = settings_of(shard_folder, tmp_path / "ended", steps=8, checkpoint_every=100)
    handler = signal.getsignal(signal.SIGTERM)

    def on_step(line: dict) -> None:
        if line["step"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(UserError, match="stopped by SIGTERM after step 4, which is saved; run again"):
        train(ended, tmp_path / "ended/_state", on_step)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert (tmp_path / "ended/checkpoints/latest").read_text() == "step-000004"
    train(ended, tmp_path / "ended/_state")
    one, other = (run_files(tmp_path / name) for name in ("straight", "ended"))
    assert {name: data for name, data in other.items() if "step-000004" not in name} == one


def test_a_save_that_fails_beside_the_training_ends_it_soon_in_one_line(
    shard_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    settings = settings_of(shard_folder, tmp_path / "run", steps=60, checkpoint_every=50, evaluate_every=60)
    steps: list[int] = []
    monkeypatch.setattr(storage, "write_tensors", full)
    with pytest.raises(UserError, match="no space left for a checkpoint"):
        train(settings, tmp_path / "run/_state", lambda line: steps.append(line["step"]))
    assert 50 <= steps[-1] < 60
    assert [line["step"] for line in read_metrics(tmp_path / "run/metrics.jsonl")] == steps
