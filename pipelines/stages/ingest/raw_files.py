"""Which raw files an input of ingest names, each with its name and format.

Four ways: a path, folder, glob or URL gives files, each of the format that its ending says or that is declared; a
folder of a Hugging Face dataset gives the data files of a split; a folder of repositories, or an archive of one, gives
a "file" for each repository, which a worker reads as a whole; a crawl of Common Crawl gives the files of its list.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.commoncrawl import KINDS, is_crawl, list_crawl, parse_crawl
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.finding import WILDCARD, find_files
from corpusmill.dataproc.readers.huggingface import find_dataset_files, is_saved
from corpusmill.dataproc.readers.pieces import recognise
from corpusmill.dataproc.repositories.ignored import EXCLUDE_FOLDER, EXCLUDE_NAME
from corpusmill.pipelines.yaml_text import load_yaml

MISNAMED = "misnamed"
"""The format of a file whose name is not UTF-8: it is quarantined, by its name with the bytes spelled out."""

FRONT_MATTER = "---"
SECONDS_A_LINE = 5.0


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """One file, or one repository: where it is, what its records are named by, and the format that reads it."""

    path: str
    name: str
    format: str
    nominal_bytes: int = 0
    """Of a file that is never written anew and is not asked for its size; it is one task. 0 of any other."""

    def is_misnamed(self) -> bool:
        return self.format == MISNAMED

    def identity(self) -> list[int | str]:
        """What tells that it is the same as before: bytes, and when it was changed last (of an object its etag)."""
        if self.is_misnamed():
            return [0, 0]
        if self.nominal_bytes:
            return [self.nominal_bytes, "as published"]
        if self.format == "repository" and not storage.is_url(self.path) and os.path.isdir(self.path):  # noqa: PTH112
            return _identity_of_folder(self.path)
        return storage.identity(self.path)


class Listing:
    """Says how many files were found, while that takes long."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._next = say, time.monotonic() + SECONDS_A_LINE

    def count(self, files: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_A_LINE
            self._say(f"listing files: {files:,} so far")


def find_raw_files(
    path: str,
    format: str | None,
    exclude: Sequence[str] = (),
    *,
    config: str | None = None,
    split: str | None = None,
    depth: int | None = None,
    left_out: list[str] | None = None,
    listing: "Listing | None" = None,
) -> list[RawFile]:
    """The raw files that a path, folder, glob or URL names.

    Args:
        format: what all of them are; None to go by each one's ending (and for a folder by what `save_to_disk` leaves).
        exclude: patterns of names to leave out.
        config, split: of a Hugging Face dataset.
        listing: is shown how many files there are so far.
        depth: how far below a folder its repositories are; None to find out.
        left_out: gets what `find_files` leaves out.

    Raises:
        UserError: nothing matches, or a setting goes with another format.
    """
    if is_crawl(path):
        return _find_crawl_files(path, format, exclude)
    if format == "repository":
        from corpusmill.dataproc.repositories.finding import find_repositories

        repositories = find_repositories(path, depth, exclude, left_out)
        return [RawFile(path=file, name=name, format=format) for file, name in repositories]
    if format == "huggingface" or (format is None and _may_be_saved(path) and is_saved(path)):
        files = find_dataset_files(path, _configs(path), config, split, left_out)
        kept = find_names([name for _, name, _ in files], exclude)
        if not kept:
            raise UserError("no data files of this dataset are left to read", path, "check exclude")
        return [RawFile(path=file, name=name, format=of_file) for file, name, of_file in files if name in kept]
    if config is not None or split is not None:
        what = "config and split are for Hugging Face datasets, and this is not one"
        raise UserError(what, path, "leave them out, or say format: huggingface")
    misnamed: list[tuple[str, str]] = []
    named = find_files(path, exclude, left_out, listing.count if listing else None, misnamed)
    return [RawFile(path=file, name=name, format=format or recognise(file)) for file, name in named] + [
        RawFile(path=file, name=name, format=MISNAMED) for file, name in misnamed
    ]


def _find_crawl_files(path: str, format: str | None, exclude: Sequence[str]) -> list[RawFile]:
    if format not in (None, "warc"):
        raise UserError(f"files of Common Crawl are not of the format '{format}'", path, "leave the format out")
    asked = parse_crawl(path)
    files = list_crawl(asked)
    kept = find_names([file.name for file in files], exclude)
    if not kept:
        raise UserError("no file of this crawl is left to read", path, "check exclude")
    size = KINDS[asked.kind]
    return [
        RawFile(path=file.path, name=file.name, format="warc", nominal_bytes=size)
        for file in files
        if file.name in kept
    ]


def find_names(names: Sequence[str], exclude: Sequence[str]) -> set[str]:
    """Names that no pattern leaves out."""
    from fnmatch import fnmatch

    return {name for name in names if not any(fnmatch(name, pattern) for pattern in exclude)}


def _may_be_saved(path: str) -> bool:
    """Whether a look for a dataset's description is worth it: what cannot be a folder is not asked for one."""
    if storage.is_url(path):
        return not WILDCARD.search(path) and "." not in path.rstrip("/").rsplit("/", 1)[-1]
    return os.path.isdir(path)  # noqa: PTH112


def _configs(folder: str) -> list[Mapping[str, Any]]:
    """What README.md says on configurations, in the YAML at its beginning; none where it says nothing."""
    path = storage.join(folder, "README.md")
    if not storage.exists(path):
        return []
    lines = storage.read_bytes(path).decode("utf-8", "replace").splitlines()
    if not lines or lines[0].strip() != FRONT_MATTER:
        return []
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == FRONT_MATTER), 0)
    front = load_yaml("\n" + "\n".join(lines[1:end]), path)  # so that its lines are those of the file
    configs = front.get("configs") if isinstance(front, dict) else None
    if configs is None:
        return []
    if not isinstance(configs, list) or not all(isinstance(config, dict) for config in configs):
        raise UserError("configs is not a list of configurations", path)
    return configs


def _identity_of_folder(folder: str) -> list[int | str]:
    total = latest = 0
    for inner, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        paths = [storage.join(inner, name) for name in names]
        if inner == folder:
            paths += [path for path in [storage.join(folder, EXCLUDE_FOLDER + EXCLUDE_NAME)] if os.path.isfile(path)]  # noqa: PTH113
        for path in paths:
            status = os.lstat(path)
            total, latest = total + status.st_size, max(latest, status.st_mtime_ns)
    return [total, latest]
