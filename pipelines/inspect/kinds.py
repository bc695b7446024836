"""Folders and files without a manifest of ours: the index, checkpoints, and what other programs make.

Each kind is recognised by the names in a folder, and described by its headers and small files alone, whatever its size:
checkpoints by their index, Hugging Face's folders by their JSON, Megatron's `.idx` by its first 34 bytes, MDS by its
`index.json`, safetensors by its header.
"""

import json
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError

INDEX, CHECKPOINT, CHECKPOINTS, MODEL_FILES = "index", "checkpoint", "checkpoints", "model files"
HF_TOKENIZER, HF_DATASET, MEGATRON, MDS, FLAT = "tokenizer files", "saved dataset", "megatron", "mds", "flat tokens"

_MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
_MEGATRON_TYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float64", 7: "float32", 8: "uint16"}
_TYPE_BYTES = {"uint8": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "float32": 4, "int64": 8}
_MOST_HEADER = 64 << 20

Description = dict[str, Any]
"""Names and values, some of them a level deeper: the sections of an overview."""


@dataclass(frozen=True)
class Kind:
    """A kind of folder or file.

    Attributes:
        what: its name, in `inspect --json`.
        title: what it is, for people.
        fits: whether a path is one, by the names in it (none for a file).
        describe: what its small files say.
    """

    what: str
    title: str
    fits: Callable[[str, Collection[str]], bool]
    describe: Callable[[str], Description]


def kind_of(path: str, names: Collection[str]) -> Kind | None:
    """The kind of a path that no stage made; None for an unknown one."""
    return next((kind for kind in KINDS if kind.fits(path, names)), None)


def kind_named(what: str) -> Kind | None:
    """The kind of a name."""
    return next((kind for kind in KINDS if kind.what == what), None)


def _index(path: str) -> Description:
    from corpusmill.dataproc.dedup.index_files import require_generation

    generation = require_generation(path)
    segments = generation.segments
    return {
        "change": generation.number,
        "segments": {
            str(entry.number): f"{entry.documents:,} documents of {len(entry.datasets):,} datasets, "
            f"{entry.retracted:,} documents retracted, {entry.bytes:,} bytes"
            for entry in segments
        },
        "datasets": {
            one.path: f"{one.documents:,} documents, segment {entry.number}"
            for entry in segments
            for one in entry.datasets
            if not one.is_retracted
        },
        "documents": sum(entry.documents - entry.retracted for entry in segments),
        "bytes": sum(entry.bytes for entry in segments),
        "retracted datasets": sum(len(entry.datasets) for entry in generation.retracted)
        + sum(one.is_retracted for entry in segments for one in entry.datasets),
        "merged segments": len(generation.merged),
        "settings": _written(generation.settings),
    }


def _checkpoint(path: str) -> Description:
    index, state = (_json(storage.join(path, name)) for name in ("index.json", "state.json"))
    tensors: Mapping[str, Any] = index["tensors"]
    kinds: dict[str, list[int]] = {}
    for name, tensor in tensors.items():
        counted = kinds.setdefault(name.partition(".")[0], [0, 0])
        counted[0] += 1
        counted[1] += _size(tensor["shape"])
    run = state.get("run", {})
    return {
        "step": state.get("step"),
        "sequences read": state.get("loader", {}).get("sequences_consumed"),
        "tokens": state.get("tokens", state.get("positions")),
        "ranks": len(index["files"]),
        "bytes": sum(index["files"].values()),
        "tensors": {name: f"{count:,} tensors, {size:,} numbers" for name, (count, size) in sorted(kinds.items())},
        "model": _written(run.get("model", {})),
        "settings": _written({name: value for name, value in run.items() if not isinstance(value, dict)}),
    }


def _checkpoints(path: str) -> Description:
    steps = [name for name in storage.list_names(path) if name.startswith("step-")]
    latest = storage.read_bytes(storage.join(path, "latest")).decode(errors="replace").strip()
    sizes = {}
    for name in steps:
        index = storage.join(path, name, "index.json")
        sizes[name] = f"{sum(_json(index)['files'].values()):,} bytes" if storage.exists(index) else "not whole"
    return {"latest": latest, "checkpoints": sizes}


def _model_files(path: str) -> Description:
    names = storage.list_names(path)
    weights = [name for name in names if name.endswith(".safetensors")]
    tensors = dict(item for name in weights for item in _safetensors(storage.join(path, name)).items())
    types: dict[str, int] = {}
    for tensor in tensors.values():
        types[tensor["dtype"]] = types.get(tensor["dtype"], 0) + _size(tensor["shape"])
    config = _json(storage.join(path, "config.json")) if "config.json" in names else {}
    return {
        "architecture": ", ".join(config.get("architectures") or ()) or config.get("model_type"),
        "parameters": sum(types.values()),
        "tensors": len(tensors),
        "types": {name: f"{size:,} numbers" for name, size in sorted(types.items())},
        "files": {name: f"{storage.size(storage.join(path, name)):,} bytes" for name in weights},
        "tokenizer": "tokenizer.json" in names,
        "config": _written({name: value for name, value in config.items() if not isinstance(value, dict | list)}),
    }


def _tokenizer_files(path: str) -> Description:
    tokenizer = orjson.loads(storage.read_bytes(storage.join(path, "tokenizer.json")))
    model = tokenizer.get("model", {})
    added = tokenizer.get("added_tokens", [])
    return {
        "model": model.get("type"),
        "vocabulary": len(model.get("vocab", ())),
        "merges": len(model.get("merges", ())),
        "added tokens": {token["content"]: token["id"] for token in added[:12]},
        "added": len(added),
        "pretokeniser": json.dumps(tokenizer.get("pre_tokenizer"), ensure_ascii=False),
        "normaliser": json.dumps(tokenizer.get("normalizer"), ensure_ascii=False),
    }


