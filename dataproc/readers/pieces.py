"""What to read: files found by path, glob or URL, their formats, and how big files are split so that all workers read.

A piece is a file, a byte range of a plain JSONL file, or a range of row groups of a Parquet file. Compressed streams
cannot be split by position and are one piece.
"""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from dataproc import storage
from dataproc.errors import UserError

FORMATS = {
    "jsonl": (".jsonl", ".ndjson", ".jsonl.gz", ".json.gz", ".jsonl.zst", ".jsonl.zstd", ".json.zst", ".ndjson.gz"),
    "parquet": (".parquet",),
    "python-metadata": ("/METADATA", "/PKG-INFO"),
}
"""Endings by which a format is recognised; anything else is `text`, one document a file."""

COMPRESSED = (".gz", ".zst", ".zstd")


@dataclass(frozen=True, kw_only=True)
class Fields:
    """How records become documents: names of the input's fields, and what to write where it has none."""

    source: str
    kind: str = "web"
    text_field: str = "text"
    id_field: str = "id"
    url_field: str = "url"
    language_field: str = "language"
    maximum_record_bytes: int = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of one input file. `name` is its path below the input's fixed root; `stop` 0 means to the end."""

    path: str
    name: str
    format: str
    bytes: int
    start: int = 0
    stop: int = 0


def find_files(pattern: str, exclude: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Sorted (path, name) of the files of a path, folder, glob or URL; names are relative to the pattern's fixed root.

    Raises UserError when nothing matches.
    """
    root = fixed_root(pattern)
    paths = _list_urls(pattern) if storage.is_url(pattern) else _list_local(pattern)
    named = ((path, path[len(root) :].lstrip("/") or path.rsplit("/", 1)[-1]) for path in sorted(paths))
    found = [(path, name) for path, name in named if not any(fnmatch(name, each) for each in exclude)]
    if not found:
        raise UserError("no file matches", where=pattern, mend="check the path (and exclude)")
    return found


def fixed_root(pattern: str) -> str:
    """The folder part before the first wildcard; for a plain file its folder, for a plain folder itself."""
    wild = re.search(r"[*?\[]", pattern)
    if wild:
        return pattern[: wild.start()].rsplit("/", 1)[0] + "/" if "/" in pattern[: wild.start()] else ""
    if not storage.is_url(pattern) and os.path.isdir(pattern):  # noqa: PTH112
        return pattern.rstrip("/") + "/"
    return pattern.rsplit("/", 1)[0] + "/" if "/" in pattern else ""


def _list_local(pattern: str) -> list[str]:
    if os.path.isdir(pattern):  # noqa: PTH112
        pattern = f"{pattern.rstrip('/')}/**"
    matches = glob.iglob(pattern, recursive=True, include_hidden=False)  # noqa: PTH207 - strings, by the ten thousand
    return [path for path in matches if os.path.isfile(path)]  # noqa: PTH113


def _list_urls(pattern: str) -> list[str]:
    import fsspec

    try:
        filesystem, inner = fsspec.core.url_to_fs(pattern)
    except (ImportError, ValueError) as error:
        raise UserError(f"no file system for this URL ({error})", where=pattern) from error
    matches = filesystem.glob(inner) if re.search(r"[*?\[]", inner) else filesystem.find(inner)
    protocol = pattern.split("://", 1)[0]
    return [f"{protocol}://{str(path).lstrip('/') if protocol == 'memory' else path}" for path in matches]


def recognise(path: str) -> str:
    """The format of a file by its ending."""
    for name, endings in FORMATS.items():
        if path.endswith(endings):
            return name
    return "text"


def split_file(path: str, name: str, format: str, size: int, target: int) -> Iterator[Piece]:
    """Pieces of one file of about `target` bytes, where its format allows it."""
    if format == "parquet":
        yield from _split_parquet(path, name, size, target)
    elif format == "jsonl" and not path.endswith(COMPRESSED) and size > 2 * target:
        count = size // target
        edges = [size * i // count for i in range(count)] + [size]
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            yield Piece(path=path, name=name, format=format, bytes=stop - start, start=start, stop=stop)
    else:
        yield Piece(path=path, name=name, format=format, bytes=size)


def _split_parquet(path: str, name: str, size: int, target: int) -> Iterator[Piece]:
    if size <= 2 * target:
        yield Piece(path=path, name=name, format="parquet", bytes=size)
        return
    from dataproc.datasets import open_part

    with open_part(path) as file:
        metadata = file.metadata
        start = held = 0
        for group in range(metadata.num_row_groups):
            held += metadata.row_group(group).total_byte_size
            if held >= target or group == metadata.num_row_groups - 1:
                yield Piece(path=path, name=name, format="parquet", bytes=held, start=start, stop=group + 1)
                start, held = group + 1, 0
