"""Checkpoints that a kill at any moment leaves loadable, without pickle.

    checkpoints/step-000050/model.safetensors      parameters and router biases, by name
    checkpoints/step-000050/optimizer.safetensors  AdamW's moments
    checkpoints/step-000050/state.json             step, tokens, the loader's integer, settings
    checkpoints/latest                             the name of the newest whole checkpoint

A checkpoint is written and synced under a temporary name, the folder is renamed, `latest` is replaced, and only then
are old checkpoints removed: whatever `latest` names is whole. Bytes depend on the values alone. Local folders only;
renaming is what makes it atomic.

Cost: three times the model in FP32 on disk for each checkpoint kept, and one more while writing; the write blocks.
"""

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dataproc.errors import UserError
from dataproc.storage import TEMPORARY_PREFIX, commit_bytes, require_commit, sync_path
from training.optimizer import optimizer_tensors, restore_optimizer

MODEL_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
LATEST = "latest"


def checkpoint_name(step: int) -> str:
    """The folder of the checkpoint after this many steps; names sort as steps do up to a million."""
    return f"step-{step:06d}"


def json_bytes(value: Any) -> bytes:
    """JSON for a file: sorted keys and a final line end, so equal values give equal bytes."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def save_checkpoint(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any], keep: int
) -> Path:
    """Writes the checkpoint of `state["step"]`, points `latest` to it, and removes all but the newest `keep` (>= 1)."""
    target = folder / checkpoint_name(state["step"])
    if latest_checkpoint(folder) == target:
        return target
    require_commit()
    temporary = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{target.name}"
    temporary.mkdir(parents=True)
    try:
        save_tensors(temporary / MODEL_FILE, model.state_dict())
        save_tensors(temporary / OPTIMIZER_FILE, optimizer_tensors(model, optimizer))
        (temporary / STATE_FILE).write_bytes(json_bytes(state))
        for path in temporary.iterdir():
            sync_path(path)
        sync_path(temporary)
        require_commit()
        # A run killed between the two renames below leaves this folder, which `latest` does not name.
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_path(folder)
    commit_bytes(str(folder / LATEST), target.name.encode())
    sync_path(folder)
    _remove_old(folder, target, keep)
    return target


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """A safetensors file of these tensors."""
    save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, str(path))


def _remove_old(folder: Path, newest: Path, keep: int) -> None:
    for stale in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
    others = sorted(
        (path for path in folder.glob("step-*") if path != newest), key=lambda path: (len(path.name), path.name)
    )
    for stale in others[: len(others) - (keep - 1)] if keep > 1 else others:
        shutil.rmtree(stale, ignore_errors=True)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None before the first. Raises UserError when the one that is named is gone."""
    marker = folder / LATEST
    if not marker.exists():
        return None
    named = folder / marker.read_text().strip()
    if named.parent != folder or not (named / STATE_FILE).is_file():
        raise UserError(
            "the checkpoint that 'latest' names is not there", where=str(marker), mend="restore or remove it"
        )
    return named


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What `state.json` of a checkpoint holds."""
    return json.loads((checkpoint / STATE_FILE).read_bytes())


def load_checkpoint(checkpoint: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Fills model and optimiser from a checkpoint; returns its state. Raises UserError when they don't fit."""
    state = read_state(checkpoint)
    try:
        model.load_state_dict(load_file(str(checkpoint / MODEL_FILE)))
        if state["step"]:
            restore_optimizer(model, optimizer, load_file(str(checkpoint / OPTIMIZER_FILE)), state["step"])
    except (RuntimeError, KeyError) as error:
        raise UserError(
            "this checkpoint is of another model", where=str(checkpoint), mend="use its own settings"
        ) from error
    return state
