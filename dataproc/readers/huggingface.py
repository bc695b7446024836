"""Folders of Hugging Face datasets: which of their files hold the rows of a split, without the library `datasets`.

Two kinds of folder go by that name. `Dataset.save_to_disk` leaves Arrow streams and a `state.json` that lists them, one
folder a split under a `dataset_dict.json` where there are several. A repository as it lies on the Hub holds data files
(Parquet, JSON, CSV, Arrow), and says in the front matter of its README.md which of them make a configuration and a
split (`configs`, `data_files`); where it says nothing, names tell, by the patterns of `datasets` 5 in their order:
`data/<split>-00000-of-00001…`, then folders, then files with train, validation, test and the like in their names, else
all of it is `train`. Reading YAML is left to the caller. Rows are read by the readers of the formats, and ids name the
file and the row. A loading script is never run, and slices (`train[:1%]`) are not splits.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.finding import find_files
from corpusmill.dataproc.readers.registry import reader_of_ending

DATA_FORMATS = ("jsonl", "parquet", "arrow", "json", "csv")
ALL_SPLITS = "all"
SHARDED = re.compile(r"data/([^/]+)-\d{5}-of-\d{5}[^/]*\.[^/]*")
KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
SEPARATOR = "[-._ 0-9]"
IN_FOLDER = "(.*/)?([^/]*{sep})?{word}({sep}[^/]*)?/.*"
IN_NAME = "(.*/)?([^/]*{sep})?{word}{sep}[^/]*"
NO_DATA = ("README.md", "config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json")

DataFile = tuple[str, str, str]
"""(path, name below the folder, format)."""


def is_saved(folder: str) -> bool:
    """Whether a folder is what `save_to_disk` leaves."""
    return storage.exists(storage.join(folder, "dataset_dict.json")) or (
        storage.exists(storage.join(folder, "state.json")) and storage.exists(storage.join(folder, "dataset_info.json"))
    )


def find_dataset_files(
    folder: str,
    configs: Sequence[Mapping[str, Any]] = (),
    config: str | None = None,
    split: str | None = None,
    left_out: list[str] | None = None,
) -> list[DataFile]:
    """The data files of one split, or of all, in order.

    Args:
        folder: path or URL.
        configs: what README.md says under `configs`, parsed.
        config: name of one of them; None for the only one or the default one.
        split: name of a split, or "all"; None for `train`, or the only one.
        left_out: gets the links that are not followed, and the folders that may not be listed.

    Raises:
        UserError: there is no such configuration, split or file, or the folder's own description is broken.
    """
    if is_saved(folder):
        if config is not None:
            raise UserError("a folder of save_to_disk has no configurations", folder, "omit the setting config")
        splits = _saved_splits(folder)
    else:
        splits = _hub_splits(folder, configs, config, left_out)
    names = [*splits] if split == ALL_SPLITS else [_choose_split(list(splits), split, folder)]
    files = dict.fromkeys(file for name in names for file in splits[name])
    return sorted(files, key=lambda file: file[1])


def _choose_split(names: list[str], split: str | None, folder: str) -> str:
    if split is None:
        split = names[0] if len(names) == 1 else "train"
    if split not in names:
        raise UserError(f"no split '{split}' (there are {', '.join(names)})", folder, "name one of them, or all")
    return split


def _saved_splits(folder: str) -> dict[str, list[DataFile]]:
    described = storage.join(folder, "dataset_dict.json")
    if not storage.exists(described):
        name = _read_json(storage.join(folder, "state.json")).get("_split") or "train"
        return {str(name): _saved_files(folder, "")}
    splits = _read_json(described).get("splits")
    if not isinstance(splits, list) or not all(isinstance(name, str) and "/" not in name for name in splits):
        raise UserError("it has no list of splits", described, "save the dataset again")
    return {name: _saved_files(storage.join(folder, name), f"{name}/") for name in splits}


def _saved_files(folder: str, prefix: str) -> list[DataFile]:
    described = storage.join(folder, "state.json")
    files = _read_json(described).get("_data_files")
    try:
        names = [str(file["filename"]) for file in files] if isinstance(files, list) else []
    except (TypeError, KeyError):
        names = []
    if not isinstance(files, list) or len(names) != len(files) or any("/" in name for name in names):
        raise UserError("it has no list of data files", described, "save the dataset again")
    return [(storage.join(folder, name), prefix + name, "arrow") for name in names]


def _read_json(path: str) -> dict[str, Any]:
    try:
        value = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise UserError(f"not JSON ({error})", path, "save the dataset again") from error
    if not isinstance(value, dict):
        raise UserError("not a JSON object", path, "save the dataset again")
    return value


def _hub_splits(
    folder: str, configs: Sequence[Mapping[str, Any]], config: str | None, left_out: list[str] | None
) -> dict[str, list[DataFile]]:
    root = folder.rstrip("/") + "/" if storage.is_url(folder) else folder
    files = {
        name: path
        for path, name in find_files(root, left_out=left_out)
        if not any(part.startswith("__") for part in name.split("/")[:-1])
    }
    described = _choose_config(configs, config, folder)
    within = str(described.get("data_dir") or "").strip("/")
    declared = described.get("data_files")
    if declared is None:
        inner = {name: path for name, path in files.items() if not within or name.startswith(f"{within}/")}
        splits = _splits_by_name([name for name in inner if _format(name)], within)
        return {split: [(files[name], name, _format(name)) for name in names] for split, names in splits.items()}
    patterns = _declared_patterns(declared, folder)
    return {
        split: [file for pattern in of_split for file in _matching(pattern, files, within, folder)]
        for split, of_split in patterns.items()
    }


def _choose_config(configs: Sequence[Mapping[str, Any]], config: str | None, folder: str) -> Mapping[str, Any]:
    by_name = {str(entry.get("config_name")): entry for entry in configs if isinstance(entry, Mapping)}
    if config is None:
        if not by_name:
            return {}
        default = [name for name, entry in by_name.items() if entry.get("default")] or ["default"]
        config = next(iter(by_name)) if len(by_name) == 1 else default[0]
    if config not in by_name:
        named = f"there are {', '.join(by_name)}" if by_name else "its README.md names none"
        what = f"no configuration '{config}' ({named})"
        raise UserError(what, folder, "name one of them by the setting config" if by_name else "leave config out")
    return by_name[config]


def _declared_patterns(declared: Any, folder: str) -> dict[str, list[str]]:
    """Patterns by split of `data_files`: a pattern, a list of them, or a list of {split, path}."""
    patterns: dict[str, list[str]] = {}
    for entry in declared if isinstance(declared, list) else [declared]:
        split, paths = (entry.get("split"), entry.get("path")) if isinstance(entry, Mapping) else ("train", entry)
        paths = paths if isinstance(paths, list) else [paths]
        if not isinstance(split, str) or not all(isinstance(path, str) for path in paths):
            what = f"data_files holds {entry!r}, which is neither a pattern nor a split and a path"
            raise UserError(what, storage.join(folder, "README.md"))
        patterns.setdefault(split, []).extend(paths)
    return patterns


def _matching(pattern: str, files: Mapping[str, str], within: str, folder: str) -> list[DataFile]:
    from fsspec.utils import glob_translate

    whole = re.compile(glob_translate(storage.join(within, pattern) if within else pattern.removeprefix("./")))
    matches = [name for name in files if whole.match(name) and name.rsplit("/", 1)[-1] not in NO_DATA]
    if not matches:
        raise UserError(f"no file matches '{pattern}' of data_files", folder, "download the dataset whole")
    for name in matches:
        if not _format(name):
            what = f"data_files names {name}, of which no rows can be read"
            raise UserError(what, folder, f"supported formats are {', '.join(DATA_FORMATS)}")
    return [(files[name], name, _format(name)) for name in matches]


def _splits_by_name(names: list[str], within: str) -> dict[str, list[str]]:
    """Splits of data files by their names alone, as `datasets` would have them."""
    inner = {name: name[len(within) :].lstrip("/") for name in names if name.rsplit("/", 1)[-1] not in NO_DATA}
    if not inner:
        raise UserError(f"no data files ({', '.join(DATA_FORMATS)})", within or "the folder", "check the path")
    sharded = {name: match[1] for name, short in inner.items() if (match := SHARDED.fullmatch(short))}
    if sharded:
        return {
            split: [name for name in sharded if sharded[name] == split] for split in dict.fromkeys(sharded.values())
        }
    for shape in (IN_FOLDER, IN_NAME):
        splits: dict[str, list[str]] = {}
        for split, words in KEYWORDS.items():
            either = re.compile("|".join(shape.format(sep=SEPARATOR, word=word) for word in words))
            if matched := [name for name, short in inner.items() if either.fullmatch(short)]:
                splits[split] = matched
        if splits:
            return splits
    return {"train": list(inner)}


def _format(name: str) -> str:
    """The format by which rows are read; "" for a file that holds none."""
    reader = reader_of_ending(name)
    return reader.name if reader and reader.name in DATA_FORMATS else ""