def _saved_dataset(path: str) -> Description:
    names = storage.list_names(path)
    if "dataset_dict.json" in names:
        splits = _json(storage.join(path, "dataset_dict.json")).get("splits", [])
        return {"splits": {name: json.dumps(_saved_dataset(storage.join(path, name))) for name in splits}}
    info = _json(storage.join(path, "dataset_info.json"))
    sizes = info.get("splits") or {}
    return {
        "rows": sum(split.get("num_examples", 0) for split in sizes.values()) or None,
        "bytes": sum(storage.size(storage.join(path, name)) for name in names if name.endswith((".arrow", ".parquet"))),
        "files": sum(name.endswith((".arrow", ".parquet")) for name in names),
        "columns": {
            name: feature.get("dtype", feature.get("_type", "")) if isinstance(feature, dict) else "list"
            for name, feature in (info.get("features") or {}).items()
        },
    }


def _megatron(path: str) -> Description:
    prefixes = _prefixes(path, ".idx")
    described = {}
    for prefix in prefixes:
        with storage.open_input(f"{prefix}.idx") as file:
            head = file.read(34)
        if len(head) < 34 or head[:9] != _MEGATRON_MAGIC:
            raise UserError("this is not a Megatron index", where=f"{prefix}.idx")
        version, code, sequences, documents = struct.unpack("<QBQQ", head[9:])
        kind = _MEGATRON_TYPES.get(code, f"unknown ({code})")
        size = storage.size(f"{prefix}.bin")
        tokens = f"{size // _TYPE_BYTES[kind]:,}" if kind in _TYPE_BYTES else "?"
        described[prefix.rsplit("/", 1)[-1]] = (
            f"{sequences:,} sequences, {max(documents - 1, 0):,} documents, {tokens} tokens as {kind}, "
            f"version {version}"
        )
    return {"sets": described}


def _mds(path: str) -> Description:
    index = _json(storage.join(path, "index.json"))
    shards: Sequence[Mapping[str, Any]] = index["shards"]
    first = shards[0] if shards else {}
    return {
        "version": index.get("version"),
        "shards": len(shards),
        "samples": sum(shard["samples"] for shard in shards),
        "bytes": sum((shard.get("zip_data") or shard["raw_data"])["bytes"] for shard in shards),
        "compression": first.get("compression"),
        "columns": dict(zip(first.get("column_names", ()), first.get("column_encodings", ()), strict=False)),
    }


def _flat(path: str) -> Description:
    described = {}
    for prefix in _prefixes(path, ".bin"):
        size = storage.size(f"{prefix}.bin")
        beside = f"{prefix}.json"
        layout = _json(beside) if storage.exists(beside) else {}
        kind = layout.get("dtype")
        tokens = f"{size // _TYPE_BYTES[kind]:,} tokens as {kind}" if kind in _TYPE_BYTES else "type of ids unknown"
        described[prefix.rsplit("/", 1)[-1]] = f"{size:,} bytes, {tokens}"
    return {"sets": described}


def _prefixes(path: str, ending: str) -> list[str]:
    """Paths without their ending: of the files in a folder, or of the one file."""
    if path.endswith((".idx", ".bin")):
        return [path[:-4]]
    return [storage.join(path, name)[: -len(ending)] for name in storage.list_names(path) if name.endswith(ending)]


def _safetensors(path: str) -> dict[str, Any]:
    """The header of a safetensors file: shapes and types by tensor."""
    with storage.open_input(path) as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        if length > _MOST_HEADER:
            raise UserError("this is not a safetensors file: its header is too long", where=path)
        try:
            header: dict[str, Any] = json.loads(file.read(length))
        except ValueError as error:
            raise UserError(f"this is not a safetensors file ({error})", where=path) from error
    header.pop("__metadata__", None)
    return header


def _json(path: str) -> Any:
    try:
        return json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise UserError(f"not a JSON file ({error})", where=path) from error


def _written(values: Mapping[str, Any]) -> dict[str, str]:
    """Settings as they are written in JSON: numbers without separators."""
    spelled = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    return spelled | {name: value for name, value in values.items() if isinstance(value, str)}


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _has(names: Collection[str], ending: str) -> bool:
    return any(name.endswith(ending) for name in names)


def _is_mds(path: str, names: Collection[str]) -> bool:
    return "index.json" in names and "shards" in _json(storage.join(path, "index.json"))


KINDS = (
    Kind(INDEX, "de-duplication index", lambda path, names: "generations" in names, _index),
    Kind(
        CHECKPOINT,
        "checkpoint of training",
        lambda path, names: {"index.json", "state.json"} <= set(names) and _has(names, ".safetensors"),
        _checkpoint,
    ),
    Kind(
        CHECKPOINTS,
        "checkpoints of a training run",
        lambda path, names: "latest" in names and any(name.startswith("step-") for name in names),
        _checkpoints,
    ),
    Kind(MODEL_FILES, "model's files", lambda path, names: _has(names, ".safetensors"), _model_files),
    Kind(
        HF_DATASET,
        "dataset saved by the library datasets",
        lambda path, names: "dataset_info.json" in names or "dataset_dict.json" in names,
        _saved_dataset,
    ),
    Kind(MDS, "MDS shards", _is_mds, _mds),
    Kind(
        MEGATRON,
        "Megatron token files",
        lambda path, names: path.endswith(".idx") or _has(names, ".idx"),
        _megatron,
    ),
    Kind(FLAT, "flat token files", lambda path, names: path.endswith(".bin") or _has(names, ".bin"), _flat),
    Kind(HF_TOKENIZER, "tokenizer's files", lambda path, names: "tokenizer.json" in names, _tokenizer_files),
)
"""In the order in which they are tried."""
