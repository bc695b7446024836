"""A trained model to generate or measure with, from whatever folder it lies in.

    a finished run        its final weights, or the moving average that it kept
    an imported model     made by `corpusmill model import`
    a checkpoint of a run its folder, `checkpoints/step-000100`, or the average that is in it

Weights are read as for a run that starts from them (`training/weights_start.py`), so the same folders are refused with
the same words. Router biases have no average; the averaged model has the trained ones.

Cost: the weights in memory twice while they are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.training.checkpoint.checkpoints import AVERAGE_FILE, STATE_FILE, read_state, read_tensors
from corpusmill.training.checkpoint.tensor_files import DTYPES, TensorFiles
from corpusmill.training.huggingface.folder import CONFIG_FILE, read_run_config
from corpusmill.training.model.config import ModelConfig
from corpusmill.training.model.transformer import Transformer, build_model
from corpusmill.training.precision import compute_types
from corpusmill.training.weights_start import start_weights


@dataclass(frozen=True)
class Trained:
    """A model in evaluation mode, and what is known of its shards."""

    model: Transformer
    shards: Mapping[str, Any]
    """The header of the shards that it was trained on: `vocab_size`, `special`, `tokenizer`, `sequence_length`; empty
    for imported models."""
    extra: Mapping[str, Any]
    """Special ids of an imported model, as `config.json` has them: `eos_token_id`, …"""

    @property
    def config(self) -> ModelConfig:
        """Its dimensions."""
        return self.model.config

    def special(self, role: str) -> int | None:
        """The id of `bos`, `eos` or `pad`; None where it is not known."""
        value = (self.shards.get("special") or {}).get(role, self.extra.get(f"{role}_token_id"))
        return value if isinstance(value, int) and value >= 0 else None


def open_trained(
    folder: str | Path, *, average: bool = False, dtype: str = "float32", device: torch.device | str = "cpu"
) -> Trained:
    """Reads a model.

    Args:
        folder: of a finished run, an imported model or a checkpoint.
        average: the moving average rather than the trained weights.
        dtype: `float32` or `bfloat16`; routers' scores and biases are FP32 in both.
        device: where it computes.

    Raises:
        UserError: for any other folder, and where there is no average.
    """
    folder = Path(folder)
    if dtype not in DTYPES:
        raise UserError(f"'{dtype}' is not a number format for weights", hint=f"choose {' or '.join(DTYPES)}")
    config, shards, extra = describe_folder(folder)
    state = dict(start_weights(folder, config))
    if average:
        state = {**state, **_average(folder)}
    model = build_model(config, device)
    model.load_state_dict(state)
    types = compute_types(model, dtype)
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(types[name])
    return Trained(model.eval().requires_grad_(False), shards, extra)


def describe_folder(folder: Path) -> tuple[ModelConfig, Mapping[str, Any], Mapping[str, Any]]:
    """Dimensions, header of the shards, and what an imported model says of its tokens."""
    if (folder / STATE_FILE).is_file():
        run = read_state(folder)["run"]
        return ModelConfig(**run["model"]), run["shards"], {}
    if not (folder / CONFIG_FILE).is_file() and (folder / "checkpoints").is_dir():
        steps = sorted(path.name for path in (folder / "checkpoints").glob("step-*"))
        hint = f"name a checkpoint such as {folder / 'checkpoints' / steps[-1]}" if steps else "train it to its end"
        raise UserError("this run is not finished", where=str(folder), hint=hint)
    config, values = read_run_config(folder)
    return config, values.get("shards") or {}, values.get("huggingface") or {}


def _average(folder: Path) -> dict[str, Tensor]:
    """The averaged weights by name. Raises UserError where there are none."""
    hint = "train with average_decay, or leave the average out"
    if (folder / STATE_FILE).is_file():
        tensors = read_tensors(folder, "average.")
    elif (folder / AVERAGE_FILE).is_file():
        files = TensorFiles([folder / AVERAGE_FILE])
        tensors = {name: files[name].to(torch.float32, copy=True) for name in files}
    else:
        tensors = {}
    if not tensors:
        raise UserError("this run has no moving average", where=str(folder), hint=hint)
    return tensors
