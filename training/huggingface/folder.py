"""Exports a model to a Hugging Face folder of the type DeepseekV3, and imports one from it.

    <folder>/config.json                        dimensions, as `training.huggingface.config` says
    <folder>/generation_config.json             ids that end a text, where they are more than config.json has room for
    <folder>/model.safetensors                  weights, or
    <folder>/model-00001-of-00003.safetensors   … in several files of up to 5 GB, and
    <folder>/model.safetensors.index.json       which of them holds what

Names, the layout of RoPE and the MTP module's weights are those of DeepSeek's release (`training.huggingface.tensors`),
so the folder is what `transformers` and inference engines load. Router biases stay FP32; everything else is written in
the type that is asked for, and FP32 there and back is the same bit for bit.

The folder is written under a temporary name and renamed: it appears whole or not at all. Weights are read from
safetensors alone: a `.bin` file is a pickle, which can run code, and is refused.

Cost: the model's bytes read once and written once; memory for one tensor. `import_model` holds the whole model.
"""

import json
import secrets
import shutil
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import TEMPORARY_PREFIX, require_commit, sync_path
from corpusmill.training.checkpoint.checkpoints import AVERAGE_FILE, MODEL_FILE, json_bytes
from corpusmill.training.checkpoint.tensor_files import DTYPES, Planned, TensorFiles, write_tensors
from corpusmill.training.huggingface.config import NAMED_LATER, from_huggingface, to_huggingface
from corpusmill.training.huggingface.tensors import Piece, correspondence, pair_neighbours, swap_halves
from corpusmill.training.model.config import ModelConfig, as_dictionary

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
INDEX_FILE = "model.safetensors.index.json"
FILE_BYTES = 5_000_000_000
"""Largest file of weights, unless a single tensor is larger."""

_NAMED = 3
_IGNORED = ("rotary_emb.inv_freq",)
"""Endings of names, in older checkpoints, of tensors that are computed and not learned."""


def export_model(
    model: nn.Module | Mapping[str, Tensor],
    config: ModelConfig,
    folder: str | Path,
    dtype: str = "float32",
    *,
    more: Mapping[str, int | None] | None = None,
    beside: Sequence[Path] = (),
    file_bytes: int = FILE_BYTES,
    stop_ids: Sequence[int] = (),
) -> None:
    """Writes a Hugging Face folder.

    Args:
        model: the model or its state by name; from `TensorFiles`, tensors are read one after the other.
        config: its dimensions.
        folder: a new or an empty one.
        dtype: `float32` or `bfloat16`; router biases are FP32 in both.
        more: fields of `NAMED_LATER` for `config.json`: special ids, longest sequence.
        beside: other files to put into the folder, such as a tokenizer's.
        file_bytes: largest file of weights.
        stop_ids: ids that end a text, for `generation_config.json`; without any there is no such file.

    Raises:
        UserError: when the folder is not empty, the type is unknown, the state is of another model, or Hugging Face
            has no such model.
    """
    number_format = _dtype(dtype)
    values = to_huggingface(config, dtype, more or {})
    state = model.state_dict() if isinstance(model, nn.Module) else model
    pieces = {piece.theirs: piece for piece in correspondence(config)}
    _check_ours(state, pieces.values())

    def read(name: str) -> Tensor:
        piece = pieces[name]
        return piece.of(state[piece.ours]).detach().cpu().to(_type_of(piece, number_format))

    planned = [Planned(name, _type_of(piece, number_format), piece.shape) for name, piece in pieces.items()]
    with _new_folder(Path(folder)) as made:
        _write_weights(made, planned, read, file_bytes)
        for path in beside:
            shutil.copyfile(path, made / path.name)
        if stop_ids:
            special = {name: values[name] for name in ("bos_token_id", "pad_token_id") if values.get(name) is not None}
            (made / GENERATION_FILE).write_bytes(json_bytes(special | {"eos_token_id": list(stop_ids)}))
        (made / CONFIG_FILE).write_bytes(json_bytes(values))


