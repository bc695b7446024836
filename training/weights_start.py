"""Weights to start a run from: those of another run, in another phase of training or on other data.

Such a run has a new optimiser, a new schedule and its own order of data; only weights and router biases are carried
over. They may come from

    a finished run        its `model.safetensors`, with `config.json`
    an imported model     the same, made by `corpusmill model import`
    a checkpoint of a run its folder, `checkpoints/step-000100`

An unfinished run is refused: which checkpoint is its newest depends on when one looks, and a run's numbers may depend
on its settings alone. A Hugging Face folder is refused as well; import it first, once.

Dimensions have to match those of the new run, except where they have no weights: YaRN, which is switched on between
phases (section 4.3), and the standard deviation of initial weights, which are not drawn here. MTP modules that the run
does not have are left behind; if it has more than the weights do, that is an error, because a new module among trained
ones is a decision, not a detail. Vocabularies are compared by size, and by the tokenizer's fingerprint where both are
known.

Cost: the weights read once, one tensor in memory at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.training.checkpoint.checkpoints import MODEL_FILE, STATE_FILE, read_state
from corpusmill.training.checkpoint.plan import CheckpointTensors
from corpusmill.training.checkpoint.tensor_files import CODES, TensorFiles
from corpusmill.training.huggingface.folder import CONFIG_FILE, read_run_config
from corpusmill.training.model.config import ModelConfig
from corpusmill.training.model.transformer import Transformer

_WITHOUT_WEIGHTS = {"rope_factor", "original_seq_len", "beta_fast", "beta_slow", "mscale", "init_std"}
_TAKEN = ("float64", "float32", "float16", "bfloat16")
_NAMED = 3


def start_weights(folder: str | Path, config: ModelConfig, tokenizer: str | None = None) -> Mapping[str, Tensor]:
    """Weights and router biases by name, FP32 on the CPU, each read when it is taken.

    Args:
        folder: of a finished run, an imported model or a checkpoint.
        config: dimensions of the run that starts.
        tokenizer: fingerprint of its shards' tokenizer; where it is given, weights of another one are an error.

    Raises:
        UserError: for any other folder; for other dimensions, too few MTP modules or another tokenizer;
            for tensors that are missing, unexpected, of another shape, or not floating-point.
    """
    folder = Path(folder)
    if (folder / STATE_FILE).is_file():
        state = read_state(folder)["run"]
        source, shards = ModelConfig(**state["model"]), state["shards"]
        _check(source, config, shards, tokenizer, str(folder))
        tensors: TensorFiles | CheckpointTensors = CheckpointTensors(folder, "model.")
    else:
        _require_finished(folder)
        source, values = read_run_config(folder)
        _check(source, config, values.get("shards") or {}, tokenizer, str(folder))
        tensors = TensorFiles([folder / MODEL_FILE])
    return _fitting(tensors, config, source, str(folder))


def _require_finished(folder: Path) -> None:
    """Raises UserError for a folder without final weights and dimensions of ours; says what it might be instead."""
    if not folder.is_dir():
        raise UserError("no such folder", where=str(folder), hint="name a finished run or an imported model")
    if (folder / MODEL_FILE).is_file() and (folder / CONFIG_FILE).is_file():
        return
    checkpoints = sorted((folder / "checkpoints").glob("step-*"))
    if checkpoints:
        hint = f"train it to its end, or name a checkpoint such as {checkpoints[-1]}"
        raise UserError("this run is not finished", where=str(folder), hint=hint)
    raise UserError(
        f"no {MODEL_FILE} with a {CONFIG_FILE} found",
        where=str(folder),
        hint="name a finished run, or bring a Hugging Face folder in with 'corpusmill model import'",
    )


def _check(
    source: ModelConfig, wanted: ModelConfig, shards: Mapping[str, Any], tokenizer: str | None, where: str
) -> None:
    """Raises UserError where weights with the dimensions `source` do not fit a model with those of `wanted`."""
    known = shards.get("tokenizer")
    if tokenizer is not None and known is not None and known != tokenizer:
        what = f"these weights are of the tokenizer {known}, the shards of {tokenizer}"
        raise UserError(what, where=where, hint="pack the text with the tokenizer of the weights")
    if source.vocab_size != wanted.vocab_size:
        what = f"these weights have {source.vocab_size} vocabulary rows, and {wanted.vocab_size} are needed"
        larger = source.vocab_size > wanted.vocab_size
        hint = f"give the model vocab_size {source.vocab_size}" if larger else "pack with the tokenizer of the weights"
        raise UserError(what, where=where, hint=hint)
    if source.mtp_depth < wanted.mtp_depth:
        what = f"these weights have {source.mtp_depth} MTP modules, and {wanted.mtp_depth} are needed"
        raise UserError(what, where=where, hint=f"give the model mtp_depth {source.mtp_depth}")
    here, there = asdict(source), asdict(wanted)
    compared = here.keys() - _WITHOUT_WEIGHTS - {"mtp_depth", "vocab_size"}
    other = sorted(name for name in compared if here[name] != there[name])
    if other:
        listed = _listed([f"{name} {here[name]} and not {there[name]}" for name in other])
        raise UserError(
            f"these weights have {listed}", where=where, hint="choose the preset that they were trained with"
        )


class _Fitting(Mapping[str, Tensor]):
    """Tensors that were checked, in FP32, read one by one."""

    def __init__(self, tensors: Mapping[str, Tensor], names: Sequence[str]) -> None:
        self._tensors, self._names = tensors, names

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name].to(torch.float32, copy=True)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _fitting(
    tensors: TensorFiles | CheckpointTensors, config: ModelConfig, source: ModelConfig, where: str
) -> Mapping[str, Tensor]:
    """The tensors of a model, in FP32; those of MTP modules that it does not have are left behind."""
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in Transformer(config).state_dict().items()}
    left_behind = tuple(f"mtp.{depth}." for depth in range(config.mtp_depth, source.mtp_depth))
    there = {name for name in tensors if not name.startswith(left_behind)}
    for what, names in (("missing", wanted.keys() - there), ("unexpected", there - wanted.keys())):
        if names:
            raise UserError(f"{what} tensors: {_listed(sorted(names))}", where=where, hint="copy the whole folder")
    for name, shape in wanted.items():
        kind = _type_of(tensors, name)
        if tensors.shapes[name] != shape or kind not in _TAKEN:
            what = f"'{name}' is {kind} {list(tensors.shapes[name])}, and needed is float32 or bfloat16 {list(shape)}"
            raise UserError(what, where=where, hint="weights and their configuration do not match")
    return _Fitting(tensors, list(wanted))


def _type_of(tensors: TensorFiles | CheckpointTensors, name: str) -> str:
    """A tensor's type by torch's name, as far as it has one there."""
    if isinstance(tensors, CheckpointTensors):
        return str(tensors.dtypes[name]).removeprefix("torch.")
    code = tensors.codes[name]
    known = {value: str(dtype).removeprefix("torch.") for dtype, value in CODES.items()}
    return known.get(code, code)


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
