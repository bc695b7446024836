import contextlib
import json
from pathlib import Path

import pytest
import torch

import training.checkpoint as checkpoint
from dataproc.errors import UserError
from dataproc.storage import commits_only_while
from training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from training.config import preset
from training.loss import losses
from training.model import Transformer, initialise
from training.optimizer import make_optimizer, optimizer_tensors, set_learning_rate


def _trained(steps: int = 2):
    model = Transformer(preset("tiny"))
    initialise(model, 0)
    optimizer = make_optimizer(model)
    set_learning_rate(optimizer, 1e-3)
    tokens = torch.arange(3, 35).unsqueeze(0)
    for _ in range(steps):
        losses(model, tokens, tokens > 0).total(31, 1, 0.3, 1e-4).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.layers[1].ffn.gate.bias += 0.25
    return model, optimizer


def _save(folder: Path, step: int, keep: int = 2, trained=None) -> Path:
    model, optimizer = trained or _trained()
    return save_checkpoint(folder, model, optimizer, {"step": step, "tokens": 7}, keep)


def test_everything_comes_back(tmp_path: Path):
    model, optimizer = _trained()
    path = _save(tmp_path, 2, trained=(model, optimizer))
    other = Transformer(preset("tiny"))
    other_optimizer = make_optimizer(other)
    assert load_checkpoint(path, other, other_optimizer) == {"step": 2, "tokens": 7}
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))
    assert "layers.1.ffn.gate.bias" in model.state_dict() and "mtp.0.block.ffn.gate.bias" in model.state_dict()
    saved, loaded = optimizer_tensors(model, optimizer), optimizer_tensors(other, other_optimizer)
    assert saved.keys() == loaded.keys() and all(torch.equal(saved[name], loaded[name]) for name in saved)
    assert {float(state["step"]) for state in other_optimizer.state.values()} == {2.0}


def test_bytes_follow_from_the_values(tmp_path: Path):
    one, other = _save(tmp_path / "a", 2), _save(tmp_path / "b", 2)
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_the_last_n_are_kept(tmp_path: Path):
    trained = _trained()
    for step in (5, 10, 15, 20):
        _save(tmp_path, step, keep=2, trained=trained)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-000015", "step-000020"]
    _save(tmp_path, 25, keep=1, trained=trained)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-000025"]


CALLS = ["save_tensors", "sync_path", "commit_bytes", "_remove_old"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("when", range(5))
def test_a_death_at_any_point_leaves_a_loadable_checkpoint(tmp_path: Path, monkeypatch, call: str, when: int):
    """Each outside call of a save is cut off in turn, as a kill would; nothing may be tidied up afterwards."""
    trained = _trained()
    _save(tmp_path, 5, trained=trained)
    real, count = getattr(checkpoint, call), 0

    class Death(BaseException):
        pass

    def dying(*arguments):
        nonlocal count
        count += 1
        if count == when + 1:
            raise Death
        return real(*arguments)

    monkeypatch.setattr(checkpoint, call, dying)
    monkeypatch.setattr(checkpoint.shutil, "rmtree", _no_rmtree_in_a_dead_process(lambda: count > when))
    with contextlib.suppress(Death):
        _save(tmp_path, 10, trained=trained)
    monkeypatch.undo()
    newest = latest_checkpoint(tmp_path)
    assert newest is not None and newest.name in ("step-000005", "step-000010")
    other = Transformer(preset("tiny"))
    load_checkpoint(newest, other, make_optimizer(other))
    _save(tmp_path, 10, trained=trained)
    _save(tmp_path, 15, trained=trained)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-000010", "step-000015"]


def _no_rmtree_in_a_dead_process(dead):
    import shutil

    real = shutil.rmtree

    def rmtree(path, ignore_errors=False):
        if not dead():
            real(path, ignore_errors=ignore_errors)

    return rmtree


def test_a_trainer_whose_driver_is_gone_writes_no_checkpoint(tmp_path: Path):
    def check() -> None:
        raise UserError("another driver has taken this output over")

    with commits_only_while(check), pytest.raises(UserError):
        _save(tmp_path, 2)
    assert list(tmp_path.iterdir()) == []


def test_no_checkpoint_yet(tmp_path: Path):
    assert latest_checkpoint(tmp_path) is None


def test_a_lost_checkpoint_is_named(tmp_path: Path):
    (tmp_path / "latest").write_text("step-000007")
    with pytest.raises(UserError, match="latest"):
        latest_checkpoint(tmp_path)
    (tmp_path / "latest").write_text("../step-000007")
    with pytest.raises(UserError, match="latest"):
        latest_checkpoint(tmp_path)


def test_another_models_checkpoint_is_refused(tmp_path: Path):
    path = _save(tmp_path, 2)
    model = Transformer(preset("tiny", {"n_layers": 3}))
    with pytest.raises(UserError, match="another model"):
        load_checkpoint(path, model, make_optimizer(model))


def test_a_checkpoint_holds_no_pickle(tmp_path: Path):
    path = _save(tmp_path, 2)
    assert sorted(file.name for file in path.iterdir()) == ["model.safetensors", "optimizer.safetensors", "state.json"]
    assert json.loads((path / "state.json").read_text())["step"] == 2
    header = (path / "model.safetensors").read_bytes()[8:9]
    assert header == b"{"