def _type_of(piece: Piece, number_format: torch.dtype) -> torch.dtype:
    return torch.float32 if piece.is_bias else number_format


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise UserError(f"'{name}' is not a number format for weights", hint=f"choose {' or '.join(DTYPES)}")
    return DTYPES[name]


def _check_ours(state: Mapping[str, Tensor], pieces: Any) -> None:
    """Raises UserError when a state does not have exactly the tensors of its dimensions."""
    wanted: dict[str, tuple[int, ...]] = {}
    for piece in pieces:
        stacked = 0 if piece.expert is None else piece.expert + 1
        wanted[piece.ours] = (stacked, *piece.shape) if stacked else piece.shape
    where = "the state of the model"
    _compare(set(wanted), set(state), where)
    for name, shape in wanted.items():
        _check_shape(name, tuple(state[name].shape), shape, where)


def _compare(wanted: set[str], present: set[str], where: str) -> None:
    for what, names in (("missing", wanted - present), ("unexpected", present - wanted)):
        if names:
            raise UserError(f"{what} tensors: {_listed(names)}", where, "weights and configuration do not match")


def _listed(names: set[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(sorted(names)[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _check_shape(name: str, shape: tuple[int, ...], wanted: tuple[int, ...], where: str) -> None:
    if shape != wanted:
        hint = "weights and configuration do not match"
        raise UserError(f"'{name}' has the shape {list(shape)}; its configuration says {list(wanted)}", where, hint)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name once its content is on disk."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError("this already exists", where=str(folder), hint="choose another folder, or remove it")
    require_commit()
    absolute = folder.absolute()
    temporary = absolute.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{absolute.name}"
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path in temporary.iterdir():
            sync_path(path)
        sync_path(temporary)
        require_commit()
        temporary.rename(absolute)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_path(absolute.parent)


def _write_weights(folder: Path, planned: list[Planned], read: Any, file_bytes: int) -> None:
    """One file, or several and their index, in the order that is planned."""
    files: list[list[Planned]] = [[]]
    filled = 0
    for group in planned:
        if files[-1] and filled + group.size > file_bytes:
            files.append([])
            filled = 0
        files[-1].append(group)
        filled += group.size
    if len(files) == 1:
        write_tensors(folder / MODEL_FILE, files[0], read)
        return
    placed = {}
    for number, tensors in enumerate(files, 1):
        name = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        write_tensors(folder / name, tensors, read)
        placed.update({tensor.name: name for tensor in tensors})
    total = sum(group.size for group in planned)
    (folder / INDEX_FILE).write_bytes(json_bytes({"metadata": {"total_size": total}, "weight_map": placed}))


@dataclass(frozen=True)
class ForeignModel:
    """A Hugging Face folder that has been checked: every tensor is there and has its shape; none has been read."""

    folder: Path
    config: ModelConfig
    values: Mapping[str, Any]
    """The content of `config.json`."""
    tensors: TensorFiles
    pieces: Mapping[str, list[Piece]]
    """By our name, the pieces that a tensor is assembled from."""
    left_behind: int = 0
    """MTP modules that `config.json` names and the weights lack."""
    mtp: "ForeignModel | None" = None
    """The folder that MTP modules are taken from, where these weights lack them."""

    def read(self, name: str, dtype: str = "float32") -> Tensor:
        """One tensor of ours, in this type; a router's bias in FP32. Raises UserError for FP8 and for whole numbers."""
        if self.mtp is not None and name.startswith("mtp."):
            return self.mtp.read(name, dtype)
        pieces = self.pieces[name]
        kind = _type_of(pieces[0], _dtype(dtype))
        if pieces[0].expert is not None:
            return torch.stack([self._taken(piece).to(kind) for piece in pieces])
        tensor = self._taken(pieces[0]).to(kind, copy=True)
        if pieces[0].halves_swapped:
            tensor = swap_halves(tensor)
        # transformers takes a missing field for true, and null for false.
        return tensor if self.values.get("rope_interleave", True) else pair_neighbours(name, tensor, self.config)

    def _taken(self, piece: Piece) -> Tensor:
        tensor = self.tensors[piece.theirs]
        if not tensor.is_floating_point() or tensor.dtype.itemsize < torch.bfloat16.itemsize:
            raise UserError(
                f"'{piece.theirs}' is {str(tensor.dtype).removeprefix('torch.')}",
                where=str(self.folder),
                hint="convert the weights to BF16 first",
            )
        return tensor


def open_model(folder: str | Path, mtp: str | Path | None = None) -> ForeignModel:
    """Opens a Hugging Face folder and checks it. MTP modules are taken if their weights are there.

    Args:
        folder: the model.
        mtp: a folder with MTP modules for a model that lacks them: transformers and trainers on it do not read them
            from what was exported, so what they save has none. Its other weights are not looked at.

    Raises:
        UserError: for a folder without a model, another type of model, dimensions that have no counterpart here,
            tensors that are missing, unexpected or of the wrong shape, and an MTP module whose copy of embedding or
            head differs from the main model's.
    """
    folder = Path(folder)
    values = _read_json(folder / CONFIG_FILE)
    config = from_huggingface(values, str(folder / CONFIG_FILE))
    tensors = TensorFiles(_weight_files(folder))
    prefixes = tuple(f"model.layers.{config.n_layers + depth}." for depth in range(config.mtp_depth))
    if not any(name.startswith(prefixes) for name in tensors):
        # transformers states one module in `config.json` and saves none.
        left_behind, config = config.mtp_depth, replace(config, mtp_depth=0)
    else:
        left_behind = 0
    expected = correspondence(config)
    present = {name for name in tensors if not name.endswith(_IGNORED)}
    copies = {piece.theirs for piece in expected if piece.copy}
    _compare({piece.theirs for piece in expected if piece.theirs in present or not piece.copy}, present, str(folder))
    own = {piece.ours: piece.theirs for piece in expected if not piece.copy}
    pieces: dict[str, list[Piece]] = {}
    for piece in expected:
        if piece.theirs not in present:
            continue
        _check_shape(piece.theirs, tensors.shapes[piece.theirs], piece.shape, str(folder))
        if piece.theirs not in copies:
            pieces.setdefault(piece.ours, []).append(piece)
        elif not torch.equal(tensors[piece.theirs], tensors[own[piece.ours]]):
            raise UserError(f"'{piece.theirs}' is not the main model's, which this model shares", where=str(folder))
    opened = ForeignModel(folder, config, values, tensors, pieces, left_behind)
    return opened if mtp is None else _with_mtp(opened, open_model(mtp))


def _with_mtp(model: ForeignModel, other: ForeignModel) -> ForeignModel:
    """A model with the MTP modules of another of the same dimensions. Raises UserError where that makes no sense."""
    where = str(other.folder)
    if model.config.mtp_depth:
        raise UserError("this model has MTP modules of its own", str(model.folder), "leave the others out")
    if not other.config.mtp_depth:
        raise UserError("there are no MTP modules here", where, "name the folder that was exported")
    config = replace(model.config, mtp_depth=other.config.mtp_depth)
    if config != other.config:
        raise UserError("these MTP modules are of a model of other dimensions", where, "name the folder it came from")
    pieces = {name: made_of for name, made_of in other.pieces.items() if name.startswith("mtp.")}
    return replace(model, config=config, pieces={**model.pieces, **pieces}, left_behind=0, mtp=other)


def import_model(folder: str | Path, dtype: str = "float32") -> tuple[ModelConfig, dict[str, Tensor]]:
    """Dimensions and state of a Hugging Face folder, for `Transformer.load_state_dict`. Raises as `open_model`."""
    opened = open_model(folder)
    return opened.config, {name: opened.read(name, dtype) for name in opened.pieces}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError("no such file", where=str(path), hint="name a folder with a config.json") from error
    except ValueError as error:
        raise UserError("not JSON", where=str(path)) from error
    if not isinstance(values, dict):
        raise UserError("not a JSON object", where=str(path))
    return values


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises UserError where there are none, or an index names others."""
    index = folder / INDEX_FILE
    if index.exists():
        names = _read_json(index).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise UserError("not an index of weights: it has no weight_map", where=str(index))
        files = sorted(set(names.values()))
        if outside := [name for name in files if Path(name).name != name]:
            raise UserError(f"the index names {outside[0]!r}, which is not in its folder", where=str(index))
        return [folder / name for name in files]
    if (folder / MODEL_FILE).exists():
        return [folder / MODEL_FILE]
    if next(folder.glob("*.bin"), None) is not None:
        raise UserError(
            "the weights are pickle files (.bin), which can run code", str(folder), "save them as safetensors first"
        )
    raise UserError(f"there is no {MODEL_FILE}", where=str(folder), hint="name a folder with safetensors files")


def export_run(
    run: str | Path,
    folder: str | Path,
    dtype: str = "float32",
    beside: Sequence[Path] = (),
    average: bool = False,
    stop_ids: Sequence[int] = (),
) -> ModelConfig:
    """Writes the final weights of a finished run, or of an imported model, as a Hugging Face folder.

    Special ids and the longest sequence come from the shards that the run was trained on. With `average` weights are
    the moving average of the run; router biases, which have none, are the trained ones. Raises as `export_model`, and
    for a folder without weights, or without an average where that is wanted.
    """
    run = Path(run)
    config, values = read_run_config(run)
    if not (run / MODEL_FILE).exists():
        raise UserError(f"there is no {MODEL_FILE}", where=str(run), hint="train to the end first")
    more = values.get("huggingface")
    if more is None and (shards := values.get("shards")):
        special = shards["special"]
        more = {f"{role}_token_id": special[role] for role in ("bos", "eos", "pad")}
        more["max_position_embeddings"] = shards["sequence_length"]
    weights: Mapping[str, Tensor] = TensorFiles([run / MODEL_FILE])
    if average:
        if not (run / AVERAGE_FILE).exists():
            hint = "train with average_decay, or export the trained weights"
            raise UserError("this run has no moving average", where=str(run), hint=hint)
        weights = ChainMap(TensorFiles([run / AVERAGE_FILE]), weights)  # type: ignore[arg-type]  # only read
    export_model(weights, config, folder, dtype, more=more, beside=beside, stop_ids=stop_ids)
    return config


def read_run_config(run: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """(dimensions, all of `config.json`) of a run folder. Raises UserError when it is none."""
    values = _read_json(run / CONFIG_FILE)
    try:
        return ModelConfig(**values["model"]), values
    except (KeyError, TypeError) as error:
        raise UserError("not the folder of a training run", where=str(run), hint="name the output of train") from error


def import_run(
    folder: str | Path, output: str | Path, dtype: str = "float32", mtp: str | Path | None = None
) -> ForeignModel:
    """Writes a Hugging Face folder as one that looks like a finished run: `model.safetensors` and `config.json`.

    One tensor is in memory at a time. Gives what was opened. Raises as `open_model`, and when `output` is not empty.
    """
    opened = open_model(folder, mtp)
    kind = _dtype(dtype)
    planned = []
    for name, pieces in opened.pieces.items():
        stacked = () if pieces[0].expert is None else (len(pieces),)
        planned.append(Planned(name, _type_of(pieces[0], kind), (*stacked, *pieces[0].shape)))
    more = {name: opened.values[name] for name in NAMED_LATER if isinstance(opened.values.get(name), int)}
    with _new_folder(Path(output)) as made:
        write_tensors(made / MODEL_FILE, planned, lambda name: opened.read(name, dtype))
        described = {"model": as_dictionary(opened.config), "huggingface": more}
        (made / CONFIG_FILE).write_bytes(json_bytes(described))
    return opened
